"""Which inputs can change the answer: importance by verified perturbation (EVA), and how maps are scored (torch)."""

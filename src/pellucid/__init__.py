"""pellucid: exact and certified explanation of neural networks."""

"""Unwrapping on data: the local linear models that rows visit, their tables, diagnostics, merging and inference (UNWRAP)."""

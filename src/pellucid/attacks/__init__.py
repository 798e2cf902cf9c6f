"""Searches for the worst input of a set: attained values, to set beside bounds (torch)."""

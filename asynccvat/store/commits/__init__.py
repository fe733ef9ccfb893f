"""Commit staged trees, in groups, and recover from interrupted commits."""

"""Carry many tasks at once: exports, imports, the dispatcher, and the run with its report."""

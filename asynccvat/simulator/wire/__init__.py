"""Calls and answers: HTTP, its costs and its scripted faults."""

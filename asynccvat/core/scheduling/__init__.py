"""Decide how many requests to have in flight, and when to poll them."""

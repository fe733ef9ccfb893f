"""Decide when to ask the server for exports, and when to look at them."""

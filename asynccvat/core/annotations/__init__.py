"""Annotations: how many there are, what a format can carry, and which files hold them."""

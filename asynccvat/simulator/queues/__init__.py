"""Requests, the queues that run them, and the results that they leave."""

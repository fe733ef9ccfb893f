"""The handlers of each path, and what they show."""

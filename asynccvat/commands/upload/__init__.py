"""Upload annotation files into tasks."""

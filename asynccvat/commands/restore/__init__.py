"""Restore backups to a server, many at once, and import datasets into projects."""

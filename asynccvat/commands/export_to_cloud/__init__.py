"""Let the server write exports and backups to a cloud storage."""

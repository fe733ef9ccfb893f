"""What a user asks for: a folder for each command."""

"""Convert a mirror as JSON into the files that the server would export, without the server."""

"""What media files are, by their names and bytes, without decoding them."""

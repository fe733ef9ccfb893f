"""Count what a mirror as JSON holds: images, and objects by label and kind."""

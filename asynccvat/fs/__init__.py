"""Every effect on the disk, the words for what the system refuses, and file handles."""

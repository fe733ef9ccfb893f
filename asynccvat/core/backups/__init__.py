"""What CVAT's backups hold, and whether a project can take them."""

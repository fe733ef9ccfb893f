"""The files inside exports and uploads: written and read in each format."""

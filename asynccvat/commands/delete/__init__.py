"""Delete tasks or projects: planned, counted, each read again before it goes."""

"""Import datasets into a project, one after the other, each of them once."""

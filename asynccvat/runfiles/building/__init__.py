"""Build the steps of a run file from their sections: a module for each group of verbs."""

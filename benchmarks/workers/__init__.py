"""One contender's part each, as a process of its own: a job in JSON in, its figures in JSON out."""

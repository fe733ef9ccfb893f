"""Back up tasks and projects: `preparation` makes the plan, `run` carries it out."""

"""What the simulated server holds: accounts, projects, tasks, frames and annotations."""

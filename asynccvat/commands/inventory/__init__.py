"""Look at a destination without a server: its state, its room, and what was put aside."""

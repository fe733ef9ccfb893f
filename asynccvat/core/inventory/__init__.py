"""What a destination holds: its state, the room that it takes, and what was put aside."""

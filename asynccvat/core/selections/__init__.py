"""Which tasks are chosen, and why a selection is empty."""

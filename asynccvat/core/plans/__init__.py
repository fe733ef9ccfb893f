"""Compare what is wanted with what is there, and plan the steps between."""

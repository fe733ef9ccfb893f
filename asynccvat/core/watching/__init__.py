"""The decisions of a watch: when the next round is, what it fetches, what the status page shows."""

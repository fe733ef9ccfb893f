"""What is written down on disk: receipts, settings of a destination, kept annotations, journals."""

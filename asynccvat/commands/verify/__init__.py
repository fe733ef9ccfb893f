"""Compare the files of a mirror with its receipts, and repair them."""

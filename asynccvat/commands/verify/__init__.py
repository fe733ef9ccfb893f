"""Verify a mirror: compare its files with their receipts, and repair what is damaged.

- `run`: one verification, from the receipts to the report;
- `inspection`: the destination as it is, without a lock;
- `comparison` and `file_checks`: tasks and files against their receipts, in threads;
- `journal`: what an interrupted verification has read;
- `repair`: the comparison with the server's list, and the repair.
"""

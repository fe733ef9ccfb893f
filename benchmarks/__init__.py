"""Benchmarks: how near a mirror comes to its bounds, side by side with what else a user would pick.

`python -m benchmarks --quick` is a look in a few minutes, `--full` the whole; see `__main__`.
"""

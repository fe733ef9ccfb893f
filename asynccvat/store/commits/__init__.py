"""Change tasks' folders: commit, move and remove them, and recover from interrupted changes.

- `changes`: the three changes, each of four steps;
- `primitives`: the renames and small files that the steps are made of;
- `group_commit`: collects changes of the same moment into groups;
- `group_run`: runs a group step by step, with one sync after each step;
- `recovery`: decides and does what a half-done change needs;
- `leftovers`: recovers from interrupted runs, and sweeps what they left.
"""

"""The disk: every effect on it, and its errors in words.

- `files`: a function for each effect and each look, one system call each;
- `system_calls`: the calls that Python does not offer;
- `disk_errors`: the system's errors, with what to do about them;
- `handles`: how many files and connections may be open at once.
"""

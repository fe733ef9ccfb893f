"""Say what to do about a failed import, by the server's message.

CVAT's messages are tracebacks of Python, whose last line is the cause, in words of CVAT's code.
"""

from __future__ import annotations

import re

_NO_REASON = "no reason given"

# Words of CVAT's code (dataset_manager/bindings.py and task.py), of Python's, and of the queue's.
_REMEDIES = (
    (
        r"label .*is not registered|label_id .* is invalid",
        "Add the label to the task or its project in CVAT, or rename it in the file.",
    ),
    (
        r"could not match item|unexpected .*frame|frame .*not found",
        "The file names images that the task does not have: check their names and folders.",
    ),
    (
        r"parseerror|not well-formed|jsondecodeerror|expecting value|badzipfile",
        "The file cannot be read there: make it again, and check its format.",
    ),
    (
        r"work-horse terminated|memoryerror",
        "The server's worker died, perhaps for want of memory: give it more.",
    ),
)


def import_failure(message: str | None) -> tuple[str, str]:
    """Return the cause of a failed import on one line, and what to do, "" if that is unknown."""
    lines = [line for line in (message or "").splitlines() if line.strip()]
    cause = " ".join(lines[-1].split()) if lines else _NO_REASON
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, cause, re.IGNORECASE):
            return cause, remedy
    return cause, ""

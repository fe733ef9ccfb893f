"""The JSON files of one task for tests, from what the API says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FILE_OF = {
    "task": "task.json",
    "labels": "labels.json",
    "jobs": "jobs.json",
    "meta": "frames.json",
    "annotations": "annotations.json",
}
"""The file of each part of a recorded task."""


def files_of(raw: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a task as a mirror of JSON has them."""
    return {name: json.dumps(raw[part]).encode() for part, name in FILE_OF.items()}

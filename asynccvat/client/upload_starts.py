"""Remember where a client has announced uploads, so that one announcement does for many files.

CVAT takes many files after one start, as recorded on 2.64 for the data of a task. It does nothing
at that call, in its sources from 2022 to 2025. `client.tus` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UploadStarts:
    """The places to which a client has announced uploads.

    Attributes:
        paths: Their paths.
    """

    paths: set[str] = field(default_factory=set)

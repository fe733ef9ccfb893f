"""Count the annotations of a file with CVAT's own JSON, as the server's answer is counted."""

from __future__ import annotations

from asynccvat.core.annotations.counts import read_task_annotations
from asynccvat.core.annotations.file_counts import FileCounts, UncountableError
from asynccvat.errors import ProtocolError


class CvatJsonCounter:
    """Count the tags, shapes and tracks of one file. All of it is sent at once, and kept so."""

    def __init__(self) -> None:
        """Begin at the start of a file."""
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pieces.append(data)

    def result(self) -> FileCounts:
        """Return the counts, after the last byte.

        Raises:
            UncountableError: The file is not CVAT's JSON.
        """
        try:
            return FileCounts(read_task_annotations(0, b"".join(self._pieces)).counts)
        except ProtocolError as error:
            raise UncountableError(str(error)) from error

"""Where the server will put a result, foretold from where it put others.

CVAT names a result's place only once its export has ended, but always in the same way: with the
request's id and the task's. So the place of one tells that of all, and an archive can be asked for
at the moment when it should be there. What was foretold is compared with every place that the
server names; once they differ, nothing is foretold any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote, quote_plus

_ENCODINGS: tuple[Callable[[str], str], ...] = (
    lambda text: quote(text, safe=""),
    quote_plus,
    quote,
    str,
)


@dataclass(frozen=True, slots=True)
class ResultPlaces:
    """What is known of the places of results.

    Attributes:
        parts: A place, cut where a request's id stands, with the task's cut out too; None before
            the first was seen.
        encoding: Which of the known encodings the id has there.
        reliable: Whether all that were seen were as foretold.
    """

    parts: tuple[tuple[str, ...], ...] | None = None
    encoding: int = 0
    reliable: bool = True

    def with_place(self, rq_id: str, task_id: int, url: str) -> ResultPlaces:
        """Learn from a place that the server named."""
        if not self.reliable:
            return self
        if self.parts is not None:
            return self if self.foretell(rq_id, task_id) == url else replace(self, reliable=False)
        for number, encode in enumerate(_ENCODINGS):
            pieces = url.split(encode(rq_id))
            if len(pieces) > 1:
                parts = tuple(tuple(piece.split(_in_path(task_id))) for piece in pieces)
                return replace(self, parts=parts, encoding=number)
        return replace(self, reliable=False)

    def foretell(self, rq_id: str, task_id: int) -> str | None:
        """Where the result of a request should be; None where that cannot be told."""
        if self.parts is None or not self.reliable:
            return None
        pieces = (_in_path(task_id).join(parts) for parts in self.parts)
        return _ENCODINGS[self.encoding](rq_id).join(pieces)

    @property
    def known(self) -> bool:
        """Whether places can be foretold."""
        return self.parts is not None and self.reliable


def _in_path(task_id: int) -> str:
    return f"/{task_id}/"

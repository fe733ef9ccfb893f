"""Where the server will put a result, predicted from where it put others.

CVAT names a result's place only once its export has ended, but always in the same way: with the
request's id and the task's. So the place of one tells that of all, and an archive can be asked for
at the moment when it should be there. What was predicted is compared with every place that the
server names; once they differ, nothing is predicted any more. Where something else came from a
predicted place, that may have been the place or a passing trouble: nothing is predicted until the
server names a place that is as it would have been predicted.
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
# So many predicted places in a row may be wrong; then asking costs less.
_MOST_DOUBTS = 8


@dataclass(frozen=True, slots=True)
class ResultUrlTemplate:
    """What is known of the places of results.

    Attributes:
        parts: A place, cut where a request's id stands, with the task's cut out too; None before
            the first was seen.
        encoding: Which of the known encodings the id has there.
        reliable: Whether all that were seen were as predicted.
        doubts: From how many predicted places in a row something else came.
        in_doubt: Whether none was named since that was as it would have been predicted.
    """

    parts: tuple[tuple[str, ...], ...] | None = None
    encoding: int = 0
    reliable: bool = True
    doubts: int = 0
    in_doubt: bool = False

    def with_place(self, rq_id: str, task_id: int, url: str) -> ResultUrlTemplate:
        """Learn from a place that the server named."""
        if not self.reliable:
            return self
        if self.parts is not None:
            as_predicted = self._place(self.parts, rq_id, task_id) == url
            return replace(self, in_doubt=False) if as_predicted else replace(self, reliable=False)
        for number, encode in enumerate(_ENCODINGS):
            pieces = url.split(encode(rq_id))
            if len(pieces) > 1:
                parts = tuple(tuple(piece.split(_in_path(task_id))) for piece in pieces)
                return replace(self, parts=parts, encoding=number)
        return replace(self, reliable=False)

    def predict(self, rq_id: str, task_id: int) -> str | None:
        """Where the result of a request should be; None where that cannot be told."""
        if self.parts is None or not self.known:
            return None
        return self._place(self.parts, rq_id, task_id)

    def doubted(self) -> ResultUrlTemplate:
        """Note that something else came from a predicted place."""
        doubts = self.doubts + 1
        reliable = self.reliable and doubts <= _MOST_DOUBTS
        return replace(self, doubts=doubts, in_doubt=True, reliable=reliable)

    def confirmed(self) -> ResultUrlTemplate:
        """Note that a result came from a predicted place."""
        return replace(self, doubts=0) if self.doubts else self

    @property
    def known(self) -> bool:
        """Whether places can be predicted."""
        return self.parts is not None and self.reliable and not self.in_doubt

    def _place(self, parts: tuple[tuple[str, ...], ...], rq_id: str, task_id: int) -> str:
        pieces = (_in_path(task_id).join(cut) for cut in parts)
        return _ENCODINGS[self.encoding](rq_id).join(pieces)


def _in_path(task_id: int) -> str:
    return f"/{task_id}/"

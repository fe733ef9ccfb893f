"""Predict the URL of a result from the URLs of other results.

CVAT names a result's URL only after the export has ended, but always builds it in the same way,
from the request's id and the task's id. One known URL therefore gives all others, and an archive
can be fetched at the moment when it should be there.

Each URL that the server names is compared with its prediction. Once they differ, nothing is
predicted any more. If a predicted URL gives something other than an archive, the cause may be the
URL or a passing trouble: predictions pause until the server names a URL as predicted.
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
# This many predicted URLs in a row may be wrong; after that, polling costs less.
_MOST_DOUBTS = 8


@dataclass(frozen=True, slots=True)
class ResultUrlTemplate:
    """What is known of the server's result URLs.

    Attributes:
        parts: A URL, cut at the request's id, each piece cut again at the task's id. None before
            the first URL was seen.
        encoding: Which of the known encodings the request's id has in it.
        reliable: Whether all URLs that the server named were as predicted.
        doubts: How many predicted URLs in a row gave something else.
        in_doubt: Whether the server has named no URL as predicted since the last doubt.
    """

    parts: tuple[tuple[str, ...], ...] | None = None
    encoding: int = 0
    reliable: bool = True
    doubts: int = 0
    in_doubt: bool = False

    def with_url(self, rq_id: str, task_id: int, url: str) -> ResultUrlTemplate:
        """Learn from a URL that the server named."""
        if not self.reliable:
            return self
        if self.parts is not None:
            as_predicted = self._url(self.parts, rq_id, task_id) == url
            return replace(self, in_doubt=False) if as_predicted else replace(self, reliable=False)
        for number, encode in enumerate(_ENCODINGS):
            pieces = url.split(encode(rq_id))
            if len(pieces) > 1:
                parts = tuple(tuple(piece.split(_in_path(task_id))) for piece in pieces)
                return replace(self, parts=parts, encoding=number)
        return replace(self, reliable=False)

    def predict(self, rq_id: str, task_id: int) -> str | None:
        """Return the URL that the result of a request should have, None if it is unknown."""
        if self.parts is None or not self.known:
            return None
        return self._url(self.parts, rq_id, task_id)

    def doubted(self) -> ResultUrlTemplate:
        """Note that a predicted URL gave something else."""
        doubts = self.doubts + 1
        reliable = self.reliable and doubts <= _MOST_DOUBTS
        return replace(self, doubts=doubts, in_doubt=True, reliable=reliable)

    def confirmed(self) -> ResultUrlTemplate:
        """Note that a predicted URL gave its archive."""
        return replace(self, doubts=0) if self.doubts else self

    @property
    def known(self) -> bool:
        """Whether URLs can be predicted."""
        return self.parts is not None and self.reliable and not self.in_doubt

    def _url(self, parts: tuple[tuple[str, ...], ...], rq_id: str, task_id: int) -> str:
        pieces = (_in_path(task_id).join(cut) for cut in parts)
        return _ENCODINGS[self.encoding](rq_id).join(pieces)


def _in_path(task_id: int) -> str:
    return f"/{task_id}/"

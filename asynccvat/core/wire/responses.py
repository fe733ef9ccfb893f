"""Read error texts, waiting times, ranges and dates of responses.

CVAT's errors have six forms: a `detail`, a list, a map of fields, a bare JSON string, plain text
and HTML. All become one line. `http` sends and receives.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    ResponseError,
    ServerError,
)

_MAX_MESSAGE = 300
# Statuses whose class does not say whether they are retryable. 408 and 425 ask for the same call
# again (RFC 9110, 15.5.9; RFC 8470, 5.2). 501 and 505 say that the server can never do this.
_RETRYABLE = {408: True, 425: True, 501: False, 505: False}
_YEARS = range(1970, 9000)
_FRAME = re.compile(r'\s+File "[^"]*", line \d+')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


def media_type(content_type: str | None) -> str:
    """Return the bare, lower-case type of a Content-Type header, "" for none."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is any kind of JSON. CVAT sends `application/vnd.cvat+json`."""
    kind = media_type(content_type)
    return kind == "application/json" or kind.endswith("+json")


def is_html(text: str) -> bool:
    """Whether a body is HTML, by its tags: CVAT sends plain text as `text/html`, too."""
    return re.search(r"<(!doctype|html|body|head)\b", text, re.IGNORECASE) is not None


def error_text(content_type: str | None, body: bytes) -> str:
    """Return what an error response says as one short line, "" if it says nothing."""
    if is_json(content_type):
        try:
            return _one_line(_json_text(msgspec.json.decode(body)))
        except UNREADABLE:
            pass  # cut short or mislabelled: read it as text
    text = body.decode("utf-8", "replace")
    if is_html(text):
        return _html_text(text)
    return _one_line(text)


def failure_cause(message: str) -> str:
    """Return why work of the server failed, as one short line, "" if the message says nothing.

    CVAT's message is a line of text or a whole Python traceback, whose last line is the cause.
    """
    lines = message.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    if frames:
        # Below the last frame stand its line of code, indented, and then the error.
        below = [line for line in lines[frames[-1] + 1 :] if not line.startswith("  ")]
        lines = below or lines[-1:]
    return _one_line(" ".join(lines))


def _json_text(value: Any) -> str:
    match value:
        case {"detail": detail}:
            return _json_text(detail)
        case {"message": str(message)}:  # of API gateways
            return message
        case dict():
            return "; ".join(
                _json_text(item) if key == "non_field_errors" else f"{key}: {_json_text(item)}"
                for key, item in value.items()
            )
        case list():
            return "; ".join(_json_text(item) for item in value)
        case None:
            return ""
        case _:
            return str(value)


def _html_text(text: str) -> str:
    """Return the heading of an error page and its first paragraph, all that such pages say."""
    found = {}
    for tag in ("h1", "title", "p"):
        match = re.search(rf"<{tag}\b[^>]*>(.*?)</{tag}>", text, re.IGNORECASE | re.DOTALL)
        found[tag] = _one_line(html.unescape(re.sub(r"<[^>]*>", " ", match[1]))) if match else ""
    if found["h1"] in ("", "ERROR"):  # Squid's heading is a word alone
        found["h1"] = found["title"].removeprefix("ERROR: ")
    return _one_line(": ".join(filter(None, (found["h1"], found["p"])))) or "an HTML page"


def _one_line(text: str) -> str:
    # Control characters could move a terminal's cursor or start a new log line.
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 3] + "..."


def parse_date(value: str | None) -> datetime | None:
    """Return an HTTP date as an aware datetime in UTC, None if it is missing or unreadable."""
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, IndexError, OverflowError):
        return None
    # A clock with another year is wrong, and sums with such dates may overflow.
    return moment if moment.year in _YEARS else None


def parse_retry_after(value: str | None, now: datetime | None) -> float | None:
    """Return the seconds of a Retry-After header, None if it is missing or unreadable.

    Args:
        value: Seconds or an HTTP date (RFC 9110, 10.2.3).
        now: The server's clock (its Date header), to which a date is relative.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]+)?", text):
        return float(text)
    moment = parse_date(text) if text else None
    if moment is None or now is None:
        return None
    return max(0.0, (moment - now).total_seconds())


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of an archive, requested or received.

    Attributes:
        first: Offset of the first byte. None with `suffix`.
        last: Offset of the last byte, inclusive. None for "to the end".
        suffix: The number of bytes at the end, instead of `first` and `last`.
    """

    first: int | None = None
    last: int | None = None
    suffix: int | None = None

    def __post_init__(self) -> None:
        first, last, suffix = self.first, self.last, self.suffix
        if suffix is not None:
            valid = suffix > 0 and first is None and last is None
        else:
            valid = first is not None and first >= 0 and (last is None or last >= first)
        if not valid:
            raise ValueError(f"not a range of bytes: {first=} {last=} {suffix=}")

    @property
    def header(self) -> str:
        """The value of a Range header (RFC 9110, 14.2)."""
        if self.suffix is not None:
            return f"bytes=-{self.suffix}"
        return f"bytes={self.first}-{'' if self.last is None else self.last}"

    def check(self, content_range: str | None) -> tuple[int, int, int]:
        """Compare a Content-Range with this range. Returns first, last (inclusive) and total.

        Raises:
            ProtocolError: The header is missing or unreadable, or names other bytes.
        """
        match = _CONTENT_RANGE.fullmatch(content_range or "")
        if match is None:
            raise ProtocolError(
                f"cannot use the part of a download: the request was for {self.header!r}, and the "
                f"server sent Content-Range {content_range!r}. Check whether a proxy changes it."
            )
        first, last, total = (int(group) for group in match.groups())
        if self.suffix is not None:
            due = (max(0, total - self.suffix), total - 1)
        else:
            due = (self.first or 0, total - 1 if self.last is None else min(self.last, total - 1))
        if not first <= last < total or (first, last) != due:
            raise ProtocolError(
                f"cannot use the part of a download: the request was for {self.header!r}, and the "
                f"server sent {content_range!r}. Check whether a proxy changes ranges."
            )
        return first, last, total


def response_error(
    status: int,
    message: str,
    *,
    detail: str = "",
    task_id: int | None = None,
    rq_id: str | None = None,
    step: str | None = None,
    retry_after: float | None = None,
) -> ResponseError:
    """Return the error for a status that refuses a call."""
    kind: type[ResponseError]
    match status:
        case 401:
            kind = AuthenticationError
        case 403:
            kind = PermissionDeniedError
        case 404:
            kind = NotFoundError
        case 429:
            kind = RateLimitError
        case _ if status >= 500:
            kind = ServerError
        case _:
            kind = ResponseError
    return kind(
        message,
        status=status,
        detail=detail,
        task_id=task_id,
        rq_id=rq_id,
        step=step,
        retryable=_RETRYABLE.get(status),
        retry_after=retry_after,
    )

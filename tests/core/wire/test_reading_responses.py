"""Check how responses are read: error texts of all forms, waiting times, ranges."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.responses import (
    ByteRange,
    error_text,
    failure_cause,
    is_json,
    media_type,
    parse_date,
    parse_retry_after,
    response_error,
)
from asynccvat.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    ResponseError,
    ServerError,
)

JSON = "application/vnd.cvat+json"
HTML = "text/html; charset=utf-8"
NOW = datetime(2026, 11, 23, 11, 56, 31, tzinfo=UTC)

DJANGO_500 = b"""
<!doctype html>
<html lang="en">
<head>
  <title>Server Error (500)</title>
</head>
<body>
  <h1>Server Error (500)</h1><p></p>
</body>
</html>
"""
NGINX_502 = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""
DJANGO_404 = b"""<!doctype html><html><head><title>Not Found</title></head><body>
<h1>Not Found</h1><p>The requested resource was not found on this server.</p></body></html>"""


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (JSON, b'{"detail":"Invalid token."}', "Invalid token."),
        (JSON, b'["Unknown format specified"]', "Unknown format specified"),
        (JSON, b'{"project_id":["Enter a number."]}', "project_id: Enter a number."),
        (JSON, b'{"non_field_errors":["Unable to log in with provided credentials."]}',
         "Unable to log in with provided credentials."),
        (JSON, b'{"a":["x","y"],"b":["z"]}', "a: x; y; b: z"),
        (JSON, b'"Redis service is not available"', "Redis service is not available"),
        (JSON, b"null", ""),
        (JSON, b"", ""),
        ("application/json", b'{"detail":{"code":7}}', "code: 7"),
        (JSON, b'{"detail":"cut sh', '{"detail":"cut sh'),
        (HTML, b"There is no request with specified id", "There is no request with specified id"),
        (HTML, b"No longer supported.\nUse\n  another.", "No longer supported. Use another."),
        ("text/html", NGINX_502, "502 Bad Gateway"),
        (HTML, DJANGO_500, "Server Error (500)"),
        (HTML, DJANGO_404, "Not Found: The requested resource was not found on this server."),
        (HTML, b"<html><title>Sign in &amp; go</title></html>", "Sign in & go"),
        (HTML, b"<html></html>", "an HTML page"),
        (None, b"plain", "plain"),
        (None, b"", ""),
        ("text/plain", b"\xff\x1b[2Jred\x00\n", "\ufffd [2Jred"),
    ],
)  # fmt: skip
def test_each_shape_of_error_becomes_one_line(
    content_type: str | None, body: bytes, text: str
) -> None:
    assert error_text(content_type, body) == text


def test_json_that_is_not_utf_8_is_shown_as_text() -> None:
    assert (
        error_text(JSON, b'{"detail": "caf\xe9"}') == '{"detail": "caf\N{REPLACEMENT CHARACTER}"}'
    )


def test_deeply_nested_json_is_shown_as_text() -> None:
    assert error_text(JSON, b"[" * 100_000).startswith("[[[")


def test_long_texts_are_cut() -> None:
    assert error_text("text/plain", b"x" * 1000) == "x" * 297 + "..."


@given(body=st.binary(max_size=200), content_type=st.sampled_from([JSON, HTML, "text/plain", None]))
def test_any_bytes_give_one_short_printable_line(body: bytes, content_type: str | None) -> None:
    text = error_text(content_type, body)
    assert len(text) <= 300
    assert text.isprintable()


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                          lambda inner: st.lists(inner, max_size=3)
                          | st.dictionaries(st.text(max_size=5), inner, max_size=3)))  # fmt: skip
def test_any_json_gives_one_short_printable_line(value: object) -> None:
    text = error_text(JSON, json.dumps(value).encode())
    assert len(text) <= 300
    assert text.isprintable()


TRACEBACK = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.10/site-packages/rq/worker.py", line 1431, in perform_job
    rv = job.perform()
  File "/home/django/cvat/apps/engine/task.py", line 320, in _validate_data
    raise ValueError("No media data found")
ValueError: No media data found
"""


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (TRACEBACK, "ValueError: No media data found"),
        (TRACEBACK + "in the task\n", "ValueError: No media data found in the task"),
        (TRACEBACK.rpartition("ValueError")[0], 'raise ValueError("No media data found")'),
        ("MemoryError\n", "MemoryError"),
        ("xml.etree.ElementTree.ParseError: syntax error: line 1, column 0\n",
         "xml.etree.ElementTree.ParseError: syntax error: line 1, column 0"),
        ("Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); ",
         "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9);"),
        ("two\n  lines", "two lines"),
        ("", ""),
    ],
)  # fmt: skip
def test_of_a_traceback_the_last_line_is_the_cause(message: str, cause: str) -> None:
    assert failure_cause(message) == cause


@given(st.text(max_size=300))
def test_any_message_has_a_short_cause(message: str) -> None:
    cause = failure_cause(message)
    assert len(cause) <= 300
    assert cause.isprintable()


def test_json_has_many_content_types() -> None:
    assert is_json("application/vnd.cvat+json")
    assert is_json("Application/JSON; charset=utf-8")
    assert not is_json("text/html")
    assert not is_json(None)
    assert media_type(" Text/HTML ; charset=utf-8") == "text/html"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("26", 26.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("999999999999", 999999999999.0),
        ("Mon, 23 Nov 2026 11:57:01 GMT", 30.0),
        ("Mon, 23 Nov 2026 12:57:01 +0100", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("Mon, 99 Nov 2026 11:57:01 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_a_retry_date_needs_the_server_s_clock() -> None:
    assert parse_retry_after("Mon, 23 Nov 2026 11:57:01 GMT", None) is None


@given(value=st.text(max_size=40))
def test_any_retry_after_is_read_or_ignored(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0


def test_dates_are_aware_and_in_utc() -> None:
    assert parse_date("Mon, 23 Nov 2026 11:56:31 GMT") == NOW
    assert parse_date("Mon, 23 Nov 2026 11:56:31 -0000") == NOW
    assert parse_date("yesterday") is None
    assert parse_date(None) is None


@pytest.mark.parametrize(
    ("asked", "header", "answer", "expected"),
    [
        (ByteRange(first=0, last=99), "bytes=0-99", "bytes 0-99/1000", (0, 99, 1000)),
        (ByteRange(first=900, last=5000), "bytes=900-5000", "bytes 900-999/1000", (900, 999, 1000)),
        (ByteRange(first=900), "bytes=900-", "bytes 900-999/1000", (900, 999, 1000)),
        (ByteRange(suffix=50), "bytes=-50", "bytes 950-999/1000", (950, 999, 1000)),
        (ByteRange(suffix=5000), "bytes=-5000", "bytes 0-999/1000", (0, 999, 1000)),
    ],
)
def test_a_requested_part_is_accepted(
    asked: ByteRange, header: str, answer: str, expected: tuple[int, int, int]
) -> None:
    assert asked.header == header
    assert asked.check(answer) == expected


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (ByteRange(first=0, last=99), None),
        (ByteRange(first=0, last=99), ""),
        (ByteRange(first=0, last=99), "bytes 0-99/*"),
        (ByteRange(first=0, last=99), "bytes */1000"),
        (ByteRange(first=0, last=99), "items 0-99/1000"),
        (ByteRange(first=0, last=99), "bytes 1-99/1000"),
        (ByteRange(first=0, last=99), "bytes 0-98/1000"),
        (ByteRange(first=0, last=99), "bytes 0-100/1000"),
        (ByteRange(first=0, last=99), "bytes 0-99/99"),
        (ByteRange(first=99, last=99), "bytes 99-98/1000"),
        (ByteRange(first=0), "bytes 0-998/1000"),
        (ByteRange(suffix=50), "bytes 949-999/1000"),
        (ByteRange(suffix=50), "bytes 950-998/1000"),
        (ByteRange(suffix=50), "bytes 0-0/0"),
        (ByteRange(first=0), "bytes 0-\u0669/10"),
    ],
)
def test_a_part_of_other_bytes_is_refused(asked: ByteRange, answer: str | None) -> None:
    with pytest.raises(ProtocolError, match="the request was for 'bytes="):
        asked.check(answer)


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"first": -1},
        {"last": 5},
        {"first": 5, "last": 4},
        {"suffix": 0},
        {"suffix": 5, "first": 0},
        {"suffix": 5, "last": 9},
    ],
)
def test_impossible_ranges_are_a_value_error(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not a range"):
        ByteRange(**bounds)


@given(total=st.integers(1, 10**6), suffix=st.integers(1, 2 * 10**6))
def test_every_suffix_of_an_archive_is_accepted(total: int, suffix: int) -> None:
    first = max(0, total - suffix)
    answer = f"bytes {first}-{total - 1}/{total}"
    assert ByteRange(suffix=suffix).check(answer) == (first, total - 1, total)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, ResponseError, False),
        (401, AuthenticationError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (408, ResponseError, True),
        (410, ResponseError, False),
        (425, ResponseError, True),
        (429, RateLimitError, True),
        (500, ServerError, True),
        (501, ServerError, False),
        (502, ServerError, True),
        (503, ServerError, True),
        (505, ServerError, False),
    ],
)
def test_statuses_stand_for_error_classes(
    status: int, kind: type[ResponseError], retryable: bool
) -> None:
    error = response_error(status, "message", detail="detail", task_id=5, retry_after=2.0)
    assert type(error) is kind
    assert error.status == status
    assert error.retryable is retryable
    assert (error.detail, error.task_id, error.retry_after) == ("detail", 5, 2.0)

"""A table of faults: one row each, in a whole mirror, with the waits that users meet.

Of every run the tree is compared, file by file, with that of a mirror that was never disturbed;
what failed has to have failed alone and by its name, and the server is asked no more often than
is said here. What takes more than a scripted fault (servers that go and come, TLS, proxies, other
clients) is in `test_connections`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mirrored import Case, connected, files, of_task, run, settle, staged

import asynccvat as ac
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Network faults")]

SPEED = 200.0
LOGIN, LIST, EXPORT, WAIT = "auth/login", "^/api/tasks[?]", "dataset/export", "^/api/requests"
DOWNLOAD = "dataset/download"
JSON = "application/vnd.cvat+json"
PAGE = "<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"
REVOKED = '{"detail": "Invalid token."}'
TRIES = 6
"""What one thing is worth by default: the first try and five retries."""
PASSES = 2
"""A task that failed for a passing reason is tried once more at the end of the run."""

LARGE: dict[str, Any] = {
    "server": {"frames": 4, "frame_bytes": 150_000},
    "options": {"images": True},
}
"""Archives whose directory comes first, and then all before it in one range."""
LONG: dict[str, Any] = {
    "server": {"frames": 4, "frame_bytes": 1_300_000},
    "options": {"images": True},
}
"""The same, with a range so long that it is taken off aiohttp's connection."""
IMPATIENT: dict[str, Any] = {"client": {"stall_timeout": 80.0}}


def once(path: str, **what: Any) -> Fault:
    """A fault that strikes a call about task 2, or about all tasks."""
    return Fault(path=path, task_id=2 if path in (EXPORT, DOWNLOAD) else None, **what)


def always(path: str, **what: Any) -> Fault:
    return once(path, times=None, **what)


def refused(fault: Fault, status: int, body: str = "", kind: str = JSON, **headers: str) -> Fault:
    """The same fault, as an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(fault, status=status, body=body, content_type=kind, headers=named)


def passes(fault: Fault, **case: Any) -> Case:
    """What is outwaited: the task comes whole all the same."""
    return Case(faults=(fault,), **case)


def fails(fault: Fault, kind: type[ac.AsyncCvatError], words: str, **case: Any) -> Case:
    """What only task 2 fails of."""
    return Case(faults=(fault,), fails={2: (kind, words)}, **case)


def stops(fault: Fault, kind: type[ac.AsyncCvatError], words: str, **case: Any) -> Case:
    """What ends the run."""
    return Case(faults=(fault,), stops=(kind, words), **case)


def asked(**times: int) -> dict[str, Any]:
    return {"asked": times}


UNDISTURBED = {
    "nothing": Case(),
    "nothing, with archives in two parts": Case(**asked(download=2), **LARGE),
    "nothing, with long ranges": Case(**asked(download=2), **LONG),
}


def broken_answers() -> dict[str, Case]:
    table: dict[str, Case] = {}
    for name, path in {
        "login": LOGIN,
        "list": LIST,
        "export": EXPORT,
        "download": DOWNLOAD,
    }.items():
        again, thrice = asked(**{name: 2}), asked(**{name: 4})
        table |= {
            f"{name}: no answer": passes(once(path, drop=True), **again),
            f"{name}: no answer, three times": passes(once(path, drop=True, times=3), **thrice),
            f"{name}: reset in the status line": passes(once(path, cut_head_at=7), **again),
            f"{name}: reset in the headers": passes(once(path, cut_head_at=60), **again),
            f"{name}: reset at the first byte": passes(once(path, cut_at=0), **again),
            f"{name}: reset at the last byte": passes(once(path, cut_at=-1), **again),
            f"{name}: silence": passes(once(path, delay=1e6), **again, **IMPATIENT),
        }
    for place in (0, 1, 40_000, -1):
        more, part = asked(download=3), once(DOWNLOAD, nth=2, cut_at=place)
        table |= {
            f"range: reset at byte {place}": passes(part, **more, **LARGE),
            f"long range: reset at byte {place}": passes(part, **more, **LONG),
        }
    return table | {
        "wait: no answer, three times": passes(once(WAIT, drop=True, times=3)),
        "export: queued, and the answer lost": passes(
            once(EXPORT, lose_answer=True), **asked(export=2)
        ),
        "export: no answer, ever": fails(
            always(EXPORT, drop=True),
            ac.TransportError,
            "the connection to .* was lost",
            **asked(export=PASSES * TRIES, download=0),
        ),
        "download: reset, always": fails(
            always(DOWNLOAD, cut_at=100),
            ac.TransportError,
            "broke off before its end",
            **asked(export=PASSES, download=PASSES * TRIES),
        ),
        "list: reset, always": stops(
            always(LIST, cut_at=10),
            ac.TransportError,
            "broke off before its end",
            **asked(list=TRIES, export=0, download=0),
        ),
        "login: no answer, ever": stops(
            always(LOGIN, drop=True),
            ac.TransportError,
            "the connection to .* was lost",
            **asked(login=TRIES, list=0, export=0, download=0),
        ),
    }


def wrong_bodies() -> dict[str, Case]:
    stall, trickle = {"stall_at": 1000}, {"trickle_at": 1000}
    whole = once(DOWNLOAD, ignore_range=True)
    return {
        "download: stalls": passes(once(DOWNLOAD, **stall), **asked(download=2), **IMPATIENT),
        "range: stalls": passes(
            once(DOWNLOAD, nth=2, **stall),
            **asked(download=3),
            **LARGE,
            **IMPATIENT,
        ),
        "long range: stalls": passes(
            once(DOWNLOAD, nth=2, **stall), **asked(download=3), **LONG, **IMPATIENT
        ),
        "download: stalls, always": fails(
            always(DOWNLOAD, **stall),
            ac.errors.StallError,
            "sent nothing for 80 s",
            **asked(export=PASSES, download=PASSES * 2),
            **IMPATIENT,
            options={"retries": 1},
        ),
        "download: slow, but it comes": passes(
            once(DOWNLOAD, trickle_at=-20, pause=0.5), **IMPATIENT
        ),
        "download: trickles": passes(once(DOWNLOAD, **trickle), **asked(download=2), **IMPATIENT),
        "range: trickles": passes(
            once(DOWNLOAD, nth=2, **trickle),
            **asked(download=3),
            **LARGE,
            **IMPATIENT,
        ),
        "long range: trickles": passes(
            once(DOWNLOAD, nth=2, **trickle), **asked(download=3), **LONG, **IMPATIENT
        ),
        "download: trickles, always": fails(
            always(DOWNLOAD, **trickle),
            ac.errors.StallError,
            "next to nothing",
            **asked(export=PASSES, download=PASSES * 2),
            **IMPATIENT,
            options={"retries": 1},
        ),
        "download: a longer range promised": fails(
            once(DOWNLOAD, promise=10), ac.errors.ProtocolError, "announced .* for a range of"
        ),
        "download: a shorter range promised": fails(
            # Whichever is seen first: the length, or that something follows the end.
            once(DOWNLOAD, promise=-10),
            ac.errors.ProtocolError,
            "announced .* for a range of|does not answer in HTTP",
        ),
        "download: shorter than promised": passes(replace(whole, promise=10), **asked(download=2)),
        "download: shorter than promised, always": fails(
            replace(whole, promise=10, times=None),
            ac.TransportError,
            "broke off before its end",
            **asked(export=PASSES, download=PASSES * TRIES),
        ),
        "download: packed by a proxy": fails(
            once(DOWNLOAD, compress=True), ac.errors.ProtocolError, "Content-Encoding 'gzip'"
        ),
        "download: said to be packed": fails(
            once(DOWNLOAD, headers={"Content-Encoding": "br"}), ac.errors.ProtocolError, "'br'"
        ),
        "download: HTML": fails(
            refused(once(DOWNLOAD), 200, PAGE, "text/html"),
            ac.errors.ProtocolError,
            "sent text/html",
        ),
        "download: HTML that calls itself zip": fails(
            refused(once(DOWNLOAD), 200, PAGE, "application/zip"),
            ac.errors.ProtocolError,
            "starts with b'<!DOCTYPE",
        ),
        "download: JSON": fails(
            refused(once(DOWNLOAD), 200, '{"rq_id": 1}'),
            ac.errors.ProtocolError,
            "instead of an archive",
        ),
        "download: nothing": fails(
            refused(always(DOWNLOAD), 200, "", "application/zip"),
            ac.errors.TruncatedArchiveError,
            "",
            **asked(download=2),
        ),
        "download: a byte is another": passes(once(DOWNLOAD, alter_at=200), **asked(download=2)),
        "download: a byte is another, always": fails(
            always(DOWNLOAD, alter_at=200),
            ac.errors.ArchiveError,
            "annotations.xml",
            **asked(download=2),
        ),
        "download: bytes follow the archive": passes(
            once(DOWNLOAD, extra="<!-- a proxy was here -->"), **asked(download=2)
        ),
        "download: bytes follow the archive, always": fails(
            always(DOWNLOAD, extra="<!-- a proxy was here -->"),
            ac.errors.ArchiveError,
            "25 bytes follow the end of the archive",
            **asked(download=2),
        ),
        "export: HTML": fails(
            refused(once(EXPORT), 202, PAGE, "text/html"),
            ac.errors.ProtocolError,
            "sent text/html instead of JSON",
            **asked(download=0),
        ),
        "export: half of its JSON": fails(
            refused(once(EXPORT), 202, '{"rq_id": "act'),
            ac.errors.ProtocolError,
            "JSON that cannot be read",
            **asked(download=0),
        ),
        "list: HTML": stops(
            refused(once(LIST), 200, PAGE, "text/html"),
            ac.errors.ProtocolError,
            "sent text/html instead of JSON",
            **asked(export=0, download=0),
        ),
        "list: JSON of something else": stops(
            refused(once(LIST), 200, '{"count": "many"}'),
            ac.errors.ProtocolError,
            "JSON that cannot be read",
            **asked(export=0, download=0),
        ),
    }


def wrong_ranges() -> dict[str, Case]:
    table: dict[str, Case] = {}
    for name, value in {
        "from elsewhere": "bytes 1-999/99999",
        "in lines": "lines 0-9/10",
        "of unknown length": "bytes 0-9/*",
        "upside down": "bytes 9-0/10",
        "none": None,
    }.items():
        wrong = {"headers": {"Content-Range": value}}
        table |= {
            f"download: Content-Range {name}": fails(
                once(DOWNLOAD, **wrong), ac.errors.ProtocolError, "the request was for 'bytes=-"
            ),
            f"range: Content-Range {name}": fails(
                once(DOWNLOAD, nth=2, **wrong),
                ac.errors.ProtocolError,
                "the request was for 'bytes=0-",
                **asked(download=2),
                **LARGE,
            ),
        }
    return table | {
        "download: all of it for a Range": passes(once(DOWNLOAD, ignore_range=True)),
        "download: all of a large one for a Range": passes(
            once(DOWNLOAD, ignore_range=True), **asked(download=1), **LARGE
        ),
        "range: all of it": passes(
            once(DOWNLOAD, nth=2, ignore_range=True), **asked(download=4), **LARGE
        ),
        "range: all of it, always": passes(
            always(DOWNLOAD, ignore_range=True), **asked(download=1), **LARGE
        ),
        "range: another ETag": passes(
            once(DOWNLOAD, nth=2, move_etag=True), **asked(download=4), **LARGE
        ),
        "range: another ETag, twice": passes(
            once(DOWNLOAD, nth=2, move_etag=True, times=2), **asked(download=4), **LARGE
        ),
        "range: 416": passes(refused(once(DOWNLOAD, nth=2), 416), **asked(download=4), **LARGE),
        "download: 416": passes(refused(once(DOWNLOAD), 416), **asked(download=2)),
        "download: 416, always": fails(
            refused(always(DOWNLOAD), 416),
            ac.errors.TruncatedArchiveError,
            "the archive is empty",
            **asked(download=2),
        ),
    }


def refusals() -> dict[str, Case]:
    table = {}
    for status in (408, 425, 500, 502, 503, 504):
        kind = ac.errors.ServerError if status >= 500 else ac.errors.ResponseError
        for name, path in {"list": LIST, "export": EXPORT, "download": DOWNLOAD}.items():
            table[f"{name}: {status}"] = passes(
                refused(once(path), status, PAGE, "text/html"), **asked(**{name: 2})
            )
        table[f"export: {status}, always"] = fails(
            refused(always(EXPORT), status, PAGE, "text/html"),
            kind,
            f"cannot export task 2: .* answered {status}",
            **asked(export=PASSES * TRIES, download=0),
        )
    for status, kind in {403: ac.PermissionDeniedError, 404: ac.NotFoundError}.items():
        no = '{"detail": "No."}'
        table |= {
            f"export: {status}": fails(
                refused(once(EXPORT), status, no), kind, f"{status}, No.", **asked(download=0)
            ),
            f"download: {status}": fails(refused(once(DOWNLOAD), status, no), kind, "No."),
        }
    return table | {
        "login: 502": passes(refused(once(LOGIN), 502), **asked(login=2)),
        "login: 502, always": stops(
            refused(always(LOGIN), 502),
            ac.errors.ServerError,
            "answered 502",
            **asked(login=TRIES, list=0, export=0, download=0),
        ),
        "login: 403": stops(
            refused(once(LOGIN), 403, '{"detail": "No."}'),
            ac.AuthenticationError,
            "refuses the login",
            **asked(list=0, export=0, download=0),
        ),
        "export: 401": passes(refused(once(EXPORT), 401, REVOKED), **asked(export=2, login=2)),
        "wait: 401": passes(refused(once(WAIT), 401, REVOKED), **asked(login=2)),
        "all calls: 401, once each": Case(
            faults=tuple(
                Fault(method="POST", path=EXPORT, task_id=number, status=401, body=REVOKED)
                for number in (1, 2, 3)
            ),
            **asked(export=2, login=2),
        ),
        "export: 401, told only after a new login": Case(
            faults=(
                Fault(path=EXPORT, task_id=1, status=401, body=REVOKED),
                Fault(path=EXPORT, task_id=2, status=401, body=REVOKED, delay=20.0),
            ),
            **asked(export=2, login=2),
        ),
        "export: 401 after a new login, too": stops(
            refused(always(EXPORT), 401, REVOKED),
            ac.AuthenticationError,
            "answered 401, Invalid token",
            **asked(export=2, login=2, download=0),
        ),
        "export: redirected elsewhere": stops(
            always(EXPORT, redirect="http://elsewhere.invalid/export"),
            ac.ConfigError,
            "redirects to http://elsewhere.invalid, where no credentials are sent",
            **asked(download=0),
        ),
        "download: redirected elsewhere": stops(
            always(DOWNLOAD, redirect="http://elsewhere.invalid/a.zip"),
            ac.ConfigError,
            "redirects to http://elsewhere.invalid, where no credentials are sent",
        ),
        "wait: links lead elsewhere": passes(always(WAIT, origin="http://elsewhere.invalid")),
    }


def pauses() -> dict[str, Case]:
    """Whoever is asked to wait: all calls do, for as long as can be meant."""
    short = {"client": {"policy": RetryPolicy(retry_after_cap=9.0)}}
    readable = {"in seconds": "7", "in parts of a second": "7.0"}
    absurd = {"absurd": "1000000000", "far ahead": "Mon, 23 Nov 2099 11:42:53 GMT"}
    nothing = {"long past": "Mon, 23 Nov 1992 11:42:53 GMT", "of nothing": "0"}
    unreadable = {"negative": "-5", "in words": "soon", "endless": "9" * 400, "empty": ""}
    table = {}
    for status in (429, 503):
        # Without a time, 429 lets everybody wait all the same, and 503 just this call.
        without = (None,) if status == 429 else ()
        values = [
            *((name, value, (7.0,), {}) for name, value in readable.items()),
            *((name, value, (9.0,), short) for name, value in absurd.items()),
            *((name, value, (), {}) for name, value in nothing.items()),
            *((name, value, without, {}) for name, value in unreadable.items()),
        ]
        for name, value, kept, client in values:
            table[f"export: {status}, Retry-After {name}"] = passes(
                refused(once(EXPORT), status, "{}", Retry_After=value),
                pauses=kept,
                **asked(export=2),
                **client,
            )
        soon = {"Date": "Mon, 23 Nov 2026 11:42:46 GMT"}
        table[f"export: {status}, Retry-After a date that is soon"] = passes(
            refused(
                once(EXPORT), status, "{}", Retry_After="Mon, 23 Nov 2026 11:42:53 GMT", **soon
            ),
            pauses=(7.0,),
            **asked(export=2),
        )
        table[f"export: {status} without Retry-After"] = passes(
            refused(once(EXPORT), status, "{}"), pauses=without, **asked(export=2)
        )
    return table | {
        "login: 429": passes(
            refused(once(LOGIN), 429, "{}", Retry_After="5"), pauses=(5.0,), **asked(login=2)
        ),
        "list: 429": passes(
            refused(once(LIST), 429, "{}", Retry_After="5"), pauses=(5.0,), **asked(list=2)
        ),
        "download: 429": passes(
            refused(once(DOWNLOAD), 429, "{}", Retry_After="5"), pauses=(5.0,), **asked(download=2)
        ),
        "export: 429, seven times": passes(
            refused(once(EXPORT, times=7), 429, "{}", Retry_After="2"),
            pauses=(2.0,) * 7,
            **asked(export=8),
            client={"policy": RetryPolicy(cap=1.0)},
        ),
        "export: 429, always": fails(
            refused(always(EXPORT), 429, "{}", Retry_After="1"),
            ac.errors.RateLimitError,
            "cannot export task 2: .* answered 429",
            pauses=(1.0,) * 4 * PASSES,
            **asked(export=4 * PASSES, download=0),
            client={"policy": RetryPolicy(rate_limited_attempts=3)},
        ),
    }


def changes() -> dict[str, Case]:
    """What others do at the server meanwhile."""
    restarted = {"lose_queue": True}
    return {
        "wait: the queue is lost": passes(once(WAIT, **restarted), **asked(export=2)),
        "download: the queue is lost": passes(
            once(DOWNLOAD, **restarted), **asked(export=2, download=2)
        ),
        "export: goes back to the queue": passes(Fault(export="requeue", task_id=2)),
        "export: tells no dates at first": passes(Fault(export="null_dates", count=2)),
        "export: its process is killed": passes(Fault(export="kill", task_id=2), **asked(export=2)),
        "export: its process is killed, always": fails(
            Fault(export="kill", task_id=2, times=None),
            ac.errors.ExportFailedError,
            "Work-horse terminated unexpectedly",
            **asked(export=2, download=0),
        ),
        "export: fails": fails(
            Fault(export="fail", task_id=2, message="OSError: no frames\n"),
            ac.errors.ExportFailedError,
            "OSError: no frames",
            **asked(download=0),
        ),
        "download: the result has expired": passes(
            once(DOWNLOAD, expire=True), **asked(export=2, download=2)
        ),
        "download: the result expires every time": fails(
            always(DOWNLOAD, expire=True),
            ac.errors.ExportExpiredError,
            "expired",
            **asked(export=2, download=2),
            options={"retries": 1},
        ),
        "range: the result has expired": passes(
            once(DOWNLOAD, nth=2, expire=True), **asked(export=2, download=4), **LARGE
        ),
        "export: the task was deleted": fails(
            once(EXPORT, delete_task=2), ac.NotFoundError, "task 2", **asked(download=0)
        ),
        "download: the task was deleted": fails(
            once(DOWNLOAD, delete_task=2), ac.NotFoundError, "task 2"
        ),
        "range: the task was deleted": fails(
            once(DOWNLOAD, nth=2, delete_task=2),
            ac.NotFoundError,
            "task 2",
            **asked(download=2),
            **LARGE,
        ),
        "export: the task was changed": passes(once(EXPORT, edit_task=2), changed=(2,)),
        "download: the task was changed": passes(once(DOWNLOAD, edit_task=2), changed=(2,)),
        "range: the task was changed": passes(
            once(DOWNLOAD, nth=2, edit_task=2), changed=(2,), **asked(download=2), **LARGE
        ),
    }


TABLE = {
    **UNDISTURBED,
    **broken_answers(),
    **wrong_bodies(),
    **wrong_ranges(),
    **refusals(),
    **pauses(),
    **changes(),
}


LIKE_OTHERS = re.compile(
    "(login|list): (silence|reset)|three times|status line|first byte"
    "|range: (stalls|trickles)$"
    "|byte (0|1)$|long range: .* byte -1|Content-Range (in lines|upside down|of unknown length)"
    "|503, Retry-After (in parts|far|long|of|neg|end|empty)"
    "|429, Retry-After (in parts|of|neg|empty)|slow, but it comes"
    "|425|504|(list|download): (408|50[023])|export: (408|500|503), always|packed$"
)
"""Rows that differ from others in hardly more than the place: only thorough runs need them."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] if LIKE_OTHERS.search(name) else [])
        for name in TABLE
    ],
)
async def test_what_goes_wrong_is_outwaited_or_told_of_that_task_alone(
    data: Path, name: str
) -> None:
    case = TABLE[name]
    async with SimulatedServer(SimulatorOptions(tasks=3, **{"frames": 2, **case.server})) as server:
        server.faults.add(*case.faults)
        async with connected(server, **case.client) as client:
            ran = await run(client, data, server, **case.options)
        assert all(one.struck for one in server.faults._scripted), "a fault met no call"
        report = ran.report
        told = report.stopped_by
        if case.stops is None:
            assert (ran.raised, told) == (None, None)
            assert sorted(one.task_id for one in report.outcomes) == [1, 2, 3]
            assert {one.task_id for one in report.failures} == case.fails.keys()
        else:
            kind, words = case.stops
            assert isinstance(told, kind), repr(told)
            assert re.search(words, str(told))
        for task_id, (kind, words) in case.fails.items():
            error = ran.outcome(task_id).error
            assert isinstance(error, kind), repr(error)
            assert re.search(words, str(error)), str(error)
            assert error.task_id == task_id
        usual = {"login": 1, "list": 1, "export": 1, "download": 1}
        assert ran.asked(2) == usual | case.asked
        assert len(ran.pauses) == len(case.pauses)
        for pause, due in zip(ran.pauses, case.pauses, strict=True):
            assert due is None or pause == pytest.approx(due)
        assert staged(data) == []
        held = files(data)
        again = not report.ok or bool(case.changed)
        tree = await settle(server, data, again=again, **case.options)
    for outcome in report.outcomes:
        if not outcome.ok:
            assert of_task(held, outcome.task_id) == {}
        elif outcome.task_id not in case.changed:
            assert of_task(held, outcome.task_id) == of_task(tree, outcome.task_id) != {}

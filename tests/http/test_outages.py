"""Outages: what tells them from one call's trouble, and how calls wait for their end."""

from __future__ import annotations

import asyncio
import socket

import anyio
import anyio.lowlevel
import pytest
from aiohttp import web
from scripted import Connect, FakeTime, ScriptedServer, reply

from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import AsyncCvatError, ConnectError, OutageError, RateLimitError, ServerError
from asynccvat.http import (
    Call,
    CallListener,
    HeldBackError,
    HttpSession,
    Response,
    impatient,
    listening,
)

pytestmark = [pytest.mark.anyio, pytest.mark.proof("No silent wait")]

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
TASK = reply({"id": 5})
ABOUT = reply({"name": "CVAT", "version": "2.64.0"})
NO_REQUESTS = reply({"count": 0, "next": None, "previous": None, "results": []})
BAD_GATEWAY = reply(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
STATUS = "GET /api/requests/export of 5"
REQUEST = reply({"id": "export of 5", "status": "finished"})
NO_REDIS = reply("Redis service is not available", 503)


class Heard:
    """A listener that waits for a minute, and what it heard."""

    def __init__(self, patience: float = 60.0) -> None:
        self.told: list[tuple[float, float, str]] = []
        self.back: list[float] = []
        self.retried: list[int | None] = []
        self.listener = CallListener(
            on_retry=lambda _step, task_id, _error, _delay: self.retried.append(task_id),
            on_unreachable=self._unreachable,
            on_back=self.back.append,
            patience=patience,
        )

    def _unreachable(self, seconds: float, wait: float, error: AsyncCvatError) -> None:
        self.told.append((seconds, wait, str(error)))


def well(server: ScriptedServer) -> None:
    server["GET /api/server/about"] = ABOUT
    server["GET /api/requests"] = NO_REQUESTS
    server["GET /api/tasks/5"] = TASK


@pytest.mark.parametrize(
    ("route", "failure"),
    [("GET /api/server/about", BAD_GATEWAY), ("GET /api/requests", NO_REDIS)],
    ids=["nothing answers", "nothing is exported"],
)
async def test_calls_outwait_an_outage_however_long(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime, route: str, failure: web.Response
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = [BAD_GATEWAY] * 3 + [TASK]
    server[route] = [failure] * 8 + [server.routes[route]]
    heard = Heard()
    with listening(heard.listener):
        assert (await client.task(5)).id == 5
    # The first failure is 1.5 s old when the third makes the call ask for the server.
    ((since, wait, error),) = heard.told
    assert (since, wait) == (1.5, 60.0)
    assert str(failure.status) in error
    (lasted,) = heard.back
    assert lasted == fake_time.now - 1000.0 - 2.0, "all but the wait that spreads the calls"
    assert heard.listener.requests == len(server.asked) - 1


async def test_a_call_that_must_go_at_once_is_not_sent_after_an_outage(
    server: ScriptedServer, connect: Connect
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = [BAD_GATEWAY] * 3 + [TASK]
    server["GET /api/server/about"] = [BAD_GATEWAY] * 8 + [ABOUT]
    server["PUT /api/once"] = reply({})
    put = Call(method="PUT", path="/api/once", step="once", retry=False, at_once=True)
    held: list[int] = []

    async def send_during_the_outage() -> None:
        while not client._http.retries.outages.is_closed:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(HeldBackError):
            await client._http.call(put)
        held.append(server.times("PUT /api/once"))

    with listening(Heard().listener):
        async with anyio.create_task_group() as group:
            group.start_soon(send_during_the_outage)
            await client.task(5)
    assert held == [0]
    await client._http.call(put)
    assert server.times("PUT /api/once") == 1


async def test_a_call_that_fails_alone_is_no_outage(
    server: ScriptedServer, connect: Connect
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = BAD_GATEWAY
    heard = Heard()
    with listening(heard.listener), pytest.raises(ServerError):
        await client.task(5)
    assert heard.told == []
    assert server.times("GET /api/server/about") == 2, "at the third failure and at the last"


@pytest.mark.parametrize("route", ["GET /api/requests", "GET /api/server/about"])
async def test_a_server_that_tells_the_status_of_a_request_is_no_outage(
    server: ScriptedServer, connect: Connect, route: str
) -> None:
    well(server)
    server["POST /api/tasks/5/dataset/export"] = reply({"rq_id": "export of 5"}, 202)
    client = await connect(token=TOKEN)
    await client.request_export(5, "COCO 1.0")
    server["GET /api/tasks/5"] = [BAD_GATEWAY] * 3 + [TASK]
    server[route] = BAD_GATEWAY
    server[STATUS] = reply({"detail": "Forgotten."}, 404)
    heard = Heard()
    with listening(heard.listener):
        assert (await client.task(5)).id == 5
    assert heard.told == []
    assert server.times(STATUS) == 1


async def test_a_server_that_lists_and_tells_no_request_is_an_outage(
    server: ScriptedServer, connect: Connect
) -> None:
    well(server)
    server["POST /api/tasks/5/dataset/export"] = reply({"rq_id": "export of 5"}, 202)
    client = await connect(token=TOKEN)
    await client.request_export(5, "COCO 1.0")
    server["GET /api/tasks/5"] = [BAD_GATEWAY] * 3 + [TASK]
    server["GET /api/requests"] = NO_REDIS
    server[STATUS] = [NO_REDIS] * 2 + [reply({"detail": "Forgotten."}, 404)]
    heard = Heard()
    with listening(heard.listener):
        assert (await client.task(5)).id == 5
    assert len(heard.told) == len(heard.back) == 1


async def test_a_list_that_takes_too_long_is_no_outage_if_statuses_come(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_call = HttpSession._call_once

    async def time_out_lists(session: HttpSession, call: Call) -> Response:
        if call.path == "/api/requests":
            raise TimeoutError
        return await make_call(session, call)

    monkeypatch.setattr(HttpSession, "_call_once", time_out_lists)
    well(server)
    server["POST /api/tasks/5/dataset/export"] = reply({"rq_id": "export of 5"}, 202)
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    await client.request_export(5, "COCO 1.0")
    server["GET /api/tasks/5"] = BAD_GATEWAY
    server[STATUS] = [NO_REDIS, REQUEST]
    heard = Heard()
    with listening(heard.listener), pytest.raises(ServerError):
        await client.task(5)
    ((_, _, why),) = heard.told
    assert "sent nothing for 10 s" in why
    assert len(heard.back) == 1, "once a status was told"


async def test_one_request_whose_status_cannot_be_told_is_no_outage(
    server: ScriptedServer, connect: Connect
) -> None:
    """A damaged entry in the server's queue can break the list, too."""
    well(server)
    server["POST /api/tasks/5/dataset/export"] = reply({"rq_id": "damaged"}, 202)
    server["GET /api/requests/damaged"] = server["GET /api/requests"] = reply("", 500)
    server[STATUS] = REQUEST
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    await client.request("export of 5")
    await client.request_export(5, "COCO 1.0")
    heard = Heard()
    with listening(heard.listener), pytest.raises(ServerError):
        await client.request("damaged")
    assert heard.told == []


async def test_an_outage_without_an_end_ends_all_calls_with_one_error_in_time(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = server["GET /api/tasks/6"] = BAD_GATEWAY
    server["GET /api/server/about"] = BAD_GATEWAY
    heard = Heard()
    with listening(heard.listener):
        errors = await asyncio.gather(client.task(5), client.task(6), return_exceptions=True)
    assert [type(error) for error in errors] == [OutageError, OutageError]
    assert len(heard.told) == 1
    assert heard.back == []
    assert 60 <= fake_time.now - 1000 <= 65
    why = r"^the server has not answered for 1m[1-4]s \(--wait-for-server\): "
    why += r"the server cannot serve requests: .* answered 502.*[^.]\. Look at the server, "
    why += r"then run again\.$"
    with pytest.raises(OutageError, match=why):
        raise errors[0]  # type: ignore[misc]


async def test_an_outage_that_must_not_be_waited_for_ends_calls_at_its_first_probe(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = server["GET /api/server/about"] = BAD_GATEWAY
    heard = Heard(patience=0.0)
    with listening(heard.listener), pytest.raises(OutageError, match=r"--wait-for-server"):
        await client.task(5)
    assert heard.told == [], "it does not wait"
    assert fake_time.now - 1000 < 5
    assert server.times("GET /api/server/about") == 1


async def test_a_later_run_waits_anew(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = BAD_GATEWAY
    server["GET /api/server/about"] = BAD_GATEWAY
    for _ in range(2):
        began = fake_time.now
        with listening(Heard().listener), pytest.raises(OutageError):
            await client.task(5)
        assert fake_time.now - began >= 60
    well(server)
    with listening(Heard().listener):
        assert (await client.task(5)).id == 5


async def test_only_calls_of_a_run_wait(server: ScriptedServer, connect: Connect) -> None:
    well(server)
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=2))
    await client.task(5)
    server["GET /api/tasks/5"] = BAD_GATEWAY
    with pytest.raises(ServerError):
        await client.task(5)
    with listening(Heard().listener), impatient(), pytest.raises(ServerError):
        await client.task(5)
    assert server.times("GET /api/server/about") == 0


async def test_a_call_that_ends_the_server_each_time_is_given_up(
    server: ScriptedServer, connect: Connect
) -> None:
    well(server)
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=1))
    await client.task(5)

    def crash(_: web.Request) -> web.Response:
        server["GET /api/server/about"] = [BAD_GATEWAY, ABOUT]
        return BAD_GATEWAY

    server["GET /api/tasks/5"] = crash
    heard = Heard()
    with listening(heard.listener), pytest.raises(ServerError):
        await client.task(5)
    assert len(heard.back) == 3


async def test_a_cancelled_probe_is_taken_over(server: ScriptedServer, connect: Connect) -> None:
    well(server)
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    await client.task(5)
    probing, down = asyncio.Event(), True

    async def about(_: web.Request) -> web.Response:
        if not down:
            return ABOUT
        if server.times("GET /api/server/about") > 1 and not probing.is_set():
            probing.set()
            await asyncio.sleep(3600)
        return BAD_GATEWAY

    server["GET /api/server/about"] = about
    server["GET /api/tasks/5"] = server["GET /api/tasks/6"] = [BAD_GATEWAY, TASK]
    with listening(Heard(1e9).listener):
        first = asyncio.create_task(client.task(5))
        await probing.wait()
        second = asyncio.create_task(client.task(6))
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        down = False
        assert (await second).id == 5
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_server_that_is_not_there_at_first_is_reported_at_once(
    connect: Connect, fake_time: FakeTime
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = await connect(f"http://127.0.0.1:{port}", token=TOKEN)
    heard = Heard()
    with listening(heard.listener), pytest.raises(ConnectError):
        await client.task(5)
    assert fake_time.slept == []
    assert heard.told == []


async def test_a_probe_that_is_refused_shows_a_server_that_answers(
    server: ScriptedServer, connect: Connect
) -> None:
    well(server)
    client = await connect(token=TOKEN)
    await client.task(5)
    server["GET /api/tasks/5"] = BAD_GATEWAY
    server["GET /api/requests"] = reply({"detail": "No."}, 403)
    heard = Heard()
    with listening(heard.listener), pytest.raises(ServerError):
        await client.task(5)
    assert heard.told == []


async def test_a_silent_server_is_an_outage(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.http.session._PROBE_SECONDS", 0.01)
    well(server)
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=0))
    await client.task(5)
    server["GET /api/tasks/5"] = BAD_GATEWAY

    async def silence(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return ABOUT

    server["GET /api/server/about"] = silence
    heard = Heard()
    with listening(heard.listener), pytest.raises(OutageError, match=r"sent nothing for 0\.01 s"):
        await client.task(5)


async def test_each_listener_hears_of_its_own_calls_and_of_pauses_that_it_keeps(
    server: ScriptedServer, connect: Connect
) -> None:
    well(server)
    client = await connect(token=TOKEN, policy=RetryPolicy(rate_limited_attempts=0))
    server["GET /api/tasks/6"] = [BAD_GATEWAY, reply({"id": 6})]
    heard: list[tuple[str, object]] = []

    def listener(name: str) -> CallListener:
        return CallListener(
            on_retry=lambda *what: heard.append((name, what[1])),
            on_pause=lambda seconds: heard.append((name, seconds)),
        )

    one, other = listener("one"), listener("other")
    with listening(one):
        server["GET /api/tasks/5"] = reply({"detail": "No."}, 429, Retry_After="7")
        with pytest.raises(RateLimitError):
            await client.task(5)
    with listening(other):
        await client.task(6)
    assert heard == [("one", 7.0), ("other", 7.0), ("other", 6)]
    assert (one.requests, other.requests) == (1, 2)

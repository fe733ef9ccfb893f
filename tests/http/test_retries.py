"""Retries, the pause that all calls keep, and the callbacks for both."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from scripted import Connect, FakeTime, ScriptedServer, page, reply

from asynccvat.core.wire.retry import RetryBudget, RetryPolicy
from asynccvat.errors import AsyncCvatError, NotFoundError, RateLimitError, ServerError
from asynccvat.http import Call, CallListener, HeldBackError, listening

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
USER = reply({"id": 1, "username": "alice"})
BAD_GATEWAY = reply(status=502, text="<html><h1>502 Bad Gateway</h1></html>")


def throttled(retry_after: str | None, status: int = 429) -> web.Response:
    answer = reply({"detail": "Request was throttled."}, status)
    if retry_after is not None:
        answer.headers["Retry-After"] = retry_after
    return answer


async def test_calls_wait_for_a_restarting_server(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["GET /api/users/self"] = [BAD_GATEWAY] * 3 + [USER]
    client = await connect(token=TOKEN)
    assert (await client.user()).username == "alice"
    assert fake_time.slept == [0.5, 1.0, 2.0]


async def test_retries_end_with_the_error_of_the_last_response(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["GET /api/users/self"] = BAD_GATEWAY
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=2))
    with pytest.raises(ServerError, match=r"user: a gateway before .* answered 502, Bad Gateway"):
        await client.user()
    assert fake_time.slept == [0.5, 1.0]


async def test_a_call_that_is_not_repeatable_is_not_retried(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["POST /api/once"] = BAD_GATEWAY
    client = await connect(token=TOKEN)
    with pytest.raises(ServerError):
        await client._http.call(Call(method="POST", path="/api/once", step="once", retry=False))
    assert fake_time.slept == []


async def test_a_call_that_must_go_at_once_is_not_sent_after_a_pause(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["PUT /api/once"] = reply({})
    client = await connect(token=TOKEN)
    put = Call(method="PUT", path="/api/once", step="once", retry=False, at_once=True)
    client._http.retries.pause(30)
    with pytest.raises(HeldBackError):
        await client._http.call(put)
    assert fake_time.slept == [30.0]
    assert server.asked == []
    await client._http.call(put)
    assert server.times("PUT /api/once") == 1


async def test_a_call_that_must_go_at_once_is_not_sent_after_a_login_that_waited(
    server: ScriptedServer, connect: Connect
) -> None:
    server["PUT /api/once"] = reply({})
    server["POST /api/auth/login"] = reply({"key": "0" * 40})
    client = await connect(username="alice", password="secret")
    put = Call(method="PUT", path="/api/once", step="once", retry=False, at_once=True)
    client._http.retries.pause(30)
    with pytest.raises(HeldBackError):
        await client._http.call(put)
    assert server.times("POST /api/auth/login") == 1
    assert server.times("PUT /api/once") == 0


async def test_the_budget_is_shared_by_all_calls(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = BAD_GATEWAY
    client = await connect(token=TOKEN, policy=RetryPolicy(attempts=3, base=0.0))
    budget = RetryBudget(capacity=4, rate=1.0, patience=0.0, level=4, at=1000.0)
    client._http.retries.budget.left = budget
    await asyncio.gather(*(client.user() for _ in range(3)), return_exceptions=True)
    assert client.requests_sent == 3 + 4


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("26", 26.0),
        ("Mon, 23 Nov 2026 11:43:23 GMT", 30.0),
        ("31536000", 300.0),
        ("Tue, 23 Nov 2027 11:43:23 GMT", 300.0),
    ],
)
async def test_retry_after_is_obeyed(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime, header: str, seconds: float
) -> None:
    for status in (429, 503):
        server["GET /api/users/self"] = [throttled(header, status), USER]
        client = await connect(token=TOKEN)
        await client.user()
    assert fake_time.slept == [seconds, seconds]


async def test_all_calls_wait_while_one_is_asked_to(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    moments: list[float] = []

    def tasks(_: web.Request) -> web.Response:
        moments.append(fake_time.now)
        return page(1)

    server["GET /api/tasks"] = tasks
    server["GET /api/users/self"] = throttled("26")
    client = await connect(token=TOKEN, policy=RetryPolicy(rate_limited_attempts=0))
    with pytest.raises(RateLimitError) as caught:
        await client.user()
    assert caught.value.retry_after == 26.0
    await asyncio.gather(client.tasks(), client.tasks())
    assert moments == [1026.0, 1026.0]


async def test_a_rate_limit_without_retry_after_pauses_all_calls(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["GET /api/users/self"] = [throttled(None), USER]
    client = await connect(token=TOKEN)
    pauses: list[float] = []
    with listening(CallListener(on_pause=pauses.append)):
        await client.user()
    assert pauses == [0.5]
    assert fake_time.slept == [0.5]


async def test_a_shorter_pause_does_not_end_a_longer_one(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    both_asked = asyncio.Barrier(2)
    pausing = asyncio.Event()

    async def longer(_: web.Request) -> web.Response:
        await both_asked.wait()
        return throttled("20")

    async def shorter(_: web.Request) -> web.Response:
        await both_asked.wait()
        await pausing.wait()
        return throttled("10")

    server["GET /api/tasks/1"] = longer
    server["GET /api/tasks/2"] = shorter
    client = await connect(token=TOKEN, policy=RetryPolicy(rate_limited_attempts=0))
    pauses: list[float] = []

    def on_pause(seconds: float) -> None:
        pauses.append(seconds)
        pausing.set()

    with listening(CallListener(on_pause=on_pause)):
        await asyncio.gather(client.task(1), client.task(2), return_exceptions=True)
    assert pauses == [20.0]
    assert client._http.retries._gate.remaining == 20.0
    assert fake_time.slept == []


async def test_a_503_without_retry_after_delays_one_call_only(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = [throttled(None, 503), USER]
    client = await connect(token=TOKEN)
    pauses: list[float] = []
    with listening(CallListener(on_pause=pauses.append)):
        await client.user()
    assert pauses == []


async def test_a_pause_that_grows_is_kept_to_its_new_end(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["GET /api/users/self"] = USER
    client = await connect(token=TOKEN)
    gate = client._http.retries._gate
    assert gate.close_for(10.0)
    assert not gate.close_for(5.0)
    sleep = fake_time.sleep

    async def longer(seconds: float) -> None:
        if not fake_time.slept:
            gate.close_for(25.0)
        await sleep(seconds)

    object.__setattr__(gate._timing, "sleep", longer)
    await client.user()
    assert fake_time.slept == [10.0, 15.0]
    assert gate.remaining == 0.0


async def test_callbacks_are_called_within_their_block_only(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = [throttled("7"), BAD_GATEWAY, reply({"id": 5})]
    client = await connect(token=TOKEN)
    retries: list[tuple[str, int | None, str, float]] = []
    pauses: list[float] = []

    def on_retry(step: str, task_id: int | None, error: AsyncCvatError, delay: float) -> None:
        retries.append((step, task_id, type(error).__name__, delay))

    with listening(CallListener(on_retry=on_retry, on_pause=pauses.append)):
        await client.task(5)
    assert retries == [
        ("detail", 5, "RateLimitError", 7.0),
        ("detail", 5, "ServerError", 1.0),
    ]
    assert pauses == [7.0]
    server["GET /api/tasks/5"] = [throttled("7"), reply({"id": 5})]
    await client.task(5)
    assert len(retries) == 2
    assert len(pauses) == 1


async def test_permanent_failures_are_not_retried(connect: Connect, fake_time: FakeTime) -> None:
    client = await connect(token=TOKEN)
    with pytest.raises(NotFoundError):
        await client.task(1)
    assert fake_time.slept == []
    assert client.requests_sent == 1


async def test_the_server_s_clock_is_known(server: ScriptedServer, connect: Connect) -> None:
    dates = iter(
        [
            "Mon, 23 Nov 2026 11:00:05 GMT",
            "Mon, 23 Nov 2026 11:00:09 GMT",
            "Mon, 23 Nov 2026 11:00:07 GMT",
            "yesterday",
        ]
    )
    server["GET /api/tasks/5"] = lambda _: reply({"id": 5}, Date=next(dates))
    client = await connect(token=TOKEN)
    known = [client.server_date]
    for _ in range(4):
        await client.task(5)
        known.append(client.server_date)
    assert [date and date.second for date in known] == [None, 5, 9, 9, 9]

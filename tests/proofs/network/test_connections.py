"""Faults that a script cannot tell: servers that go and come, TLS, names, proxies, others' runs.

As in the table of faults, each is a whole mirror; what came is compared with the tree of one that
was never disturbed.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from mirrored import Ran, connected, files, mirror_undisturbed, run, settle, staged
from relay import Relay, relay

import asynccvat as ac
from asynccvat.core.models import TaskListing
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.events import ExportRequested, ServerBack, ServerUnreachable
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Network faults")]


@pytest.fixture
async def server() -> AsyncIterator[SimulatedServer]:
    async with SimulatedServer(SimulatorOptions(tasks=6, frames=2)) as running:
        yield running


async def mirror_through(made: Relay, server: SimulatedServer, data: Path, **client: Any) -> Ran:
    url = f"http://127.0.0.1:{made.port}"
    async with connected(server, url=url, **client) as opened:
        return await run(opened, data, server)


# Servers that go and come


async def test_a_server_that_was_never_there_is_told_after_one_try(
    server: SimulatedServer, data: Path
) -> None:
    async with relay(server, up=False) as made:
        ran = await mirror_through(made, server, data)
    assert isinstance(ran.raised, ac.errors.ConnectError)
    assert "Check the URL, and that the server runs." in str(ran.raised)
    assert ran.report.requests == 1
    assert ran.report.stopped_by is ran.raised


@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets its queue"])
async def test_a_server_that_restarts_for_half_a_minute_is_outwaited(
    data: Path, forgets: bool
) -> None:
    async with (
        SimulatedServer(SimulatorOptions(tasks=100, frames=1)) as server,
        relay(server) as made,
        anyio.create_task_group() as group,
    ):

        async def restart() -> None:
            await made.down()
            if forgets:
                server.forget_requests()
            await anyio.sleep(30)
            await made.up()

        def in_the_midst(event: object) -> None:
            if isinstance(event, ExportRequested):
                requested.add(event.task_id)
                if len(requested) == 40 and not restarted:
                    restarted.append(event)
                    group.start_soon(restart)

        requested: set[int] = set()
        restarted: list[ExportRequested] = []
        url = f"http://127.0.0.1:{made.port}"
        async with connected(server, url=url) as client:
            ran = await run(client, data, server, listener=in_the_midst)
        assert ran.report.ok, ran.report.failures
        assert len(restarted) == 1
        (unreachable,) = [one for one in ran.events if isinstance(one, ServerUnreachable)]
        assert "no connection to" in unreachable.error
        (back,) = [one for one in ran.events if isinstance(one, ServerBack)]
        assert back.seconds >= 25
        held = files(data)
        # Receipts tell of the relay's address: another mirror has to tell what is right.
        await mirror_undisturbed(server, data.with_name("undisturbed"))
    assert held == files(data.with_name("undisturbed"))
    assert staged(data) == []


async def test_a_server_that_goes_and_stays_away_ends_the_run_once(
    server: SimulatedServer, data: Path
) -> None:
    async with relay(server) as made, anyio.create_task_group() as group:

        def at_once(event: object) -> None:
            if isinstance(event, ExportRequested):
                group.start_soon(made.down)

        url = f"http://127.0.0.1:{made.port}"
        async with connected(server, url=url) as client:
            ran = await run(client, data, server, listener=at_once, wait_for_server=60.0)
    assert ran.raised is None
    assert isinstance(ran.report.stopped_by, ac.errors.OutageError)
    assert "has not answered for 1m" in str(ran.report.stopped_by)
    assert ran.report.failures == ()
    assert sum(isinstance(one, ServerUnreachable) for one in ran.events) == 1
    assert staged(data) == []


# TLS and names


@dataclass(frozen=True)
class Authority:
    """One that makes certificates, and the file that tells of it."""

    issuer: trustme.CA
    bundle: Path

    def tls(self, name: str, **more: Any) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate for a host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.issuer.issue_cert(name, **more).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(trustme.CA(), tmp_path_factory.mktemp("authority") / "ca.pem")
    made.issuer.cert_pem.write_to_path(str(made.bundle))
    return made


async def test_a_server_of_a_known_authority_is_mirrored(
    server: SimulatedServer, data: Path, authority: Authority
) -> None:
    async with relay(server, context=authority.tls("localhost")) as made:
        url = f"https://localhost:{made.port}"
        async with connected(server, url=url, verify=authority.bundle) as client:
            ran = await run(client, data, server, images=True)
    assert ran.report.ok
    undisturbed = data.with_name("undisturbed")
    await mirror_undisturbed(server, undisturbed, images=True)
    assert files(data) == files(undisturbed) != {}


YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("certificate", "trusts", "words"),
    [
        ({"name": "localhost"}, False, "give that authority's certificate with --ca-bundle"),
        ({"name": "elsewhere.example"}, True, "TLS certificate of .* is refused: .*localhost"),
        ({"name": "localhost", "not_after": YESTERDAY}, True, "refused: .*expired"),
    ],
    ids=["unknown authority", "of another host", "expired"],
)
async def test_a_certificate_that_is_not_right_ends_the_run_before_anything_is_sent(
    data: Path, authority: Authority, certificate: dict[str, Any], *, trusts: bool, words: str
) -> None:
    async with (
        SimulatedServer(SimulatorOptions(tasks=1)) as server,
        relay(server, context=authority.tls(**certificate)) as made,
        connected(
            server,
            url=f"https://localhost:{made.port}",
            verify=authority.bundle if trusts else True,
        ) as client,
    ):
        ran = await run(client, data, server)
        assert server.calls == []
    assert isinstance(ran.raised, ac.errors.ConnectError)
    assert re.search(words, str(ran.raised))
    assert ran.report.requests == 1, "it would be no better another time"


async def test_a_name_that_nobody_knows_is_told(server: SimulatedServer, data: Path) -> None:
    async with connected(server, url="http://cvat.invalid") as client:
        ran = await run(client, data, server)
    assert isinstance(ran.raised, ac.errors.ConnectError)
    assert "the host of http://cvat.invalid cannot be found" in str(ran.raised)
    assert ran.report.requests == 1


# Proxies


async def test_a_proxy_of_the_environment_is_gone_through_and_learns_no_secret(
    server: SimulatedServer,
    data: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        relay(server, context=authority.tls("cvat.example")) as behind,
        relay(behind, proxies=True) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://bob:pr%40xy@127.0.0.1:{proxy.port}")
        async with connected(server, url="https://cvat.example", verify=authority.bundle) as client:
            ran = await run(client, data, server)
        assert ran.report.ok
        told = "".join(proxy.connects)
    assert proxy.connects
    for head in proxy.connects:
        assert head.startswith("CONNECT cvat.example:443 HTTP/1.1\r\n")
        assert base64.b64encode(b"bob:pr@xy").decode() in head
    assert server.token not in told
    assert server.password not in told
    undisturbed = data.with_name("undisturbed")
    await mirror_undisturbed(server, undisturbed)
    assert files(data) == files(undisturbed) != {}


@pytest.mark.parametrize("way", ["NO_PROXY", "not trusted"])
async def test_a_server_that_needs_no_proxy_is_reached_without(
    server: SimulatedServer, data: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with relay(server, up=False) as nobody:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{nobody.port}")
        if way == "NO_PROXY":
            monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        async with connected(server, trust_environment=way == "NO_PROXY") as client:
            assert (await run(client, data, server)).report.ok
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with connected(server) as client:
            ran = await run(client, data.with_name("other"), server)
    assert isinstance(ran.raised, ac.errors.ConnectError)
    shown = f"http://127.0.0.1:{nobody.port} (HTTP_PROXY)"
    assert f"no connection to the proxy {shown}" in str(ran.raised)


# Credentials and other origins


@pytest.mark.parametrize("path", ["/api/tasks[?]", "dataset/export", "dataset/download"])
async def test_another_origin_is_never_asked_wherever_a_redirect_leads(
    server: SimulatedServer, data: Path, path: str
) -> None:
    async with SimulatedServer(SimulatorOptions(tasks=1)) as elsewhere:
        server.faults.add(Fault(path=path, redirect=f"{elsewhere.url}/api/tasks", times=None))
        async with connected(server) as client:
            ran = await run(client, data, server)
        assert elsewhere.calls == []
    assert isinstance(ran.report.stopped_by, ac.ConfigError)
    assert f"give {elsewhere.url} as its URL" in str(ran.report.stopped_by)


async def test_a_redirect_within_the_server_is_followed(
    server: SimulatedServer, data: Path
) -> None:
    server.faults.add(Fault(path="/api/tasks[?]", redirect="/api/tasks?page_size=500&sort=id"))
    async with connected(server) as client:
        assert (await run(client, data, server)).report.ok
    assert len(await settle(server, data)) == 6


# Others at work


async def test_two_mirrors_of_one_user_that_meet_at_every_request_both_end_whole(
    server: SimulatedServer, data: Path
) -> None:
    reports: dict[str, Ran] = {}
    requested: list[ExportRequested] = []
    server.pause_exports()

    def hear(event: object) -> None:
        if isinstance(event, ExportRequested):
            requested.append(event)
            if len(requested) == 8:
                server.release_exports()

    async def one(name: str) -> None:
        async with connected(server) as client:
            reports[name] = await run(client, data / name, server, listener=hear, retries=20)

    async with anyio.create_task_group() as group:
        for name in ("a", "b"):
            group.start_soon(one, name)
    assert any(call.status == 409 for call in server.calls)
    for name, ran in reports.items():
        assert ran.report.ok, ran.report.failures
        assert len(await settle(server, data / name)) == 6


# Lists that change while they are read


class SmallPages(ac.CvatClient):
    """A client that reads its lists two tasks at a time."""

    async def tasks(
        self, selection: ac.Selection | None = None, *, page_size: int = 2
    ) -> TaskListing:
        return await super().tasks(selection, page_size=page_size)


SECOND = "/api/tasks[?].*page=2"


@pytest.mark.parametrize(
    ("faults", "gone"),
    [
        ([Fault(path=SECOND, status=502)], None),
        ([Fault(path=SECOND, drop=True, times=2)], None),
        ([Fault(path=SECOND, cut_at=50)], None),
        ([Fault(path=SECOND, delete_task=1)], 1),
        ([Fault(path=SECOND, delete_task=6)], 6),
        ([Fault(path=SECOND, status=404, body='{"detail":"Invalid page."}')], None),
    ],
    ids=["502", "no answer", "broken", "first task deleted", "last task deleted", "no such page"],
)
async def test_a_page_that_fails_or_shifts_loses_no_task(
    server: SimulatedServer, data: Path, faults: list[Fault], gone: int | None
) -> None:
    server.faults.add(*faults)
    async with connected(server, SmallPages) as client:
        ran = await run(client, data, server)
    assert ran.report.listing_complete
    there = {number for number in range(1, 7) if number != gone}
    assert {one.task_id for one in ran.report.outcomes} == there
    assert ran.report.ok, ran.report.failures
    assert {int(path.split("/")[0].removeprefix("task")) for path in files(data)} == there


async def test_a_page_that_always_fails_ends_the_run_with_its_own_error(
    server: SimulatedServer, data: Path
) -> None:
    server.faults.add(Fault(path=SECOND, status=500, times=None))
    async with connected(server, SmallPages, policy=RetryPolicy(attempts=2)) as client:
        ran = await run(client, data, server)
    assert isinstance(ran.raised, ac.errors.ServerError)
    assert "cannot list the tasks: " in str(ran.raised)
    assert len([call for call in server.calls if "page=2" in call.query]) == 3
    assert files(data) == {}
    await settle(server, data)

"""A server that is too old is named once, before anything is requested of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import asynccvat as ac
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = pytest.mark.anyio

OLD = SimulatorOptions(tasks=5, frames=1, old_exports=True, version="2.15.0")


def client_of(server: SimulatedServer) -> ac.CvatClient:
    return ac.CvatClient(server.url, token=server.token)


def too_old(server: SimulatedServer) -> str:
    return (
        f"{server.url} is CVAT 2.15.0, which asynccvat cannot use. Update the server to 2.17 or "
        "later."
    )


async def test_a_mirror_of_an_old_server_ends_with_one_message(tmp_path: Path) -> None:
    async with SimulatedServer(OLD) as server, client_of(server) as client:
        with pytest.raises(ac.ConfigError) as caught:
            await ac.mirror(client, tmp_path / "data")
        assert str(caught.value) == too_old(server)
        assert not any(call.method == "POST" for call in server.calls)


async def test_downloads_and_uploads_are_refused_alike(tmp_path: Path) -> None:
    file = tmp_path / "annotations.xml"
    file.write_text("<annotations><version>1.1</version></annotations>")
    async with SimulatedServer(OLD) as server, client_of(server) as client:
        with pytest.raises(ac.ConfigError) as caught:
            await ac.download_many(client, {1: tmp_path / "one", 2: tmp_path / "two"})
        assert str(caught.value) == too_old(server)
        with pytest.raises(ac.ConfigError) as caught:
            await ac.upload_annotations(client, 1, file, format="CVAT 1.1")
        assert str(caught.value) == too_old(server)
        assert not any(call.method == "POST" for call in server.calls)


async def test_a_run_asks_for_the_version_once_and_not_without_work(tmp_path: Path) -> None:
    options = SimulatorOptions(tasks=3, frames=1)
    async with SimulatedServer(options) as server, client_of(server) as client:
        for _ in range(2):
            assert (await ac.mirror(client, tmp_path / "data")).ok
        assert sum(call.path == "/api/server/about" for call in server.calls) == 1
    async with SimulatedServer(options) as server, client_of(server) as client:
        await ac.mirror(client, tmp_path / "other")
        asked = len(server.calls)
        await ac.mirror(client, tmp_path / "other")
        assert [call.path for call in server.calls[asked:]] == ["/api/tasks"]


async def test_a_server_that_does_not_tell_its_version_is_used(tmp_path: Path) -> None:
    async with SimulatedServer(SimulatorOptions(tasks=2, frames=1)) as server:
        server.faults.add(Fault(path="/api/server/about", status=403, times=None))
        async with client_of(server) as client:
            assert (await ac.mirror(client, tmp_path / "data")).ok


async def test_a_server_without_the_call_is_too_old_whatever_it_says() -> None:
    options = SimulatorOptions(tasks=2, frames=1, version="2.15.0")
    async with SimulatedServer(options) as server, client_of(server) as client:
        with pytest.raises(ac.ConfigError) as caught:
            await client.request_export(1, "COCO 1.0")
        assert str(caught.value) == (
            f"cannot export task 1: {server.url} has no such call (/api/tasks/1/dataset/export). "
            "Update the server to CVAT 2.17 or later, or check whether a gateway changes paths."
        )

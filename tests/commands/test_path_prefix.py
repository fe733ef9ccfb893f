"""A CVAT that a proxy serves under a path: every call and every link of the server goes there."""

from __future__ import annotations

from pathlib import Path

import pytest

import asynccvat as ac
from asynccvat.simulator import SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

OPTIONS = ac.MirrorOptions(durable=False, retries=0)
SPEC = ac.ExportSpec("CVAT for images 1.1", images=True)
FILE = "annotations.xml"

LINKS = {
    "the proxy takes the path away, so links lack it": None,
    "CVAT knows the path": "https://cvat.example.com/lab/cvat",
}


@pytest.mark.parametrize("links", LINKS)
async def test_everything_works_under_a_path(tmp_path: Path, links: str) -> None:
    options = SimulatorOptions(
        tasks=7, frames=1, projects=2, path_prefix="/lab/cvat", public_url=LINKS[links]
    )
    data = tmp_path / "data"
    async with SimulatedServer(options) as server:
        assert server.url.endswith("/lab/cvat")
        async with ac.CvatClient(
            f"{server.url}/", username=server.username, password=server.password
        ) as client:
            assert client.origin == server.url
            # Pages of lists, read in parallel and one after the other.
            assert len((await client.tasks(page_size=2)).tasks) == 7
            assert len([task async for task in client.iter_tasks(page_size=2)]) == 7
            assert len(await client.projects()) == 2

            report = await ac.mirror(client, data, spec=SPEC, options=OPTIONS)
            assert report.counts[ac.Action.FETCHED] == 7
            assert {request.state for request in await client.requests()} == {"finished"}

            # One file goes with its request, a large one in pieces.
            for number, task_id in enumerate((1, 2)):
                path = data / f"task{task_id}" / FILE
                root = "<annotations>"
                path.write_text(path.read_text().replace(root, root + " " * (1 + (number << 21))))
            report = await ac.upload(client, data, options=ac.UploadOptions(durable=False))
            assert report.counts[ac.Action.UPLOADED] == 2
            assert any(call.method == "PATCH" for call in server.calls), "nothing went in pieces"

            (data / "task3" / FILE).write_text("damaged")
            verified = await ac.verify(data, client=client, repair=True)
            assert verified.ok
            report = await ac.mirror(client, data, spec=SPEC, options=OPTIONS)
            assert report.counts[ac.Action.FAILED] == 0
        assert not [call for call in server.calls if call.status in (404, 500)]


async def test_another_path_is_not_the_server() -> None:
    async with SimulatedServer(SimulatorOptions(tasks=1, path_prefix="/cvat")) as server:
        for wrong in (server.url.removesuffix("/cvat"), f"{server.url}-2"):
            async with ac.CvatClient(wrong, token=server.token) as client:
                with pytest.raises(ac.ConfigError, match=f"{wrong} answered 404"):
                    await client.user()


async def test_two_servers_on_one_host_have_destinations_of_their_own(tmp_path: Path) -> None:
    async with SimulatedServer(SimulatorOptions(tasks=1, path_prefix="/one")) as server:
        async with ac.CvatClient(server.url, token=server.token) as client:
            await ac.mirror(client, tmp_path, spec=SPEC, options=OPTIONS)
        other = server.url.replace("/one", "/two")
        async with ac.CvatClient(other, token=server.token) as client:
            with pytest.raises(
                ac.ConfigError, match=f"{server.url}.*{other}|{other}.*{server.url}"
            ):
                await ac.mirror(client, tmp_path, spec=SPEC, options=OPTIONS)

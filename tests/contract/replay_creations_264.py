"""Replay recordings of CVAT 2.64 that create, delete, export and write, against a simulated server.

The server starts with as many tasks and projects as the recorded one had, so that what is created
gets the recorded ids. The files that were sent are not recorded; `FORMS` makes such files, by the
label of the exchange. `replay_264` sends the calls, `replay` compares the responses.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from condense import lengthen
from replay import FILE_ID, compare
from replay_264 import Replay264

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions, UserSpec
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.jpeg import draw_jpeg

WORKER: Final = UserSpec("worker1", "w orker")

WORLDS: Final = {
    "create_task_264": (399, 8),
    "create_data_264": (408, 11),
    "delete_264": (402, 9),
    "cloud_storage_264": (431, 16),
    "export_project_job_264": (352, 4),
    "annotations_json_write_264": (411, 11),
}
"""How many tasks and projects the recorded server had before each scenario."""


def picture(number: int, size: int | None = None) -> bytes:
    return draw_jpeg(number, 64, 48, size)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(5):
            archive.writestr(f"d{number // 2}/im_{number}.jpg", picture(number))
    return stream.getvalue()


FORMS: Final[dict[str, dict[str, bytes]]] = {
    "data: one form of five images": {f"im_{one}.jpg": picture(one) for one in range(5)},
    "data twice": {"im_0.jpg": picture(0)},
    "Upload-Multiple: images 0..": {f"d0/im_{one}.jpg": picture(one) for one in range(3)},
    "Upload-Multiple: images 3..": {f"d1/im_{one}.jpg": picture(one) for one in (3, 4)},
    "Upload-Multiple 0": {f"im_{one}.jpg": picture(one) for one in range(3)},
    "Upload-Multiple 3": {f"im_{one}.jpg": picture(one) for one in (3, 4)},
    "zip": {"all.zip": zipped()},
    "wrong-file": {"wrong.txt": b"no media"},
    "broken-jpeg": {"broken.jpg": picture(0)[:-30]},
    "video": {"v.mp4": b"\0\0\0\x18ftypisom" + bytes(64)},
}
"""The files of each form, by the label of its exchange."""


def form(files: dict[str, bytes], boundary: str) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="client_files[{number}]"; '
        f'filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for number, (name, data) in enumerate(files.items())
    ]
    quality = f'--{boundary}\r\nContent-Disposition: form-data; name="image_quality"\r\n\r\n70\r\n'
    return b"".join([*parts, quality.encode(), f"--{boundary}--\r\n".encode()])


@dataclass(slots=True)
class CreationReplay(Replay264):
    """The replay of one scenario."""

    sizes: list[int] = field(default_factory=list)

    def path(self, path: str) -> str:
        """Return the path of a call: a poll is one of the request that was begun last."""
        if path.startswith("/api/requests/"):
            return f"/api/requests/{quote(self.rq_id, safe='')}"
        return FILE_ID.sub(self.file_id, lengthen(path))

    def body(self, recorded: dict[str, Any], headers: dict[str, str]) -> bytes | None:
        """Return the body of a call, with files like those that were sent."""
        if "upload-length" in headers:
            self.sizes.append(int(headers["upload-length"]))
        body, content_type = recorded["request"].get("body"), headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            return form(FORMS[recorded["label"]], content_type.rpartition("boundary=")[2])
        piece = re.fullmatch(r"<(\d+) bytes>", body) if isinstance(body, str) else None
        if piece is not None:
            start = int(headers["upload-offset"])
            data = picture(len(self.sizes), self.sizes[-1])
            assert len(data) == self.sizes[-1], "the picture is longer than the recorded file"
            return data[start : start + int(piece[1])]
        if body is None:
            return None
        headers.setdefault("content-type", "application/json")
        text = body if isinstance(body, str) else json.dumps(body)
        return text.replace("<redacted>", "secret").encode()

    def learn_location(self, location: str) -> None:
        """Remember the id of the upload that began."""
        found = FILE_ID.search(location)
        if found is not None:
            self.file_id = found[0]


def prepare_export(server: SimulatedServer) -> None:
    """Add jobs as the recorded filters find them: validated, completed, ground truth."""
    world = server.world
    worker = server.accounts.by_id[2].user
    for task_id in (346, 347, 348):  # those after them are of a project
        world.tasks[task_id] = dataclasses.replace(world.tasks[task_id], project_id=None)
    truth = world.add_job(348, "ground_truth", (1, 3))
    world.change_job(truth.id, id=355)
    for number in range(3, 346, 100):
        world.change_job(number, stage="annotation", state="new")
    for number in (343, 344, 345):
        other = world.add_job(number, "ground_truth", (0,))
        world.change_job(other.id, stage="acceptance")
    for number in (346, 347):
        done = {"stage": "validation", "state": "completed", "status": "validation"}
        world.change_job(number, assignee=worker, assigned=utc_now(), **done)


def prepare_writing(server: SimulatedServer) -> None:
    """Add the project whose label is that of the recorded annotations."""
    server.world.label_ids = itertools.count(219)
    server.add_project("rec-created-2", ["car"])


def prepare_deletion(server: SimulatedServer) -> None:
    """Let tasks 400 and 402 be of project 9, and no other one."""
    for task_id in (400, 402):
        server.change_task(task_id, project_id=9)


PREPARE: Final[dict[str, Callable[[SimulatedServer], None]]] = {
    "export_project_job_264": prepare_export,
    "annotations_json_write_264": prepare_writing,
    "delete_264": prepare_deletion,
}


async def _send_data(replay: CreationReplay) -> None:
    """Send the images of task 412, which the recording leaves out."""
    headers = {
        "Authorization": f"Token {replay.server.token}",
        "Content-Type": "multipart/form-data; boundary=xyz",
    }
    body = form(FORMS["data: one form of five images"], "xyz")
    url = f"{replay.server.url}/api/tasks/412/data"
    async with replay.session.post(url, data=body, headers=headers) as response:
        replay.rq_id = (await response.json(content_type=None))["rq_id"]


async def _fill_bucket(replay: CreationReplay) -> None:
    path = replay.server.world.cloud_storages[1].path("imgs/a.jpg")
    path.parent.mkdir()
    path.write_bytes(picture(1))


BEFORE: Final[dict[tuple[str, int], Callable[[CreationReplay], Awaitable[None]]]] = {
    ("annotations_json_write_264", 1): _send_data,
    ("cloud_storage_264", 1): _fill_bucket,
}
"""What happened on the recorded server before an exchange, besides calls."""


async def replay_creations_264(
    scenario: str, exchanges: list[dict[str, Any]], shapes: list[Any]
) -> dict[int, list[str]]:
    """Replay a scenario; return the differences of each exchange that differs, by its number."""
    tasks, projects = WORLDS[scenario]
    options = SimulatorOptions(
        tasks=tasks,
        projects=projects,
        users=(WORKER,),
        statuses=("annotation",),
        version="2.64.0",
    )
    differences: dict[int, list[str]] = {}
    async with (
        SimulatedServer(options) as server,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=["User-Agent", "Content-Type"]
        ) as session,
    ):
        if (prepare := PREPARE.get(scenario)) is not None:
            prepare(server)
        server.faults.add(
            *(Fault(**{kind: "stick"}, times=None) for kind in ("export", "importing", "creating"))  # type: ignore[arg-type]
        )
        replay = CreationReplay(server, session, 0)
        for index, exchange in enumerate(exchanges):
            before = BEFORE.get((scenario, index))
            if before is not None:
                await before(replay)
            received = await replay.exchange(exchange)
            replay.learn_location(received.headers.get("location", ""))
            found = compare(exchange["response"], shapes, received)
            if found:
                differences[index] = found
        await replay.settle()
    return differences

"""Replay recordings of CVAT 2.64 against a simulated server, and report differing responses.

Requests stay started until a recorded poll shows their end. A poll asks for the request that was
begun last: ids of restores are random. The files that were sent are not recorded; `FILES` makes
such files, by the label of the exchange. `replay` compares the responses.
"""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from anyio.lowlevel import checkpoint
from condense import lengthen
from replay import FILE_ID, PENDING, ReceivedResponse, compare, form_of
from yarl import URL

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.formats.backups import write_backup

OPTIONS: Final = SimulatorOptions(
    tasks=341, frames=5, projects=4, frame_bytes=55_000, video_tasks=0, version="2.64.0"
)
_UPLOAD: Final = 300_466
"""Bytes of the backup that was uploaded in pieces."""


def prepare(server: SimulatedServer) -> None:
    """Change the tasks to those that the recorded calls name."""
    world = server.world
    server.add_organization("acme")
    tasks = world.tasks
    for task_id in (331, 339, 340, 341):
        labels = tuple(dataclasses.replace(one, attributes=()) for one in tasks[task_id].labels)
        tasks[task_id] = dataclasses.replace(tasks[task_id], project_id=None, labels=labels)
    tasks[331] = dataclasses.replace(tasks[331], size=None, mode="")
    tasks[340] = dataclasses.replace(tasks[340], mode="interpolation")
    for task in list(tasks.values()):
        if task.project_id == 4 and task.id > 310:
            del tasks[task.id]
    world.version += 1


# --- The files that were sent -----------------------------------------------------------------


def task_backup(server: SimulatedServer) -> bytes:
    stream = io.BytesIO()
    write_backup(stream, [server.tasks[4]])
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b" " * (_UPLOAD - len(stream.getvalue()))
    data = stream.getvalue()
    assert len(data) == _UPLOAD
    return data


def project_backup(server: SimulatedServer) -> bytes:
    stream = io.BytesIO()
    tasks = server.world.project_tasks(4)[:2]
    write_backup(stream, tasks, project=server.projects[4])
    return stream.getvalue()


def dataset(server: SimulatedServer) -> bytes:
    return export_archive(server.tasks[4], "COCO 1.0", save_images=True)


def other_zip(_server: SimulatedServer) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "no backup")
    return stream.getvalue()


def rubbish(_server: SimulatedServer) -> bytes:
    return b"rubbish"


FILES: Final[dict[str, tuple[str, Callable[[SimulatedServer], bytes]]]] = {
    "multipart with trailing slash": ("task_file", task_backup),
    "multipart": ("task_file", task_backup),
    "the same again": ("task_file", task_backup),
    "into an organization": ("task_file", task_backup),
    "a zip that is no backup": ("task_file", other_zip),
    "cut short": ("task_file", lambda server: task_backup(server)[:200_000]),
    "project backup as a task": ("task_file", project_backup),
    "project": ("project_file", project_backup),
    "COCO with images": ("dataset_file", dataset),
    "again": ("dataset_file", dataset),
    "unknown format": ("dataset_file", dataset),
    "CVAT for images XML over tracks": (
        "annotation_file",
        lambda server: export_archive(server.tasks[340], "CVAT for images 1.1", save_images=False),
    ),
    "CVAT for video XML puts them back": (
        "annotation_file",
        lambda server: export_archive(server.tasks[339], "CVAT for video 1.1", save_images=False),
    ),
}
"""The form field and the content of each file, by the label of its exchange."""


# --- The replay ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Replay264:
    """The replay of one scenario."""

    server: SimulatedServer
    session: aiohttp.ClientSession
    project_id: int
    rq_id: str = ""
    file_id: str = ""

    async def settle(self) -> None:
        """Let all requests end."""
        requests = self.server.requests
        while not all(request.ended for request in requests.values()):
            for request in requests.values():
                request.hold.set()
            await checkpoint()

    async def exchange(self, recorded: dict[str, Any]) -> ReceivedResponse:
        """Send a recorded call, and return the response."""
        request, response = recorded["request"], recorded["response"]
        if _needs_ends(request, response):
            await self.settle()
        headers = dict(request.get("headers", {}))
        headers["authorization"] = f"Token {self.token(recorded)}"
        if "origin" in headers:
            headers["origin"] = self.server.url
        body = self.body(recorded, headers)
        url = URL(f"{self.server.url}{self.path(request['path'])}", encoded=True)
        async with self.session.request(
            request["method"], url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            received = ReceivedResponse(answer.status, lowered, await answer.read())
        self._learn(received)
        return received

    def _learn(self, received: ReceivedResponse) -> None:
        found = re.search(rb'^\{"rq_id":"([^"]+)"\}$', received.body)
        if found is not None:
            self.rq_id = found[1].decode()
        self.file_id = received.headers.get("upload-filename", self.file_id)
        created = re.search(r"/api/projects/(\d+)$", received.headers.get("location", ""))
        if created is not None:
            self.project_id = int(created[1])

    def token(self, recorded: dict[str, Any]) -> str:
        """Return the token of the user who calls."""
        accounts = self.server.accounts
        other = recorded.get("label") == "another user's"
        return accounts.token_of(accounts.by_id[2]) if other else self.server.token

    def path(self, path: str) -> str:
        """Return the path of a call, with the ids of this server."""
        if path.startswith("/api/requests/"):
            return f"/api/requests/{quote(self.rq_id, safe='')}"
        path = FILE_ID.sub(self.file_id, lengthen(path))
        path = path.replace("project_id=15", f"project_id={self.project_id}")
        return path.replace("/api/projects/15", f"/api/projects/{self.project_id}")

    def body(self, recorded: dict[str, Any], headers: dict[str, str]) -> bytes | None:
        """Return the body of a call, with files like those that were sent."""
        content_type = headers.get("content-type", "")
        label, body = recorded.get("label", ""), recorded["request"].get("body")
        if content_type.startswith("multipart/form-data"):
            path = recorded["request"]["path"]
            field, make = FILES.get(label) or (_field(path), rubbish)
            return form_of(field, make(self.server), content_type)
        piece = re.fullmatch(r"<(\d+) bytes>", body) if isinstance(body, str) else None
        if piece is not None:
            start = int(headers["upload-offset"])
            return task_backup(self.server)[start : start + int(piece[1])]
        return None if body is None else FILE_ID.sub(self.file_id, str(body)).encode()


def _field(path: str) -> str:
    return "dataset_file" if "/dataset" in path else "task_file"


def _needs_ends(request: dict[str, Any], response: dict[str, Any]) -> bool:
    """Whether requests have ended when a call comes."""
    path = request["path"]
    if path.startswith("/api/requests/"):
        return response.get("request_status") not in PENDING
    if request["method"] == "POST":
        return bool(response["status"] == 202)
    return bool(request["method"] == "GET")


async def replay_restores_264(
    _scenario: str, exchanges: list[dict[str, Any]], shapes: list[Any]
) -> dict[int, list[str]]:
    """Replay a scenario; return the differences of each exchange that differs, by its number."""
    differences: dict[int, list[str]] = {}
    jar = aiohttp.DummyCookieJar()
    skipped = ["User-Agent", "Content-Type"]
    async with (
        SimulatedServer(OPTIONS) as server,
        aiohttp.ClientSession(cookie_jar=jar, skip_auto_headers=skipped) as session,
    ):
        prepare(server)
        stuck = (Fault(export="stick", times=None), Fault(importing="stick", times=None))
        server.faults.add(*stuck)
        replay = Replay264(server, session, server.world.add_project("rec-import").id)
        for index, exchange in enumerate(exchanges):
            received = await replay.exchange(exchange)
            found = compare(exchange["response"], shapes, received)
            if found:
                differences[index] = found
        await replay.settle()
    return differences

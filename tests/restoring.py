"""A server that takes backups by TUS and makes tasks of them, as the recordings show it.

It can lose answers, forget files and requests, and counts what it made.
"""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

LABELS = [{"name": "car", "type": "any", "attributes": [], "sublabels": []}]
BOX = {"type": "rectangle", "frame": 0, "points": [1, 2, 3, 4], "label": "car", "attributes": []}


def backup(
    name: str = "street",
    *,
    frames: int = 3,
    boxes: int = 2,
    version: str = "1.0",
    labels: list[dict[str, Any]] | None = None,
    jobs: list[dict[str, Any]] | None = None,
    media: int = 1000,
) -> bytes:
    """The zip of a task's backup."""
    jobs = jobs or [{"type": "annotation", "start_frame": 0, "stop_frame": frames - 1}]
    task = {
        "name": name,
        "subset": "",
        "version": version,
        "labels": LABELS if labels is None else labels,
        "jobs": jobs,
    }
    per_job = [
        {"version": 0, "tags": [], "shapes": [BOX] * boxes if not number else [], "tracks": []}
        for number, _ in enumerate(jobs)
    ]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("task.json", json.dumps(task))
        archive.writestr("annotations.json", json.dumps(per_job))
        archive.writestr("data/000.jpg", name.encode() * (media // max(len(name), 1)))
    return content.getvalue()


def project_backup(name: str, *tasks: bytes) -> bytes:
    """The zip of a project's backup, made of those of its tasks."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        head = {"name": name, "version": "1.0", "labels": LABELS}
        archive.writestr("project.json", json.dumps(head))
        for number, task in enumerate(tasks):
            with zipfile.ZipFile(io.BytesIO(task)) as inner:
                for member in inner.namelist():
                    archive.writestr(f"task_{number}/{member}", inner.read(member))
    return content.getvalue()


@dataclass
class Sent:
    """A file that is being sent."""

    place: str
    size: int
    content: bytearray = field(default_factory=bytearray)


Handler = Callable[..., Any]


@dataclass
class RestoringServer:
    """What the server has, and what goes wrong with it."""

    url: str = ""
    files: dict[str, Sent] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    received: int = 0
    finishes: int = 0
    faults: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    before: Callable[[str, str], None] = lambda _method, _path: None
    after: Callable[[str, str], None] = lambda _method, _path: None
    largest: int = 25 << 30
    losing: Callable[[dict[str, Any]], None] = lambda _task: None
    unanswered: int = 0
    most_unanswered: int = 0

    def fault(self, method: str, path: str, *what: Any) -> None:
        """Let the next calls of a kind go wrong: a status, "drop" before or "lose" after."""
        self.faults.setdefault((method, path), []).extend(what)

    def count(self, method: str, path: str) -> int:
        return sum(
            one == method and re.fullmatch(path, other) is not None for one, other in self.calls
        )

    def names(self) -> list[str]:
        return sorted(task["name"] for task in self.tasks.values())

    # --- calls ----------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        method, path = request.method, request.path
        self.before(method, path)
        self.calls.append((method, path))
        is_finish = "Upload-Finish" in request.headers
        key = ("FINISH" if is_finish else method, path)
        fault = self.faults[key].pop(0) if self.faults.get(key) else None
        if fault == "drop" or isinstance(fault, int):
            if fault == "drop":
                assert request.transport is not None
                request.transport.abort()
            return self.reply(None, 500 if fault == "drop" else int(fault))
        if is_finish:
            self.unanswered += 1
            self.most_unanswered = max(self.most_unanswered, self.unanswered)
        answer = await self.answer(request)
        self.unanswered -= is_finish
        self.after(method, path)
        if fault == "lose":
            assert request.transport is not None
            request.transport.abort()
        return answer

    def reply(self, value: Any, status: int = 200, **headers: str) -> web.Response:
        body = b"" if value is None else msgspec.json.encode(value)
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        date = {"Date": format_datetime(datetime.now(UTC), usegmt=True)}
        return web.Response(
            status=status,
            body=body,
            headers={"Content-Type": "application/vnd.cvat+json", **date, **named},
        )

    async def answer(self, request: web.Request) -> web.Response:
        path, query = request.path, request.query
        fixed: dict[str, Callable[[], Any]] = {
            "/api/auth/login": lambda: self.reply({"key": "0" * 40}),
            "/api/server/about": lambda: self.reply({"version": "2.64.0"}),
            "/api/server/annotation/formats": lambda: self.reply(
                {
                    "importers": [{"name": "COCO 1.0", "ext": "JSON, ZIP", "dimension": "2d"}],
                    "exporters": [{"name": "COCO 1.0", "ext": "ZIP", "dimension": "2d"}],
                }
            ),
            "/api/requests": lambda: self.page(list(self.requests.values())[::-1]),
            "/api/tasks": lambda: self.page(self.filtered(self.tasks, query)),
            "/api/projects": lambda: self.page(self.filtered(self.projects, query)),
            "/api/labels": lambda: self.page(self.projects[int(query["project_id"])]["labels"]),
            "/api/jobs": lambda: self.page(
                [job for one in self.ids(query, "task_id") or () for job in self.tasks[one]["jobs"]]
            ),
        }
        if path in fixed:
            answer = fixed[path]()
            assert isinstance(answer, web.Response)
            return answer
        if found := re.fullmatch(r"/api/(task|project)s/backup/(.*)", path):
            if found[2]:
                return await self.piece(request, found[2])
            return await self.post_backup(request, found[1])
        if found := re.fullmatch(r"/api/projects/(\d+)/dataset/(.*)", path):
            if found[2]:
                return await self.piece(request, found[2])
            return await self.post_dataset(request, int(found[1]))
        if found := re.fullmatch(r"/api/requests/(.+)", path):
            one = self.requests.get(found[1])
            return self.reply("unknown", 404) if one is None else self.reply(one)
        if found := re.fullmatch(r"/api/(task|project|job)s/(\d+)(/annotations)?", path):
            return await self.one(request, found[1], int(found[2]), annotations=bool(found[3]))
        return self.reply({"detail": "Not found."}, 404)

    def page(self, results: list[Any]) -> web.Response:
        return self.reply({"count": len(results), "next": None, "results": results})

    def ids(self, query: Any, key: str) -> list[int] | None:
        if key in query:
            return [int(query[key])]
        for term in re.findall(
            r'\{"in": ?\[\{"var": ?"' + key + r'"\}, ?\[([\d, ]*)\]', query.get("filter", "")
        ):
            return [int(one) for one in term.split(",")]
        return None

    def filtered(self, what: dict[int, dict[str, Any]], query: Any) -> list[dict[str, Any]]:
        found = list(what.values())
        if (ids := self.ids(query, "id")) is not None:
            found = [one for one in found if one["id"] in ids]
        if (ids := self.ids(query, "project_id")) is not None:
            found = [one for one in found if one.get("project_id") in ids]
        if name := re.search(r'\{"var": ?"name"\}, ?"([^"]*)"', query.get("filter", "")):
            found = [one for one in found if one["name"] == name[1]]
        if query.get("sort") == "-id":
            found.sort(key=lambda one: -one["id"])
        return found

    async def one(
        self, request: web.Request, kind: str, number: int, *, annotations: bool
    ) -> web.Response:
        if kind == "job":
            boxes = next(
                job["boxes"]
                for one in self.tasks.values()
                for job in one["jobs"]
                if job["id"] == number
            )
            return self.reply({"tags": [], "shapes": [BOX] * boxes, "tracks": []})
        found = (self.tasks if kind == "task" else self.projects).get(number)
        if found is None:
            return self.reply({"detail": "Not found."}, 404)
        if annotations:
            return self.reply({"tags": [], "shapes": [BOX] * found["boxes"], "tracks": []})
        if request.method == "PATCH":
            found |= await request.json()
        return self.reply(found)

    # --- uploads --------------------------------------------------------------------------------

    async def post_backup(self, request: web.Request, kind: str) -> web.Response:
        headers = request.headers
        if "Upload-Start" in headers:
            return self.reply(None, 202)
        if "Upload-Length" in headers:
            size = int(headers["Upload-Length"])
            if size > self.largest:
                return self.reply(f"File size exceeds max limit of {self.largest} bytes", 413)
            file_id = f"1_{uuid.uuid4()}"
            self.files[file_id] = Sent(request.path, size)
            place = f"{self.url}{request.path}{file_id}"
            return self.reply(None, 201, Location=place, Upload_Filename=file_id)
        assert "Upload-Finish" in headers
        sent = self.files.pop(request.query["filename"], None)
        if sent is None:
            return self.reply(["No such file were uploaded"], 400)
        self.finishes += 1
        return self.reply({"rq_id": self.begin(kind, bytes(sent.content))}, 202)

    async def post_dataset(self, request: web.Request, project_id: int) -> web.Response:
        if "Upload-Finish" not in request.headers:
            return await self.post_backup(request, "project")
        rq_id = f"action=import&target=project&target_id={project_id}&subresource=dataset"
        one = self.requests.get(rq_id)
        if one is not None and one["status"] == "started":
            return self.reply({"rq_id": rq_id}, 409)
        sent = self.files.pop(request.query["filename"], None)
        if sent is None:
            return self.reply(["No such file were uploaded"], 400)
        self.finishes += 1
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        one = {
            "id": rq_id,
            "status": "finished",
            "operation": {"type": "import:dataset", "target": "project", "project_id": project_id},
            "created_date": now,
        }
        try:
            with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
                for subset in archive.namelist():
                    number = 100 + len(self.tasks)
                    made = {"id": number, "name": subset, "project_id": project_id}
                    self.tasks[number] = {**made, "created_date": now, "size": 1}
        except zipfile.BadZipFile as error:
            one |= {"status": "failed", "message": f"zipfile.BadZipFile: {error}\n"}
        self.requests[rq_id] = one
        return self.reply({"rq_id": rq_id}, 202)

    async def piece(self, request: web.Request, file_id: str) -> web.Response:
        sent = self.files.get(file_id)
        if sent is None or len(sent.content) == sent.size:
            return self.reply(None, 404)
        if request.method == "HEAD":
            return self.reply(None, 200, Upload_Offset=str(len(sent.content)))
        if int(request.headers["Upload-Offset"]) != len(sent.content):
            return self.reply(None, 409)
        content = await request.read()
        self.received += len(content)
        sent.content += content
        return self.reply(None, 204, Upload_Offset=str(len(sent.content)))

    def begin(self, kind: str, content: bytes) -> str:
        """Restore at once. The request shows it as finished."""
        rq_id = f"action=import&target={kind}&id={uuid.uuid4()}&subresource=backup"
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        one: dict[str, Any] = {
            "id": rq_id,
            "status": "finished",
            "message": "",
            "operation": {"type": "import:backup", "target": kind, "task_id": None},
            "created_date": now,
            "started_date": now,
            "finished_date": now,
            "result_id": None,
        }
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                one["result_id"] = (
                    self.add_task(archive, "") if kind == "task" else self.add_project(archive)
                )
        except (zipfile.BadZipFile, KeyError) as error:
            one |= {"status": "failed", "message": f"zipfile.BadZipFile: {error}\n"}
        self.requests[rq_id] = one
        return rq_id

    def add_task(self, archive: zipfile.ZipFile, folder: str, project_id: int | None = None) -> int:
        head = json.loads(archive.read(f"{folder}task.json"))
        annotations = json.loads(archive.read(f"{folder}annotations.json"))
        number = 100 + len(self.tasks)
        jobs = [
            {
                "id": number * 100 + index,
                "task_id": number,
                "type": job["type"],
                "start_frame": job["start_frame"],
                "stop_frame": job["stop_frame"],
                "boxes": len(of_job["shapes"]),
            }
            for index, (job, of_job) in enumerate(zip(head["jobs"], annotations, strict=True))
        ]
        self.tasks[number] = {
            "id": number,
            "name": head["name"],
            "size": max(job["stop_frame"] for job in head["jobs"]) + 1,
            "project_id": project_id,
            "created_date": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "updated_date": "x",
            "jobs": jobs,
            "boxes": sum(job["boxes"] for job in jobs if job["type"] == "annotation"),
        }
        self.losing(self.tasks[number])
        return number

    def add_project(self, archive: zipfile.ZipFile) -> int:
        head = json.loads(archive.read("project.json"))
        number = 10 + len(self.projects)
        self.projects[number] = {
            "id": number,
            "name": head["name"],
            "labels": head["labels"],
            "created_date": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        folders = sorted({name.split("/")[0] for name in archive.namelist() if "/" in name})
        for folder in folders:
            self.add_task(archive, f"{folder}/", number)
        return number


@asynccontextmanager
async def restoring_server() -> AsyncIterator[RestoringServer]:
    """Run a server that has nothing yet."""
    server = RestoringServer()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def dataset(*subsets: str) -> bytes:
    """The zip of a dataset with these subsets."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for subset in subsets:
            archive.writestr(subset, "images" * 1000)
    return content.getvalue()


def store_backup(
    dest: Path,
    target_id: int,
    content: bytes,
    *,
    target: str = "task",
    stamp: str = "2026-11-29T031200Z",
    lightweight: bool = False,
    name: str = "",
    origin: str = "http://old",
) -> Path:
    """Put a backup into a destination, with its receipt, as `asynccvat backup` leaves it."""
    folder = f"{target}{target_id}"
    path = dest / folder / f"{stamp}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    receipt = {
        "version": 1,
        "target": target,
        "id": target_id,
        "name": name or f"old {target_id}",
        "file": f"{folder}/{stamp}.zip",
        "size": len(content),
        "digest": "",
        "files": 0,
        "bytes": 0,
        "lightweight": lightweight,
        "state": {"updated_date": "x", "jobs": "", "media": ""},
        "origin": origin,
        "requested_at": "2026-11-29T03:12:00Z",
        "committed_at": "2026-11-29T03:12:01Z",
    }
    place = dest / ".asynccvat" / "backups" / folder / f"{stamp}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(msgspec.json.encode(receipt) + b"\n")
    return path

"""Replay recordings of CVAT 2.64 that only read, against a simulated server.

`prepare` gives the server tasks like the recorded ones: labels, shapes and tracks of the same
kinds, jobs, videos, and requests of every action. `replay_264` sends the calls, `replay` compares
the responses.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any, Final

import aiohttp
from replay import compare
from replay_264 import Replay264, other_zip
from replay_creations_264 import WORKER, form, picture

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.formats.backups import write_backup
from asynccvat.simulator.world.annotations import (
    Annotations,
    Attribute,
    Label,
    Shape,
    Track,
    TrackedShape,
)
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import TaskMedia

OPTIONS: Final = SimulatorOptions(
    tasks=353,
    projects=1,
    frames=5,
    users=(WORKER,),
    statuses=("annotation",),
    version="2.64.0",
    unicode_tasks=21,
)


# --- The tasks ----------------------------------------------------------------------------------


def labels_of(server: SimulatedServer, *names: str) -> tuple[Label, ...]:
    ids = server.world.label_ids
    return tuple(Label(next(ids), name, "#2080c0", "any", (), None) for name in names)


def body_label(server: SimulatedServer) -> Label:
    """Return a skeleton, of three points."""
    points = tuple(
        dataclasses.replace(label, type="points") for label in labels_of(server, "1", "2", "3")
    )
    (label,) = labels_of(server, "body")
    return dataclasses.replace(label, type="skeleton", sublabels=points, svg="<circle></circle>")


def box(number: int, label: Label, frame: int = 0) -> Shape:
    return Shape(number, "rectangle", label, frame, (1.0, 2.0, 30.0, 40.0), False, 0, ())


def track(number: int, label: Label) -> Track:
    shapes = tuple(
        TrackedShape(10 * number + frame, "rectangle", frame, (1.0, 2.0, 30.0, 40.0), False, False)
        for frame in (5, 9)
    )
    return Track(number, label, shapes, group=0)


def change(server: SimulatedServer, task_id: int, **fields: Any) -> None:
    tasks = server.world.tasks
    tasks[task_id] = dataclasses.replace(tasks[task_id], **fields)


def own(server: SimulatedServer, task_id: int, *names: str) -> tuple[Label, ...]:
    """Give a task labels of its own."""
    labels = labels_of(server, *names)
    owned = tuple(dataclasses.replace(label, task_id=task_id) for label in labels)
    change(server, task_id, project_id=None, labels=owned)
    return owned


def prepare(server: SimulatedServer) -> None:
    """Change the tasks to those that the recorded calls name."""
    world = server.world
    server.add_organization("acme")
    for number in (4, 5):
        made = world.tasks[number].annotations()
        change(server, number, given=dataclasses.replace(made, tags=()))
    for number in (332, 333, 342, 347, 348, 353):
        labels = own(server, number, "car", "person")
        boxes = () if number == 332 else (box(1, labels[0]), box(2, labels[1], 2))
        change(server, number, given=Annotations(boxes))
    change(server, 331, size=None, mode="")
    _prepare_project(server)
    _prepare_videos(server)
    _prepare_mixed(server)
    _prepare_jobs(server)
    world.version += 1


def _prepare_project(server: SimulatedServer) -> None:
    for name in ("two", "three"):
        server.add_project(name)
    project = server.add_project("subsets", ["car", "person"])
    given = Annotations((box(1, project.labels[0]),))
    change(server, 334, project_id=project.id, labels=project.labels, subset="train", given=given)


def _prepare_videos(server: SimulatedServer) -> None:
    for number, count in ((339, 60), (340, 30)):
        label, _ = own(server, number, "car", "person")
        frames = tuple(
            Frame(index, f"frame_{index:06d}.PNG", 640, 480, index, None) for index in range(count)
        )
        media = TaskMedia(frames, (), video="video.mp4", stop_frame=count - 1)
        given = Annotations((box(1, label, 3),), (), (track(2, label), track(3, label)))
        server.world.fill_task(number, media, data_chunk_size=20, given=given)


def _prepare_mixed(server: SimulatedServer) -> None:
    """Give task 341 labels of all kinds and two jobs."""
    car, *others = labels_of(server, "car", "lane", "blob", "weather", "area", "kp", "round")
    parked = Attribute(1, "parked", False, "checkbox", "false", ("false", "true"))
    labels = (dataclasses.replace(car, attributes=(parked,)), *others, body_label(server))
    owned = tuple(dataclasses.replace(label, task_id=341) for label in labels)
    given = Annotations((box(1, owned[0]),))
    change(server, 341, project_id=None, labels=owned, given=given, wanted_segment_size=3, size=6)
    _divide(server, 341, 340, 341)


def _prepare_jobs(server: SimulatedServer) -> None:
    """Make the jobs: several, completed, assigned, and one of ground truth."""
    world = server.world
    _divide(server, 342, 342)
    done = {"stage": "acceptance", "state": "completed", "status": "completed"}
    world.change_job(342, **done)
    change(server, 347, wanted_segment_size=2, size=6)
    _divide(server, 347, 351, 352, 353)
    for number in (351, 352, 353):
        world.change_job(number, stage="validation", status="validation")
    world.change_job(353, assignee=server.accounts.by_id[2].user)
    _divide(server, 348, 354)
    truth = world.add_job(348, "ground_truth", (1, 3))
    world.change_job(truth.id, id=355)


def _divide(server: SimulatedServer, task_id: int, *job_ids: int) -> None:
    """Give a task jobs of these ids."""
    task = server.world.tasks[task_id]
    made = task.jobs()[0]
    jobs = tuple(
        dataclasses.replace(made, id=number, start_frame=start, stop_frame=stop)
        for number, (start, stop) in zip(job_ids, task.segments(), strict=True)
    )
    server.world.change_task(task_id, own_jobs=jobs)


# --- The requests -------------------------------------------------------------------------------


class ReadReplay(Replay264):
    """The replay of one scenario."""

    async def post(self, path: str, files: dict[str, bytes] | None = None, field: str = "") -> None:
        """Ask for something as the administrator, and wait for its end."""
        headers = {"Authorization": f"Token {self.server.token}"}
        body: Any = None
        if files is not None:
            headers["Content-Type"] = "multipart/form-data; boundary=xyz"
            body = form(files, "xyz")
            if field:
                body = body.replace(b'name="client_files[0]"', f'name="{field}"'.encode())
        url = f"{self.server.url}{path}"
        async with self.session.post(url, data=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
        await self.settle()


async def ask_for_everything(replay: ReadReplay) -> None:
    """Make requests of every action, those of the recorded first page last."""
    server = replay.server
    backup = io.BytesIO()
    write_backup(backup, [server.tasks[4]])
    for files in ({"b.zip": other_zip(server)}, {"b.zip": backup.getvalue()}):
        await replay.post("/api/tasks/backup", files, "task_file")
    await replay.post("/api/tasks/4/backup/export")
    for content in (b"no media", picture(0)[:-30]):
        task = server.add_task("broken", project_id=4, frames=None)
        name = "wrong.txt" if content == b"no media" else "broken.jpg"
        await replay.post(f"/api/tasks/{task.id}/data", {name: content})
    exports = ["/api/tasks/4/dataset/export?format=CVAT for images 1.1&save_images=true"]
    for target in ("projects/4", "jobs/355"):
        exports += [
            f"/api/{target}/dataset/export?format=COCO 1.0&save_images={images}"
            for images in ("false", "true")
        ]
    exports.append("/api/projects/4/dataset/export?format=CVAT for images 1.1&save_images=false")
    for path in exports:
        await replay.post(path.replace(" ", "+"))
    rubbish = {"rubbish.zip": b"rubbish"}
    await replay.post("/api/projects/4/dataset?format=COCO 1.0", rubbish, "dataset_file")
    file = {"annotations.xml": b"<annotations></annotations>"}
    path = "/api/tasks/340/annotations?format=CVAT 1.1"
    await replay.post(path, file, "annotation_file")


# --- The replay ---------------------------------------------------------------------------------


async def replay_reads_264(
    scenario: str, exchanges: list[dict[str, Any]], shapes: list[Any]
) -> dict[int, list[str]]:
    """Replay a scenario; return the differences of each exchange that differs, by its number."""
    differences: dict[int, list[str]] = {}
    async with (
        SimulatedServer(OPTIONS) as server,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=["User-Agent", "Content-Type"]
        ) as session,
    ):
        prepare(server)
        replay = ReadReplay(server, session, 15)
        if scenario == "requests_list_264":
            await ask_for_everything(replay)
        for index, exchange in enumerate(exchanges):
            received = await replay.exchange(exchange)
            found = compare(exchange["response"], shapes, received)
            if found:
                differences[index] = found
    return differences

"""What is cut off: each kind of run, how it goes on afterwards, and what has to be there then.

All share one server in a process of its own, so that every descriptor, thread and task of this
process is the client's; each has tasks of its own there.
"""
# ruff: noqa: ARG002 - scenarios have the same methods, and not each needs all that they are told

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.parse
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutting import Way

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.events import Event, TaskDone
from asynccvat.settings import Settings
from asynccvat.simulator import Fault
from asynccvat.simulator.processes import ServerProcess

Tree = dict[str, bytes]

PLAIN = ac.ExportSpec("COCO 1.0")
IMAGES = ac.ExportSpec("COCO 1.0", images=True)
REPLACING = ac.UploadOptions(lossy=True, overwrite=True)
"""COCO lacks the points and tags of these tasks, and others edit the tasks meanwhile."""
ANNOTATIONS = "annotations/instances_default.json"
OWN = ".asynccvat"

_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Server:
    """The server, asked beside the client."""

    process: ServerProcess

    @property
    def credentials(self) -> dict[str, Any]:
        return {"username": self.process.username, "password": self.process.password}

    def ask(self, path: str, method: str = "GET", **query: Any) -> Any:
        url = f"{self.process.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, method=method)
        request.add_header("Authorization", f"Token {self.process.token}")
        with _directly.open(request) as answer:
            return json.load(answer)

    def add_tasks(self, number: int, frames: int = 3) -> tuple[int, ...]:
        return tuple(self.process.do("add_task", frames=frames)["id"] for _ in range(number))

    def edit(self, *task_ids: int) -> None:
        for task_id in task_ids:
            self.process.do("edit_task", task_id=task_id)

    def queued(self) -> set[str]:
        """The ids of the requests that wait in its queue."""
        found = self.ask("/api/requests", status="queued", page_size=1000)
        return {request["id"] for request in found["results"]}

    def export(self, task_id: int, spec: ac.ExportSpec) -> str:
        """Ask for an export as somebody else would."""
        path = f"/api/tasks/{task_id}/dataset/export"
        images = str(spec.images).lower()
        asked = self.ask(path, "POST", format=spec.format, save_images=images)
        rq_id: str = asked["rq_id"]
        return rq_id

    def shapes(self, task_id: int) -> list[Any]:
        """A task's annotations, without what each import numbers anew."""
        held = self.ask(f"/api/tasks/{task_id}/annotations")
        return sorted([shape["frame"], shape["type"], shape["points"]] for shape in held["shapes"])


class Log:
    """Remembers events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def done(self, *actions: ac.Action) -> set[int]:
        """The tasks that ended so."""
        return {
            event.outcome.task_id
            for event in self.events
            if isinstance(event, TaskDone) and event.outcome.action in actions
        }


def files(place: Path) -> Tree:
    """The files below a folder, but for the mirror's own, by path."""
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and OWN not in path.parts
    }


def linked(source: Path, target: Path) -> None:
    """A copy of a tree whose files are the same: nothing here writes into files that are there."""
    shutil.copytree(source, target, copy_function=os.link, ignore=shutil.ignore_patterns("lock"))


class Scenario:
    """Something to cut off.

    Attributes:
        callbacks: Where it does not end by itself: so many of its callbacks are looked at.
        ways: How it can be cut off.
        whole: Each tree that a folder may be, by its name; no other may be there.
    """

    callbacks: int | None = None
    ids: tuple[int, ...] = ()
    ways: tuple[Way, ...] = tuple(Way)

    def __init__(self, base: Path, server: Server) -> None:
        self.base = base
        self.server = server
        self.whole: dict[str, list[Tree]] = {}

    async def prepare(self, client: ac.CvatClient) -> None:
        """Bring about, once, what each case begins with, and learn how each has to end."""

    def begin(self, place: Path) -> None:
        """Begin a case."""

    def work(self, client: ac.CvatClient, place: Path, log: Log) -> Awaitable[Any]:
        """What is cut off."""
        raise NotImplementedError

    async def go_on(self, client: ac.CvatClient, place: Path, log: Log) -> None:
        """Run it again, to its end."""
        await self.work(client, place, log)

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        """Look at what it left.

        Args:
            place: Of the case.
            all_cancelled: Whether the tasks of its calls were cancelled, too: then what a call
                brought about at the server, whose answer nobody waited for, is not known here.
        """

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        """Look at what is there when it was run again."""

    def only_whole_folders(self, place: Path) -> None:
        """Each folder is one of the trees that it may be, and nothing is beside them."""
        if not place.exists():
            return
        for folder in place.iterdir():
            if folder.name != OWN:
                tree = files(folder)
                assert tree in self.whole.get(folder.name, ()), f"{folder}: {sorted(tree)}"


# --- mirrors --------------------------------------------------------------------------------------


class Mirror(Scenario):
    """A mirror of three tasks that are not here yet."""

    spec = IMAGES
    options = ac.MirrorOptions()
    frames = 3
    tasks = 3

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(self.tasks, self.frames)
        self.old = self.base / "old"
        await self.before(client)
        done = self.base / "done"
        self.begin(done)
        report = await self.mirror(client, done / "data")
        assert report.ok, report.failures
        self.report = report
        self.wanted = files(done / "data")
        self.may_be(self.old)
        self.may_be(done / "data")
        self.undo()

    async def before(self, client: ac.CvatClient) -> None:
        """Bring about what is here before it, and what has changed since."""

    def undo(self) -> None:
        """Make the server what it was when a case began."""
        self.server.process.do("forget_requests")

    def may_be(self, place: Path) -> None:
        if place.exists():
            for folder in place.iterdir():
                if folder.name != OWN:
                    self.whole.setdefault(folder.name, []).append(files(folder))

    def begin(self, place: Path) -> None:
        if self.old.exists():
            linked(self.old, place / "data")
        self.undo()

    async def mirror(
        self, client: ac.CvatClient, data: Path, log: Log | None = None
    ) -> ac.RunReport:
        selection = ac.Selection(task_ids=list(self.ids))
        return await ac.mirror(
            client, data, selection, self.spec, options=self.options, on_event=log
        )

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        report = await self.mirror(client, place / "data", log)
        assert report.ok, report.failures

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        self.only_whole_folders(place / "data")
        staging = place / "data" / OWN / "staging"
        left = [path.name for path in staging.iterdir()] if staging.exists() else []
        assert left == [], f"staging holds {left}"

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        data = place / "data"
        assert files(data) == self.wanted
        assert {path.stem for path in (data / OWN / "receipts").iterdir()} == {
            str(task_id) for task_id in self.ids
        }
        assert list((data / OWN / "staging").iterdir()) == []
        assert list((data / OWN / "kept").iterdir()) == []
        # What was done once is not paid for again.
        assert first.done(ac.Action.FETCHED) <= second.done(ac.Action.KEPT)


class IteratedMirror(Mirror):
    """The same, its outcomes met as they land."""

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        what = ac.Selection(task_ids=list(self.ids))
        met = set()
        async with ac.open_mirror(
            client, place / "data", what, self.spec, options=self.options, on_event=log
        ) as run:
            async for outcome in run:
                met.add(outcome.task_id)
        assert met == set(self.ids)


class QueuedMirror(Mirror):
    """A mirror whose exports wait in the server's queue, among those of others."""

    spec = PLAIN
    callbacks = 260

    def begin(self, place: Path) -> None:
        super().begin(place)
        self.server.process.do("pause_exports")
        self.others = {
            self.server.export(self.ids[0], self.spec),  # is taken for its own
            self.server.export(self.ids[1], ac.ExportSpec("Datumaro 1.0")),
        }

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(self.tasks)
        self.old = self.base / "old"
        report = await self.mirror(client, self.base / "data")
        assert report.ok, report.failures
        self.wanted = files(self.base / "data")
        self.may_be(self.base / "data")

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        super().check_between(place, all_cancelled=all_cancelled)
        queued = self.server.queued()
        assert queued >= self.others if all_cancelled else queued == self.others, queued
        self.server.process.do("release_exports")


class Update(Mirror):
    """A mirror of tasks that were edited: images are taken over, read again."""

    options = ac.MirrorOptions(refresh=False)

    async def before(self, client: ac.CvatClient) -> None:
        assert (await self.mirror(client, self.old)).ok
        self.server.edit(*self.ids[:2])


class Refresh(Update):
    """The same, where annotations alone are exported."""

    options = ac.MirrorOptions()

    async def prepare(self, client: ac.CvatClient) -> None:
        await super().prepare(client)
        assert self.report.transferred < 100_000, "the images were exported, too"


class PruneAndMove(Mirror):
    """A mirror that renames its folders, and removes that of a task that is gone."""

    spec = PLAIN

    async def before(self, client: ac.CvatClient) -> None:
        self.gone = self.server.add_tasks(1)
        what = ac.Selection(task_ids=[*self.ids, *self.gone])
        assert (await ac.mirror(client, self.old, what, self.spec)).ok
        for task_id in self.gone:
            self.server.process.do("delete_task", task_id=task_id)
        self.options = ac.MirrorOptions(
            prune=True, max_delete="100%", folder_prefix="moved", change=True
        )


class Repair(Mirror):
    """A verification of a mirror, and the repair of a file that was damaged."""

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(self.tasks, self.frames)
        self.old = self.base / "old"
        assert (await self.mirror(client, self.old)).ok
        self.wanted = files(self.old)
        self.may_be(self.old)
        damaged = next(path for path in sorted(self.old.rglob("*.jpg")) if OWN not in path.parts)
        damaged.write_bytes(b"damaged")
        self.may_be(self.old)

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        report = await ac.verify(place / "data", client=client, repair=True, on_event=log)
        assert report.ok, report.problems

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        own = place / "data" / OWN
        assert files(place / "data") == self.wanted
        assert list((own / "staging").iterdir()) == []
        assert [path.read_bytes() for path in (own / "kept").rglob("*.jpg")] == [b"damaged"]
        assert not (own / "verify.journal").exists()


class KeptArchives(Mirror):
    """A mirror that keeps the archives as they came, one in the place of an earlier one."""

    options = ac.MirrorOptions(keep_archive=True)
    tasks = 2
    # The threads of aiofiles are watched by a task, and go on alone where that is cancelled, too.
    ways = (Way.TASK, Way.SCOPE)

    async def before(self, client: ac.CvatClient) -> None:
        what = ac.Selection(task_ids=[self.ids[0]])
        assert (await ac.mirror(client, self.old, what, self.spec, options=self.options)).ok
        self.server.edit(self.ids[0])

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        super().check_between(place, all_cancelled=all_cancelled)
        archives = place / "data" / OWN / "archives"
        earlier = f"{self.ids[0]}.zip"
        left = {path.name for path in archives.iterdir()}
        assert earlier in left
        # Its second name goes right after the commit, or with the next run.
        assert left <= {f"{task_id}.zip" for task_id in self.ids} | {f"{earlier}.before"}

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        super().check_end(place, first, second)
        archives = place / "data" / OWN / "archives"
        assert {path.name for path in archives.iterdir()} == {f"{one}.zip" for one in self.ids}


class SpooledMirror(Mirror):
    """A mirror of a server that knows no ranges, and of an archive too large for memory."""

    tasks = 1
    frames = 36

    def begin(self, place: Path) -> None:
        super().begin(place)
        self.server.process.add_faults(Fault(path="download", ignore_range=True, times=None))

    def undo(self) -> None:
        super().undo()
        self.server.process.clear_faults()

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        super().check_end(place, first, second)
        self.server.process.clear_faults()


class LongMirror(Mirror):
    """A mirror of a task whose archive is taken off its connection by a thread."""

    tasks = 1
    frames = 36


# --- downloads ------------------------------------------------------------------------------------


class MediaMirror(Mirror):
    """A mirror as JSON with the images of three tasks, without exports."""

    spec = ac.ExportSpec("CVAT JSON", images=True)


class Downloads(Scenario):
    """Downloads of some tasks into folders of their own."""

    spec = IMAGES

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(3)
        await self.download(client, self.base / "whole")
        self.wanted = files(self.base / "whole")
        for folder in (self.base / "whole").iterdir():
            self.whole[folder.name] = [files(folder)]

    async def download(
        self, client: ac.CvatClient, out: Path, log: Log | None = None, **how: Any
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        paths = {task_id: out / f"task{task_id}" for task_id in self.ids}
        report = await ac.download_many(client, paths, self.spec, on_event=log, **how)
        assert report.ok, report.failures

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        await self.download(client, place / "out", log, skip_existing=True)

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        self.only_whole_folders(place / "out")

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        assert files(place / "out") == self.wanted
        assert first.done(ac.Action.FETCHED) <= second.done(ac.Action.SKIPPED)


class Download(Downloads):
    """The download of one task."""

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        (place / "out").mkdir(exist_ok=True)
        task_id = self.ids[0]
        path = place / "out" / f"task{task_id}"
        await ac.download(client, task_id, path, self.spec, skip_existing=True, on_event=log)

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        folder = f"task{self.ids[0]}"
        assert files(place / "out" / folder) == self.whole[folder][0]


class Replacement(Downloads):
    """Downloads that replace exports, of which one was edited."""

    spec = PLAIN

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(2)
        old = self.base / "old"
        await self.download(client, old)
        self.edited = old / f"task{self.ids[0]}" / "notes.txt"
        self.edited.write_text("mine")
        for folder in old.iterdir():
            self.whole[folder.name] = [files(folder)]
        self.server.edit(*self.ids)
        await self.download(client, self.base / "whole")
        self.wanted = files(self.base / "whole")
        for folder in (self.base / "whole").iterdir():
            self.whole[folder.name].append(files(folder))

    def begin(self, place: Path) -> None:
        linked(self.base / "old", place / "out")

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        await self.download(client, place / "out", log, replace=True)

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        for folder in (place / "out").iterdir():
            name, _, aside = folder.name.partition(".old-")
            assert name in self.whole, folder
            assert aside or files(folder) in self.whole[name], folder

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        held = files(place / "out")
        assert {path: held.get(path) for path in self.wanted} == self.wanted
        # The user's own file is there once, aside; of what was an export, only what differs.
        aside = {path: data for path, data in held.items() if path not in self.wanted}
        assert all(".old-" in path for path in aside), sorted(aside)
        assert list(aside.values()).count(b"mine") == 1


# --- uploads --------------------------------------------------------------------------------------


def kept_states(folder: Path) -> set[int]:
    """Return the tasks of which states were kept. Each of them is whole."""
    states = [path for path in folder.iterdir() if re.fullmatch(r"\d+-.*\.json", path.name)]
    for path in states:
        assert json.loads(path.read_bytes())["shapes"]
    return {int(path.name.partition("-")[0]) for path in states}


class Upload(Scenario):
    """An upload of what was edited in a mirror."""

    padding = 0

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(3)
        self.old = self.base / "old"
        what = ac.Selection(task_ids=list(self.ids))
        assert (await ac.mirror(client, self.old, what, PLAIN)).ok
        for task_id in self.ids:
            self.edit(self.old / f"task{task_id}" / ANNOTATIONS)
        place = self.base / "done"
        self.begin(place)
        await self.work(client, place, Log())
        self.wanted = {task_id: self.server.shapes(task_id) for task_id in self.ids}

    def edit(self, path: Path) -> None:
        """Take a box away; and be as long as is wanted."""
        content = json.loads(path.read_text())
        assert len(content["annotations"]) > 1
        del content["annotations"][0]
        text = json.dumps(content)
        path.unlink()
        path.write_text("{" + " " * self.padding + text[1:])

    def begin(self, place: Path) -> None:
        linked(self.old, place / "data")
        self.server.process.do("forget_requests")
        # Other annotations than those that are to come.
        self.server.edit(*self.ids)

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        report = await ac.upload(client, place / "data", options=REPLACING, on_event=log)
        assert report.ok, report.failures

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        assert {task_id: self.server.shapes(task_id) for task_id in self.ids} == self.wanted
        assert list((place / "data" / OWN / "staging").iterdir()) == []
        assert second.done(ac.Action.UPLOADED, ac.Action.SKIPPED) == set(self.ids)
        assert first.done(ac.Action.UPLOADED) <= second.done(ac.Action.SKIPPED)
        assert kept_states(place / "data" / OWN / "replaced") == set(self.ids)


class UploadInPieces(Upload):
    """The same with files that go by TUS, in three pieces."""

    padding = 150_000


class QueuedUpload(Upload):
    """An upload whose imports wait in the server's queue."""

    callbacks = 260

    def begin(self, place: Path) -> None:
        super().begin(place)
        if hasattr(self, "wanted"):
            self.server.process.do("pause_imports")

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        queued = self.server.queued()
        assert all_cancelled or queued == set(), queued
        self.server.process.do("release_imports")


class UploadOfOne(Scenario):
    """The import of one file into one task, by the client alone."""

    padding = 0

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(1)
        (task_id,) = self.ids
        await ac.download(client, task_id, self.base / "task", PLAIN)
        content = json.loads((self.base / "task" / ANNOTATIONS).read_text())
        del content["annotations"][0]
        text = json.dumps(content)
        self.file = self.base / "edited.json"
        self.file.write_text("{" + " " * self.padding + text[1:])
        await self.work(client, self.base, Log())
        self.wanted = self.server.shapes(task_id)

    def begin(self, place: Path) -> None:
        self.server.edit(*self.ids)

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        await ac.upload_annotations(
            client,
            self.ids[0],
            self.file,
            format="COCO 1.0",
            lossy=True,
            backup_dir=place / "replaced",
        )

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        assert self.server.shapes(self.ids[0]) == self.wanted
        assert kept_states(place / "replaced") == set(self.ids)


class QueuedUploadOfOne(UploadOfOne):
    """The same where the import waits in the server's queue."""

    callbacks = 120

    def begin(self, place: Path) -> None:
        super().begin(place)
        self.server.process.do("pause_imports")

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        queued = self.server.queued()
        assert all_cancelled or queued == set(), queued
        self.server.process.do("release_imports")


class UploadOfOneInPieces(UploadOfOne):
    """The same with a file that goes by TUS."""

    padding = 150_000


# --- backups and restores -------------------------------------------------------------------------


class Backup(Scenario):
    """A backup of three tasks, of which one was backed up before and edited since."""

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(3)
        self.old = self.base / "old"
        assert (await self.back_up(client, self.old, self.ids[0])).ok
        self.server.edit(self.ids[0])
        self.kept = {path.name for path in self.old.glob("*/*.zip")}

    def begin(self, place: Path) -> None:
        linked(self.old, place / "data")
        self.server.process.do("forget_requests")

    async def back_up(
        self, client: ac.CvatClient, dest: Path, *ids: int, log: Log | None = None
    ) -> ac.RunReport:
        what = ac.Selection(task_ids=list(ids))
        options = ac.BackupOptions(change=True)
        return await ac.backup(client, dest, what, options=options, on_event=log)

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        report = await self.back_up(client, place / "data", *self.ids, log=log)
        assert report.ok, report.failures

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        data = place / "data"
        assert self.kept <= {path.name for path in data.glob("*/*.zip")}
        for path in data.glob("*/*.zip"):
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None, path
        assert all_cancelled or self.server.queued() == set()

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        data = place / "data"
        found = Counter(path.parent.name for path in data.glob("*/*.zip"))
        edited, *others = self.ids
        assert found == {f"task{edited}": 2} | {f"task{task_id}": 1 for task_id in others}
        assert list((data / OWN / "staging").iterdir()) == []
        # What was done once is not paid for again.
        assert first.done(ac.Action.BACKED_UP) <= second.done(ac.Action.KEPT)


class Restore(Scenario):
    """A restore of two backups, which makes each task once."""

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(2)
        self.old = self.base / "old"
        what = ac.Selection(task_ids=list(self.ids))
        assert (await ac.backup(client, self.old, what)).ok

    def begin(self, place: Path) -> None:
        linked(self.old, place / "data")
        self.server.process.do("forget_requests")
        self.before = self.there()

    def there(self) -> set[int]:
        found = self.server.ask("/api/tasks", page_size=10_000)["results"]
        return {task["id"] for task in found}

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        report = await ac.restore(client, place / "data", on_event=log)
        assert report.ok, report.failures

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        made = self.there() - self.before
        assert len(made) == len(self.ids), f"{len(made)} tasks were made of {len(self.ids)}"
        for task_id in made:
            self.server.process.do("delete_task", task_id=task_id)


class Deletion(Scenario):
    """A dry run and a deletion of two tasks. Each is deleted, no other one, and the log says so."""

    def begin(self, place: Path) -> None:
        self.ids = self.server.add_tasks(2)
        self.others = self.there() - set(self.ids)

    def there(self) -> set[int]:
        found = self.server.ask("/api/tasks", page_size=10_000)["results"]
        return {task["id"] for task in found}

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        what = ac.Selection(task_ids=self.ids)
        how = ac.DeleteOptions(log=place / "log.jsonl")
        plan = await ac.plan_delete(client, what, options=how)
        report = await ac.delete(
            client, what, expect=plan.count, plan=plan, options=how, on_event=log
        )
        assert report.ok, report.to_json()

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        gone = set(self.ids) - self.there()
        assert gone <= {line["id"] for line in self.noted(place) if line.get("what") == "delete"}

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        assert self.there() == self.others
        deleted = [line["id"] for line in self.noted(place) if line.get("what") == "deleted"]
        assert sorted(deleted) == sorted(self.ids)

    def noted(self, place: Path) -> list[dict[str, Any]]:
        log = place / "log.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# --- run files, the client ------------------------------------------------------------------------


class RunFile(Scenario):
    """Three steps of a run file: an upload, a mirror, a download."""

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(2)
        first, second = self.ids
        await ac.download(client, first, self.base / "task", PLAIN)
        self.file = self.base / "task" / ANNOTATIONS
        self.settings = Settings(url=client.origin, **self.server.credentials)
        await self.work(client, self.base, Log())
        self.shapes = self.server.shapes(first)
        self.wanted = self.held(self.base)
        self.whole = {f"task{second}": [files(self.base / "out" / f"task{second}")]}

    def begin(self, place: Path) -> None:
        self.server.edit(self.ids[0])

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        first, second = self.ids
        upload = {
            "dataset_format": PLAIN.format,
            "lossy": True,
            "no_backup": True,
            "tasks": [{"task_id": first, "annotation_path": str(self.file)}],
        }
        mirror = {"dest": str(place / "data"), "task_id": second, "format": PLAIN.format}
        download = {
            "task_ids": [second],
            "out_dir": str(place / "out"),
            "dataset_format": PLAIN.format,
        }
        steps = [
            {"task": "upload", "parameters": upload},
            {"task": "mirror", "parameters": mirror},
            {"task": "download", "parameters": download},
        ]
        (place / "steps.yaml").write_text(json.dumps(steps))
        report = await ac.run_file(place / "steps.yaml", settings=lambda _step: self.settings)
        assert report.ok, report.to_json()

    def check_between(self, place: Path, *, all_cancelled: bool) -> None:
        for name in ("data", "out"):
            self.only_whole_folders(place / name)

    def check_end(self, place: Path, first: Log, second: Log) -> None:
        assert self.held(place) == self.wanted
        assert self.server.shapes(self.ids[0]) == self.shapes

    def held(self, place: Path) -> Tree:
        return {
            f"{name}/{path}": data
            for name in ("data", "out")
            for path, data in files(place / name).items()
        }


class Client(Scenario):
    """A client: its login, lists, an export, and a body that is read."""

    async def prepare(self, client: ac.CvatClient) -> None:
        self.ids = self.server.add_tasks(3)
        self.url = client.origin

    async def work(self, client: ac.CvatClient, place: Path, log: Log) -> Any:
        what = ac.Selection(task_ids=list(self.ids))
        async with ac.CvatClient(self.url, **self.server.credentials) as own:
            await own.login()
            assert len((await own.tasks(what, page_size=1)).tasks) == 3
            found = [task.id async for task in own.iter_tasks(what, page_size=1)]
            assert found == list(self.ids)
            assert await own.projects()
            accepted = await own.request_export(self.ids[0], IMAGES)
            while not (request := await own.request(accepted.rq_id)).ended:
                pass
            assert request.result_url is not None
            async with internals(own).open_result(request.result_url) as stream:
                size = sum([len(chunk) async for chunk in stream.chunks()])
            assert size == stream.total


ALL: tuple[type[Scenario], ...] = (
    Mirror,
    IteratedMirror,
    QueuedMirror,
    Update,
    Refresh,
    PruneAndMove,
    Repair,
    KeptArchives,
    SpooledMirror,
    LongMirror,
    MediaMirror,
    Downloads,
    Download,
    Replacement,
    Upload,
    UploadInPieces,
    QueuedUpload,
    UploadOfOne,
    QueuedUploadOfOne,
    UploadOfOneInPieces,
    Backup,
    Restore,
    Deletion,
    RunFile,
    Client,
)

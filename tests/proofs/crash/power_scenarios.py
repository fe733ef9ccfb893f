"""What happens to a destination before and during a power cut, and what has to hold afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import asynccvat as ac
from asynccvat.archives import extractor, parts
from asynccvat.core.paths import NameRules
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.events import Event
from asynccvat.fs import files, system_calls
from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.store import mirror_store as mirror
from asynccvat.store import name_probe
from asynccvat.store.commits import group_commit

TASKS = 2
SPEC = ac.ExportSpec("COCO 1.0", images=True)
ANNOTATIONS = "annotations/instances_default.json"
MINE = b"written by the user"
ALSO_MINE = b"edited by the user"

Report = ac.RunReport
Tell = Callable[[Event], None]


def unheard(_event: Event) -> None:
    """Nobody listens."""


@dataclass
class World:
    """A server, and a client of it."""

    server: SimulatedServer
    client: ac.CvatClient

    async def mirror(self, dest: Path, tell: Tell = unheard, **options: Any) -> Report:
        """Mirror all that the server has."""
        given = ac.MirrorOptions(**{"change": True} | options)
        return await ac.mirror(self.client, dest, spec=SPEC, options=given, on_event=tell)

    def edit(self) -> None:
        """Change all tasks at the server."""
        for task_id in sorted(self.server.tasks):
            self.server.edit_task(task_id)

    def exported(self, since: int) -> set[int]:
        """The tasks whose export was asked for since so many calls."""
        return {
            int(call.path.split("/")[3])
            for call in self.server.calls[since:]
            if call.method == "POST" and call.path.endswith("/dataset/export")
        }


@asynccontextmanager
async def world(frame_bytes: int) -> AsyncIterator[World]:
    """A server of few images of that size that keeps nobody waiting."""
    options = SimulatorOptions(tasks=TASKS, frames=2, frame_bytes=frame_bytes)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL", "CLOCK_SLACK"):
            assert hasattr(intervals, name)
            patch.setattr(intervals, name, 0.001)
        patch.setattr(RetryPolicy, "backoff", lambda _self, _attempt, _jitter: 0.0)
        async with (
            SimulatedServer(options) as server,
            ac.CvatClient(server.url, token=server.token) as client,
        ):
            yield World(server, client)


# --- what is done --------------------------------------------------------------------------------

Before = Callable[[World, Path], Awaitable[None]]
Act = Callable[[World, Path, Tell], Awaitable[Report]]
Patch = Callable[[pytest.MonkeyPatch], None]


async def nothing(_world: World, _dest: Path) -> None:
    """The destination is not there yet, nor the folder above it."""


def changed_at_the_server(**options: Any) -> Before:
    """A mirror of what the tasks were before they were edited."""

    async def before(world: World, dest: Path) -> None:
        await _done(world.mirror(dest, **options))
        world.edit()

    return before


async def changed_here_and_there(world: World, dest: Path) -> None:
    """The same, and the user added a file and edited one."""
    await _done(world.mirror(dest))
    add_mine(dest)
    world.edit()


async def gone_from_the_server(world: World, dest: Path) -> None:
    """A mirror of a task that is no longer there, with files of the user in it."""
    await _done(world.mirror(dest))
    add_mine(dest)
    world.server.delete_task(1)


async def a_mirror(world: World, dest: Path) -> None:
    """A mirror that is up to date."""
    await _done(world.mirror(dest))


def renamed_at_the_server(**options: Any) -> Before:
    """A mirror of a task that has another name now."""

    async def before(world: World, dest: Path) -> None:
        await _done(world.mirror(dest, **options))
        world.server.world.change_task(1, name="left")

    return before


async def a_folder_of_the_user(_world: World, dest: Path) -> None:
    """Something stands where a task is to go."""
    (dest / "task1").mkdir(parents=True)
    (dest / "task1/mine.txt").write_bytes(MINE)


async def downloads_that_changed(world: World, dest: Path) -> None:
    """Folders that no receipt speaks of, of tasks that were edited since."""
    await _done(download(world, dest, unheard))
    add_mine(dest)
    world.edit()


async def edited_annotations(world: World, dest: Path) -> None:
    """A mirror in which the annotations of a task were edited."""
    await _done(world.mirror(dest))
    path = dest / "task1" / ANNOTATIONS
    path.write_text(path.read_text().replace('"iscrowd":0', '"iscrowd":1'))


def add_mine(dest: Path) -> None:
    """Let the user add a file to a task's folder, and edit another."""
    (dest / "task1/mine.txt").write_bytes(MINE)
    (dest / "task1" / ANNOTATIONS).write_bytes(ALSO_MINE)


def mirroring(**options: Any) -> Act:
    """A mirror with these options."""

    async def act(world: World, dest: Path, tell: Tell) -> Report:
        return await world.mirror(dest, tell, **options)

    return act


async def download(world: World, dest: Path, tell: Tell) -> Report:
    """Downloads into folders that are not there yet, or hold what they should."""
    paths = {task_id: dest / f"task{task_id}" for task_id in (1, 2)}
    return await ac.download_many(world.client, paths, SPEC, skip_existing=True, on_event=tell)


async def download_replacing(world: World, dest: Path, tell: Tell) -> Report:
    """Downloads that replace what is there."""
    paths = {task_id: dest / f"task{task_id}" for task_id in (1, 2)}
    return await ac.download_many(world.client, paths, SPEC, replace=True, on_event=tell)


async def upload(world: World, dest: Path, tell: Tell) -> Report:
    """An upload of what was edited, whether or not it was done before a cut."""
    options = ac.UploadOptions(lossy=True, overwrite=True)
    return await ac.upload(world.client, dest, format=SPEC.format, options=options, on_event=tell)


async def _done(report: Awaitable[Report]) -> None:
    (await report).raise_for_failures()


def as_it_is(_patch: pytest.MonkeyPatch) -> None:
    """The file system is as it is."""


def no_probing(patch: pytest.MonkeyPatch) -> None:
    """Without the trying out of names, which leads to many more states of no interest."""
    patch.setattr(name_probe, "probe", lambda *_: NameRules())


def file_by_file(patch: pytest.MonkeyPatch) -> None:
    """All at once cannot be synced."""
    no_probing(patch)
    patch.setattr(system_calls, "can_sync_filesystem", lambda _fd: False)


def at_once(patch: pytest.MonkeyPatch) -> None:
    """All tasks are committed in one group, which syncs all at once."""
    no_probing(patch)
    patch.setattr(group_commit, "GROUP_SECONDS", 5.0)
    patch.setattr(
        group_commit.GroupCommit, "_is_full", lambda _self, group: len(group.tickets) >= TASKS
    )


def without_exchange(patch: pytest.MonkeyPatch) -> None:
    """Two names cannot be exchanged."""
    file_by_file(patch)
    patch.setattr(files, "exchange", _refusing(errno.EINVAL))


def without_links(patch: pytest.MonkeyPatch) -> None:
    """No file can have a second name."""
    file_by_file(patch)
    patch.setattr(files, "link", _refusing(errno.EPERM))


def keeping_what_was_staged(patch: pytest.MonkeyPatch) -> None:
    """However little was staged by a run that was killed, it is kept."""
    file_by_file(patch)
    patch.setattr(mirror, "KEEP_ABOVE", 0)


def keeping_parts(patch: pytest.MonkeyPatch) -> None:
    """Members that are a little larger than others are kept in part."""
    keeping_what_was_staged(patch)
    for module in (parts, extractor):
        patch.setattr(module, "PART_FROM", 100_000)


def _refusing(number: int) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@dataclass(frozen=True)
class Scenario:
    """What is done, and how.

    Attributes:
        act: What is recorded, and done again after a cut.
        before: What was done before, durably.
        patch: What the file system cannot do.
        mine: Contents of files that are the user's own.
        absent_between: Whether a folder may have no name for an instant.
        history: Whether annotations that are replaced are kept.
        dates_differ: Whether doing it again changes the dates at the server.
        place: Where the destination is to be.
        frame_bytes: Size of an image; large ones do not come along with an archive's directory.
    """

    act: Act
    before: Before = nothing
    patch: Patch = file_by_file
    mine: tuple[bytes, ...] = ()
    absent_between: bool = False
    history: bool = False
    dates_differ: bool = False
    place: str = "data"
    frame_bytes: int = 3000

    def world(self) -> AbstractAsyncContextManager[World]:
        """A server for it, and a client."""
        return world(self.frame_bytes)

    @property
    def has_receipts(self) -> bool:
        """Whether what is done is known to the next run."""
        return self.act not in (download, download_replacing)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Let the file system be so meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            self.patch(patch)
            yield

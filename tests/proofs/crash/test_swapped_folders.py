"""Folders that become links during a run: nothing outside is ever touched.

For every call that changes the disk, and after every look at it, each folder is replaced by a link
to a twin of it outside. Afterwards the twin is unchanged to the last byte and inode, and the run
has ended with the right result or a named error. Once the folder is back, the next run ends right.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from memory_folders import in_memory
from mirror_processes import Version, read_folders, read_tree
from swapping import LOOKS, Swap, swapping

import asynccvat
from asynccvat.core.scheduling import intervals
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

pytestmark = pytest.mark.proof("Hostile archives and destinations")

SPEC = asynccvat.ExportSpec("COCO 1.0", images=True)


@dataclass(frozen=True)
class Scenario:
    """A run, and the destination that it finds.

    Attributes:
        start: Which of the prepared destinations it finds, "" for none.
        options: Those of `MirrorOptions`.
        loose: It is a download of one task, not a mirror.
    """

    start: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    loose: bool = False


LAYOUT = "{project}/{subset}/task{id}"
SCENARIOS = {
    "fresh": Scenario(),
    "update": Scenario("mirror", {"refresh": False}),
    "refresh": Scenario("mirror"),
    "prune": Scenario("mirror", {"prune": True, "max_delete": 1}),
    "move": Scenario("mirror", {"folder_prefix": "moved", "change": True}),
    "layout": Scenario("mirror", {"layout": LAYOUT, "change": True}),
    "first by a layout": Scenario(options={"layout": LAYOUT}),
    "kept archives": Scenario("mirror", {"keep_archive": True}),
    "adopt": Scenario("foreign", {"adopt": True}),
    "download": Scenario(loose=True),
    "download that replaces": Scenario("loose", loose=True),
}


ORDINARY = {"update", "layout", "kept archives", "download that replaces"}
EVERY_SCENARIO = [
    name if name in ORDINARY else pytest.param(name, marks=pytest.mark.thorough)
    for name in SCENARIOS
]


@dataclass
class World:
    """A server, and what its tasks' earlier versions left here."""

    server: ServerProcess
    folder: Path
    now: Version = field(default_factory=dict)

    def run(self, scenario: Scenario, place: Path) -> list[BaseException]:
        """Run, and return the errors that it ended with or has in its report.

        Raises:
            BaseException: Any that has no name of ours.
        """

        async def work() -> list[BaseException]:
            wanted: dict[str, Any] = {"transfers": 1, **scenario.options}
            async with asynccvat.CvatClient(self.server.url, token=self.server.token) as client:
                if scenario.loose:
                    report = await asynccvat.download_many(
                        client,
                        {1: place / "task1"},
                        SPEC,
                        options=asynccvat.DownloadOptions(**wanted),
                        replace=True,
                    )
                else:
                    report = await asynccvat.mirror(
                        client, place, spec=SPEC, options=asynccvat.MirrorOptions(**wanted)
                    )
            errors = [one.error for one in report.outcomes if one.error is not None]
            return [*errors, *([report.stopped_by] if report.stopped_by else [])]

        try:
            return asyncio.run(work())
        except asynccvat.AsyncCvatError as error:
            return [error]

    def begin(self, scenario: Scenario, place: Path) -> None:
        """Put the destination there that a scenario finds."""
        if scenario.start:
            shutil.copytree(self.folder / scenario.start, place, symlinks=True)
        elif scenario.loose:
            place.mkdir()


@contextmanager
def hurried() -> Iterator[None]:
    """How often the server is asked is not the subject."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL"):
            patch.setattr(intervals, name, 0.002)
        yield


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Two tasks, one of which is deleted meanwhile, and the other edited."""
    options = SimulatorOptions(tasks=2, frames=1, frame_bytes=70_000)
    with (
        hurried(),
        ServerProcess(options) as server,
        in_memory() as folder,
    ):
        world = World(server, folder)
        assert world.run(Scenario(), world.folder / "mirror") == []
        (world.folder / "mirror/task1/mine.txt").write_text("mine")
        (world.folder / "mirror/task2/images/mine.txt").write_text("mine")
        for start in ("foreign", "loose"):
            shutil.copytree(world.folder / "mirror/task1", world.folder / start / "task1")
        server.do("edit_task", task_id=1)
        server.do("delete_task", task_id=2)
        assert world.run(Scenario(), world.folder / "reference") == []
        world.now = read_folders(world.folder / "reference")
        yield world


Case = tuple[int, str]
"""The number of a call, and the folder that is replaced before it."""


def cases(world: World, scenario: Scenario) -> tuple[list[Case], list[Case]]:
    """Each call of an undisturbed run with each folder that there is then: effects, and looks."""
    place = world.folder / "undisturbed"
    swap = Swap(place, world.folder, notes=True)
    world.begin(scenario, place)
    with swapping(swap):
        assert world.run(scenario, place) == []
    shutil.rmtree(place)
    # A link in the place of the folder that the user named is the user's own, until that is opened
    # for good: from then on it counts as a swap, too.
    opened = len(swap.calls) - swap.calls[::-1].index("open_directory")
    effects: list[Case] = []
    looks: list[Case] = []
    for at, (call, folders) in enumerate(zip(swap.calls, swap.folders, strict=True), start=1):
        found = [(at, folder) for folder in folders if folder != "." or at > opened]
        (looks if call in LOOKS else effects).extend(found)
    return effects, looks


def check_swap(world: World, scenario: Scenario, at: int, victim: str) -> bool:
    """Run with a swap, check it, and run again without; tell whether the swap came about."""
    # A download that replaces an export is as good as a forced one.
    again = {} if scenario.loose else {"force": True}
    scenario_again = replace(scenario, options=scenario.options | again)
    with tempfile.TemporaryDirectory(dir=world.folder) as name:
        place, elsewhere = Path(name) / "place", Path(name) / "elsewhere"
        elsewhere.mkdir()
        world.begin(scenario, place)
        swap = Swap(place, elsewhere, at, victim)
        with swapping(swap):
            errors = world.run(scenario, place)
            assert all(isinstance(error, asynccvat.AsyncCvatError) for error in errors), errors
            swap.check()
            swap.undo()
            # A link that somebody put into a finished folder is theirs: a mirror has to be forced
            # to replace it, and a download asks for it to be moved away.
            if scenario.loose and links_in(place / "task1"):
                (place / "task1").rename(elsewhere / "put away")
            errors = world.run(scenario_again, place)
            swap.check()
        assert errors == [], errors
        check_end(world, scenario, place)
    return swap.done


def links_in(folder: Path) -> list[Path]:
    """The links in a folder, or the folder itself."""
    return [path for path in [folder, *folder.rglob("*")] if path.is_symlink()]


def check_end(world: World, scenario: Scenario, place: Path) -> None:
    """The task's folder is real, and holds what the server has."""
    prefix = scenario.options.get("folder_prefix", "task")
    target = place / f"{prefix}1"
    if "layout" in scenario.options:
        target = place / "project-1/default/task1"
    assert links_in(target) == []
    assert {k: v for k, v in read_tree(target).items() if k != "mine.txt"} == world.now["task1"]


@pytest.mark.parametrize("name", EVERY_SCENARIO)
def test_a_folder_swapped_for_a_link_leads_nowhere(
    world: World, thorough: bool, count_cases: Callable[[int], None], name: str
) -> None:
    effects, looks = cases(world, SCENARIOS[name])
    chance = random.Random(name)
    done = 0
    for every, share in ((effects, 0.25), (looks, 0.02)):
        for at, victim in chance.sample(every, round(share * len(every)) if thorough else 2):
            done += check_swap(world, SCENARIOS[name], at, victim)
    count_cases(done)
    assert done >= 2

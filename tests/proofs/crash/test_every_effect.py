"""SIGKILL at every effect on the disk: every folder is whole, and the next run ends the same.

Each run is killed at its n-th effect (of `asynccvat.fs.files.EFFECTS`), for every n from the first
to the one that it does not reach. A process that dies at an effect leaves the state between that
effect and the one before. So these are all states between two effects, and in none of them does a
final folder hold anything except one complete version.

Effects come from several threads, so n is a number and not a place. Tasks are therefore fetched one
after the other, which makes the order the same each time; only the scenario "side by side" does
not.

The quick run takes every effect of a commit, every rename and every write to a kept archive, except
syncs, as they change nothing for the other processes; and a sample of all other effects. With
`--thorough` each effect of each scenario is taken, once before it and once after it. For each
killed commit, the next run is killed, too, at each effect of its recovery.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from memory_folders import in_memory
from mirror_processes import job, read_folders, read_receipts
from trials import MINE, Effects, Scenario, Trials, first, trials, until_it_survives
from warm_parent import Ended, WarmParent, warm_parent

from asynccvat.fs import files
from asynccvat.simulator import Fault
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Crash at every step")

CHANGING = tuple(name for name in files.EFFECTS if name not in ("fsync", "sync_filesystem"))
SAMPLE = 4
PART = r"[0-9a-f]{8}-\d+"
LAYOUT = "{project}/{id}-{name}/task"
FIRST = "project-1/1-street-00001/task"
SECOND = "project-1/2-street-00002/task"

AS_JSON = {"format": "json", "images": False}
ONE = SimulatorOptions(tasks=1, frames=1)
TWO = SimulatorOptions(tasks=2, frames=1)
IMAGES = SimulatorOptions(tasks=1, frames=2, frame_bytes=70_000)
# Too large for memory, where the server knows no ranges.
# Too large for the first request, so that large members have parts.
VIDEOS = SimulatorOptions(tasks=1, frames=2, frame_bytes=400_000)
LARGE = SimulatorOptions(tasks=1, frames=2, frame_bytes=2_500_000)


def edited(*task_ids: int) -> Callable[[SimulatedServer], None]:
    def change(server: SimulatedServer) -> None:
        for task_id in task_ids:
            server.edit_task(task_id)

    return change


def without_ranges(server: SimulatedServer) -> None:
    server.edit_task(1)
    server.faults.add(Fault(path="dataset/download", ignore_range=True, times=None))


def before_a_part_is_published(effects: Effects) -> int:
    return 1 + next(
        number
        for number, (_, name, about) in enumerate(effects)
        if name == "rename" and re.fullmatch(PART, about)
    )


def within_the_last_part(effects: Effects) -> int:
    opened = max(
        number
        for number, (_, name, about) in enumerate(effects)
        if name == "open_or_create" and re.fullmatch(PART, about)
    )
    # Opened, written to, and written to again.
    return 1 + opened + 2


def write_files(dest: Path) -> None:
    """An edited file, one of the user's, a folder of theirs, and one that is nobody's."""
    folder = dest / "task1"
    (folder / "annotations/instances_default.json").write_bytes(MINE + b": an edit")
    (folder / "images/mine.txt").write_bytes(MINE + b": beside images")
    (folder / "notes/deep").mkdir(parents=True)
    (folder / "notes/deep/mine.txt").write_bytes(MINE + b": in a folder of mine")


def add_a_file(dest: Path) -> None:
    (dest / "task1/mine.txt").write_bytes(MINE + b": beside annotations")


def add_a_file_by_layout(dest: Path) -> None:
    (dest / FIRST / "mine.txt").write_bytes(MINE + b": beside annotations")


def make_the_folder(dest: Path) -> None:
    (dest / "task1").mkdir(parents=True)
    (dest / "task1/mine.txt").write_bytes(MINE + b": in the way")


SCENARIOS = {
    "fresh": Scenario(server=TWO, before=None, exports=2),
    "update": Scenario(server=TWO, change=edited(1), exports=1),
    "update of what the user edited": Scenario(
        server=ONE, change=edited(1), edit=write_files, exports=1
    ),
    "update with history": Scenario(
        server=TWO, options={"history": 1e6}, change=edited(1), exports=1
    ),
    "update with history of what the user edited": Scenario(
        server=ONE,
        before={"history": 1e6},
        options={"history": 1e6},
        change=edited(1),
        edit=write_files,
        exports=1,
    ),
    "prune with history": Scenario(
        server=TWO,
        options={"prune": True, "history": 1e6},
        change=lambda server: server.delete_task(1),
        edit=add_a_file,
    ),
    "side by side": Scenario(
        server=TWO,
        options={"transfers": 8, "concurrency": 8},
        change=edited(1, 2),
        exports=2,
    ),
    "take-over": Scenario(server=IMAGES, options={"refresh": False}, change=edited(1), exports=1),
    "take-over from a killed run": Scenario(
        server=IMAGES,
        before=None,
        killed={"keep_above": 50_000},
        # The tree is whole by then, and the commit about to begin.
        staged=first("open_for_writing", "receipt.json.part"),
        exports=1,
    ),
    "large members": Scenario(server=VIDEOS, before=None, killed={"keep_above": 50_000}, exports=1),
    "large members whose download was killed": Scenario(
        server=VIDEOS,
        before=None,
        killed={"keep_above": 50_000},
        # Some bytes of the last one are there by then.
        staged=within_the_last_part,
        exports=1,
    ),
    "large members of which one was whole": Scenario(
        server=VIDEOS,
        before=None,
        killed={"keep_above": 50_000},
        staged=before_a_part_is_published,
        exports=1,
    ),
    "refresh": Scenario(server=IMAGES, killed={"keep_above": 50_000}, change=edited(1), exports=1),
    "move": Scenario(
        server=TWO,
        options={"folder_prefix": "job"},
        edit=add_a_file,
        renames={"task1": "job1", "task2": "job2"},
    ),
    "move of what changed": Scenario(
        server=ONE,
        options={"folder_prefix": "job"},
        change=edited(1),
        edit=add_a_file,
        exports=1,
        renames={"task1": "job1"},
    ),
    "layout": Scenario(
        server=TWO,
        options={"layout": LAYOUT},
        edit=add_a_file,
        renames={"task1": FIRST, "task2": SECOND},
    ),
    "layout of what changed": Scenario(
        server=ONE,
        options={"layout": LAYOUT},
        change=edited(1),
        edit=add_a_file,
        exports=1,
        renames={"task1": FIRST},
    ),
    "rename of a task": Scenario(
        server=TWO,
        before={"layout": LAYOUT},
        options={"layout": LAYOUT},
        change=lambda server: server.world.change_task(1, name="left"),
        edit=add_a_file_by_layout,
        renames={FIRST: "project-1/1-left/task"},
    ),
    "rename of a project": Scenario(
        server=TWO,
        before={"layout": LAYOUT},
        options={"layout": LAYOUT, "history": 1e6},
        change=lambda server: server.world.change_project(1, name="Street"),
        edit=add_a_file_by_layout,
        renames={
            FIRST: FIRST.replace("project-1", "Street"),
            SECOND: SECOND.replace("project-1", "Street"),
        },
    ),
    "prune by a layout": Scenario(
        server=TWO,
        before={"layout": LAYOUT},
        options={"layout": LAYOUT, "prune": True},
        change=lambda server: server.delete_task(1),
        edit=add_a_file_by_layout,
    ),
    "prune": Scenario(
        server=TWO,
        options={"prune": True},
        change=lambda server: server.delete_task(1),
        edit=write_files,
    ),
    "adoption": Scenario(
        server=ONE, before=None, options={"adopt": True}, edit=make_the_folder, exports=1, absent=1
    ),
    "kept archives": Scenario(
        server=ONE,
        before={"keep_archive": True},
        options={"keep_archive": True},
        change=edited(1),
        exports=1,
    ),
    "spooled": Scenario(server=LARGE, options={"refresh": False}, change=without_ranges, exports=1),
    "spooled and kept": Scenario(
        server=LARGE,
        options={"refresh": False, "keep_archive": True},
        change=without_ranges,
        exports=1,
    ),
    "jobs": Scenario(
        server=TWO,
        before={"target": "jobs"},
        options={"target": "jobs"},
        change=edited(1),
        exports=1,
    ),
    "first jobs": Scenario(server=ONE, before=None, options={"target": "jobs"}, exports=1),
    "prune of jobs": Scenario(
        server=TWO,
        before={"target": "jobs"},
        options={"target": "jobs", "prune": True, "max_delete": 1},
        change=lambda server: server.delete_task(1),
    ),
    "projects": Scenario(
        server=TWO,
        before={"target": "projects"},
        options={"target": "projects"},
        change=edited(1),
        exports=1,
    ),
    "as JSON": Scenario(server=TWO, spec=AS_JSON, change=edited(1), exports=1),
    "as JSON, a state of a job": Scenario(
        server=TWO, spec=AS_JSON, change=lambda server: server.change_job(1, state="completed")
    ),
    "as JSON, with images": Scenario(
        server=IMAGES,
        spec={"format": "json", "images": True},
        change=lambda server: server.change_media(1),
        exports=1,
    ),
    "as JSON, with unchanged images": Scenario(
        server=IMAGES,
        spec={"format": "json", "images": True},
        change=edited(1),
        exports=1,
    ),
    "without syncs": Scenario(
        server=TWO, options={"durable": False}, change=edited(1, 2), exports=2
    ),
    "two renames": Scenario(
        server=ONE,
        killed={"can_exchange": False},
        change=edited(1),
        edit=write_files,
        exports=1,
        absent=1,
    ),
    "neither exchange nor links": Scenario(
        server=IMAGES,
        options={"refresh": False},
        killed={"can_exchange": False, "can_link": False},
        change=edited(1),
        exports=1,
        absent=1,
    ),
}


@pytest.fixture(scope="module")
def parent() -> Iterator[WarmParent]:
    """What forks the processes that are killed."""
    with warm_parent() as running:
        yield running


@pytest.fixture(params=list(SCENARIOS))
def one(request: pytest.FixtureRequest, parent: WarmParent) -> Iterator[Trials]:
    """The trials of each scenario."""
    with trials(SCENARIOS[request.param], parent) as ready:
        yield ready


def test_killed_at_any_effect_every_folder_is_whole_and_the_next_run_ends_the_same(
    one: Trials, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    if thorough:
        for after in (False, True):
            number = until_it_survives(lambda number: one.kill_at(number, after=after))  # noqa: B023 - called at once
            assert number >= 25
    else:
        number = until_it_survives(
            lambda number: one.kill_at(number, effects=CHANGING, phases=("commit", "archive"))
        )
        assert number >= 4
        chance = random.Random("effects")
        for number in chance.sample(range(1, len(one.effects) + 1), SAMPLE):
            assert one.kill_at(number, after=chance.random() < 0.5)
    count_cases(one.count)


@pytest.mark.parametrize(
    "name",
    [
        "update of what the user edited",
        "two renames",
        "move",
        "move of what changed",
        "layout",
        "rename of a task",
        "prune",
    ],
)
def test_killed_again_while_that_is_put_right_nothing_changes_about_it(
    parent: WarmParent, name: str, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    with trials(SCENARIOS[name], parent) as ready:
        commit = sum(phase == "commit" for phase, _, _ in ready.effects)
        if thorough:
            for number in range(1, commit + 1):
                until_it_survives(
                    lambda again: ready.kill_twice(number, again, phases=("recovery",))[1]  # noqa: B023 - the same
                )
        else:
            chance = random.Random(name)
            died_again = [
                ready.kill_twice(
                    chance.randrange(commit // 3, commit + 1),
                    chance.randrange(1, 6),
                    phases=("recovery",),
                )[1]
                for _ in range(SAMPLE)
            ]
            assert any(died_again), "no recovery was killed"
        count_cases(ready.count)


def each_kill(kill: Callable[..., bool], *, thorough: bool) -> int:
    """Kill at every effect, or at those of commits; returns how many cases that were."""
    if not thorough:
        return 1 + until_it_survives(
            lambda number: kill(die_at=number, effects=CHANGING, phases=("commit",))
        )
    return sum(
        1 + until_it_survives(lambda number: kill(die_at=number, after=after))  # noqa: B023 - called at once
        for after in (False, True)
    )


def test_killed_at_any_effect_of_downloads_each_is_whole_or_absent_and_the_next_run_ends_the_same(
    parent: WarmParent, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    with serve_in_thread(TWO) as server, in_memory() as place:

        def download(folder: Path, **how: Any) -> Ended:
            paths = {1: folder / "one", 2: folder / "two"}
            options = {"transfers": 1, "concurrency": 1}
            return parent.run(job(server, folder, downloads=paths, options=options, **how))

        download(place / "undisturbed")
        end = read_folders(place / "undisturbed")
        assert sorted(end) == ["one", "two"]

        def kill(**how: Any) -> bool:
            shutil.rmtree(place / "killed", ignore_errors=True)
            died = download(place / "killed", **how).killed
            left = read_folders(place / "killed")
            visible = {name: tree for name, tree in left.items() if not name.startswith(".")}
            assert visible.items() <= end.items()
            since = len(server.calls)
            assert download(place / "killed").report["ok"]
            asked = sum(call.method == "POST" for call in server.calls[since:])
            assert asked == len(end) - len(visible)
            assert read_folders(place / "killed") == end
            return died

        count_cases(each_kill(kill, thorough=thorough))


def annotations_at(server: SimulatedServer) -> Any:
    """Return what the server says of the annotations of task 1."""
    basic = b64encode(f"{server.username}:{server.password}".encode()).decode()
    place = f"{server.url}/api/tasks/1/annotations"
    with urlopen(Request(place, headers={"Authorization": f"Basic {basic}"})) as answer:
        return json.loads(answer.read())


def test_killed_at_any_effect_of_an_upload_the_receipt_is_whole_and_claims_nothing_that_was_not(
    parent: WarmParent, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    with serve_in_thread(ONE) as server, in_memory() as place:
        path = "task1/annotations/instances_default.json"
        kept = "killed/.asynccvat/replaced/1-*.json"

        def kill(**how: Any) -> bool:
            dest = place / "killed"
            shutil.rmtree(dest, ignore_errors=True)
            assert parent.run(job(server, dest)).report["ok"]
            (untouched,) = read_receipts(dest).values()
            edited_ = (dest / path).read_bytes() + b"\n"
            (dest / path).write_bytes(edited_)
            before = len(server.imports)
            held = annotations_at(server)
            died = parent.run(job(server, dest, upload=True, **how)).killed
            (left,) = read_receipts(dest).values()
            uploaded = len(server.imports) - before
            assert (left == untouched) or (left.head.uploaded and uploaded == 1)
            # What is kept is whole, and no import was requested before it was.
            states = [json.loads(state.read_bytes()) for state in place.glob(kept)]
            assert states == ([held] if uploaded else states[:1])
            again = parent.run(job(server, dest, upload=True)).report
            assert again["ok"], again
            (after,) = read_receipts(dest).values()
            assert path.partition("/")[2] in after.head.uploaded
            assert (dest / path).read_bytes() == edited_
            # What its receipt knows of is not sent again.
            assert len(server.imports) - before == uploaded + (left == untouched)
            assert held in [json.loads(state.read_bytes()) for state in place.glob(kept)]
            return died

        count_cases(each_kill(kill, thorough=thorough))

"""What a scenario did, and what has to hold wherever the power is cut during it.

A recording knows both. The tests choose the scenarios, and how many cuts are tried.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from mirror_processes import check_receipts, comparable_receipts, read_folders
from power_disk import Cut, Files, Named, State, Synced, Told, Trace, concrete, lay_out, look
from power_recording import Recorder
from power_scenarios import ANNOTATIONS, Scenario, World, unheard

import asynccvat as ac
from asynccvat.core.records.receipts import decode_receipt
from asynccvat.events import Event, ImportRequested, TaskDone

OWN = ".asynccvat"
BY_CHANCE = 3
"""States by chance, beside the systematic ones, for each moment of a cut."""


@dataclass
class Recording:
    """What a scenario did, and what has to hold after a cut in it.

    Attributes:
        trace: What it did.
        before: The folders at its start.
        after: The folders at its end.
        undisturbed: Where it came to its end.
    """

    scenario: Scenario
    trace: Trace
    before: dict[str, Files]
    after: dict[str, Files]
    undisturbed: Path

    def check_left(self, point: int, state: State) -> None:
        """Hold a state against what is promised of any moment."""
        dest, scenario = self.scenario.place, self.scenario
        for name in self._names(state):
            self._check_whole(name, state.files(f"{dest}/{name}"))
        if not scenario.absent_between:
            for name in self.before.keys() & self.after.keys():
                assert state.find(f"{dest}/{name}") is not None, f"{name} was there and is gone"
        receipts = {
            name: decode_receipt(concrete(content, {}))
            for name, content in (state.files(f"{dest}/{OWN}/receipts") or {}).items()
            if name.endswith(".json")
        }
        self._check_kept(point, state)
        for outcome in self.told(point):
            name = f"task{outcome.task_id}"
            if outcome.action is ac.Action.UPLOADED:
                assert receipts[f"{outcome.task_id}.json"].head.uploaded, "it was not noted"
            elif outcome.path is not None:
                name = outcome.path.as_posix().partition(f"/{dest}/")[2]
            # Replaced by a further download, it has another name at first.
            aside = [one for one in state.names(dest) if one.startswith(f"{name}.old-")]
            places = [state.files(f"{dest}/{one}") for one in (name, *aside)]
            assert self.after.get(name) in places, f"{name} was told to be {outcome.action}"
        self._check_saved(set((state.files(dest) or {}).values()))

    def _names(self, state: State) -> Iterator[str]:
        """The folders of tasks, and whatever else stands beside them."""
        dest = self.scenario.place
        for name in state.names(dest):
            below = [one for one in {*self.before, *self.after} if one.startswith(f"{name}/")]
            if below:
                here = {one: state.files(f"{dest}/{one}") for one in below}
                held = sum(len(files) for files in here.values() if files is not None)
                assert held == len(state.files(f"{dest}/{name}") or {}), f"more is in {name}"
                yield from [one for one, files in here.items() if files is not None]
            elif not name.startswith("."):
                yield name

    def _check_saved(self, here: set[bytes]) -> None:
        """Make sure that what is to be kept is anywhere in the destination."""
        assert here.issuperset(self.scenario.mine), "files of the user are lost"
        if self.scenario.history:
            replaced = {files[ANNOTATIONS] for files in self.before.values()}
            assert here >= replaced, "history is lost"

    def _check_kept(self, point: int, state: State) -> None:
        """Make sure that what imports replaced was kept before they were requested."""
        kept = state.files(f"{self.scenario.place}/{OWN}/replaced") or {}
        for task_id in self.requested(point):
            states = [kept[name] for name in kept if re.fullmatch(rf"{task_id}-.*\.json", name)]
            assert any(_shapes(concrete(one, {})) for one in states), "nothing is kept"

    def _check_whole(self, name: str, files: Files | None) -> None:
        """Make sure that a folder is one complete version."""
        assert files is not None, f"{name} is no folder"
        if ".old-" in name:
            # What a download replaced, under another name: nothing in it is damaged.
            assert set(files.values()) <= self._contents_of(name.partition(".")[0])
            return
        versions = [one.get(name) for one in (self.before, self.after)]
        in_short = {path: f"{len(data)} bytes, {data[:16]!r}" for path, data in files.items()}
        assert files in versions, f"{name} is no whole version: {in_short}"

    def _contents_of(self, name: str) -> set[bytes]:
        """What the files of a folder ever held."""
        versions = (one.get(name, {}) for one in (self.before, self.after))
        return {content for version in versions for content in version.values()}

    def told(self, point: int) -> list[ac.TaskOutcome]:
        """The outcomes before a cut that say that something is so."""
        said = [step.what for step in self.trace.steps[:point] if isinstance(step, Told)]
        outcomes = [one for one in said if isinstance(one, ac.TaskOutcome)]
        return [one for one in outcomes if one.action is not ac.Action.SKIPPED]

    def requested(self, point: int) -> set[int]:
        """The tasks whose imports were requested before a cut."""
        said = [step.what for step in self.trace.steps[:point] if isinstance(step, Told)]
        return {one.task_id for one in said if isinstance(one, ImportRequested)}

    def check_end(self, dest: Path, *, orderly: bool) -> None:
        """Hold what the next run left against what was never disturbed."""
        ended = read_folders(dest)
        assert _without_replaced(ended) == _without_replaced(self.after)
        if not (dest / OWN).exists():
            return
        assert self._comparable(dest) == self._comparable(self.undisturbed)
        check_receipts(dest)
        assert list((dest / OWN / "staging").iterdir()) == []
        assert _archives(dest) == _archives(self.undisturbed)
        assert _history(dest) == _history(self.undisturbed)
        aside = {path.read_bytes() for path in (dest / OWN / "kept").rglob("*") if path.is_file()}
        # What was replaced may be left beside what is the user's, or where order was not kept.
        replaceable = {content for files in self.before.values() for content in files.values()}
        if self.scenario.mine or not orderly:
            assert aside <= replaceable.union(self.scenario.mine)
        else:
            assert not aside

    def _comparable(self, dest: Path) -> object:
        receipts = comparable_receipts(dest)
        if not self.scenario.dates_differ:
            return receipts
        return {
            task_id: (
                msgspec.structs.replace(one.head, updated_date="", uploaded_at=""),
                one.members,
            )
            for task_id, one in receipts.items()
        }


def _shapes(content: bytes) -> list[object]:
    """The shapes of a kept state; none if it is in part."""
    try:
        shapes: list[object] = json.loads(content)["shapes"]
    except ValueError:
        return []
    return shapes


def _without_replaced(folders: dict[str, Files]) -> dict[str, Files]:
    """Without what a download put aside, or left under way."""
    return {
        name: tree
        for name, tree in folders.items()
        if not name.startswith(".") and ".old-" not in name
    }


def _archives(dest: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (dest / OWN / "archives").glob("*.zip")}


def _history(dest: Path) -> dict[str, bytes]:
    return {
        path.relative_to(dest).as_posix(): path.read_bytes()
        for path in (dest / OWN / "history").rglob("*")
        if path.is_file()
    }


@contextlib.contextmanager
def told_of(state: State) -> Iterator[None]:
    """Let a failure tell which cut it was."""
    try:
        yield
    except Exception as error:
        error.add_note("\n".join(map(repr, state.story)))
        raise


async def record(world: World, scenario: Scenario, folder: Path) -> Recording:
    """Do what a scenario does, from its beginning."""
    disk = folder / "disk"
    disk.mkdir()
    with scenario.patched():
        await scenario.before(world, disk / scenario.place)
        trace, numbers = look(disk)
        before = read_folders(disk / scenario.place)
        await _act(world, scenario, Recorder(disk, trace, numbers))
    dest = disk / scenario.place
    return Recording(scenario, trace, before, read_folders(dest), dest)


async def record_after_kill(
    world: World, recording: Recording, killed_at: int, folder: Path
) -> Recording:
    """Do it again where the process was killed: whatever it did is seen, and may yet be lost."""
    trace = recording.trace.up_to(killed_at)
    disk = folder / f"killed at {killed_at}"
    numbers = lay_out(Cut(trace, killed_at).state(), disk)
    return await _record_again(world, recording, Recorder(disk, trace, numbers))


async def record_after_cut(
    world: World, recording: Recording, state: State, disk: Path
) -> Recording:
    """Do it again after a power cut: whatever is there is durable."""
    lay_out(state, disk)
    trace, numbers = look(disk)
    return await _record_again(world, recording, Recorder(disk, trace, numbers))


async def _record_again(world: World, recording: Recording, recorder: Recorder) -> Recording:
    scenario = recording.scenario
    with scenario.patched():
        await _act(world, scenario, recorder)
    recording.check_end(recorder.folder / scenario.place, orderly=False)
    shutil.rmtree(recorder.folder)
    return replace(recording, trace=recorder.trace)


async def _act(world: World, scenario: Scenario, recorder: Recorder) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, TaskDone):
            recorder.told(event.outcome)
        elif isinstance(event, ImportRequested):
            recorder.told(event)

    with recorder.watching():
        report = await scenario.act(world, recorder.folder / scenario.place, tell)
    report.raise_for_failures()


# --- cutting -------------------------------------------------------------------------------------


def states(
    recording: Recording, points: Iterable[int], chance: random.Random
) -> Iterator[tuple[int, State]]:
    """Different states that cuts at these points may leave; some of them by chance."""
    seen = set()
    for point in points:
        cut = Cut(recording.trace, point)
        by_chance = (cut.random(chance) for _ in range(BY_CHANCE if cut.pending else 0))
        told = len(recording.told(point)), len(recording.requested(point))
        for state in itertools.chain(cut.systematic(), by_chance):
            # What was told decides what has to be there.
            if (state.fingerprint, told) not in seen:
                seen.add((state.fingerprint, told))
                yield point, state


def checked_states(
    recording: Recording, points: Iterable[int], chance: random.Random
) -> list[tuple[int, State]]:
    """The same, each of which is as is promised of any moment."""
    found = []
    for point, state in states(recording, points, chance):
        with told_of(state):
            recording.check_left(point, state)
        found.append((point, state))
    return found


def telling_points(trace: Trace) -> list[int]:
    """Before each sync, when most is at stake, and after each rename."""
    steps = enumerate(trace.steps)
    syncs_and_renames = [
        number + isinstance(step, Named)
        for number, step in steps
        if isinstance(step, Synced) or (isinstance(step, Named) and len(step.changes) > 1)
    ]
    imports = [
        number + 1
        for number, step in enumerate(trace.steps)
        if isinstance(step, Told) and isinstance(step.what, ImportRequested)
    ]
    return [*syncs_and_renames, *imports, len(trace.steps)]


async def go_on(
    world: World,
    recording: Recording,
    cuts: Sequence[tuple[int, State]],
    place: Path,
    chance: random.Random,
) -> None:
    """After each cut, do again what was cut off, and check where it ends."""
    scenario = recording.scenario
    with scenario.patched():
        for point, state in cuts:
            disk = place / "cut"
            # The numbers of devices may be others after a reboot.
            lay_out(state, disk, device=chance.randrange(2))
            since = len(world.server.calls)
            with told_of(state):
                report = await scenario.act(world, disk / scenario.place, unheard)
                report.raise_for_failures()
                if scenario.has_receipts:
                    told = {one.task_id for one in recording.told(point)}
                    again = world.exported(since) & told
                    assert not again, f"what was told to be done is paid for again: {again}"
                recording.check_end(disk / scenario.place, orderly=state.orderly)
            shutil.rmtree(disk)


async def is_broken(
    world: World, recording: Recording, points: Iterable[int], place: Path, chance: random.Random
) -> bool:
    """Whether one of the cuts at these points breaks the promise, at once or in the next run."""
    cuts = list(states(recording, points, chance))
    try:
        for point, state in cuts:
            recording.check_left(point, state)
        await go_on(world, recording, chance.sample(cuts, min(100, len(cuts))), place, chance)
    except (AssertionError, ac.AsyncCvatError):
        shutil.rmtree(place / "cut", ignore_errors=True)
        return True
    return False

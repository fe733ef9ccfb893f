"""A power cut at any moment of a run that changes a server: the journal names each call made.

So the next run ends like one that was never cut off: nothing is made twice, nothing is lost, and
nothing is half. With `--thorough` the power goes off after each step.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from changing_runs import MAKING, RUNS, ChangingRun, Stage, hurry, unheard
from memory_folders import in_memory
from power_disk import Cut, State, Told, Trace, concrete, lay_out, look
from power_promise import BY_CHANCE, told_of
from power_recording import Recorder
from power_switch import PowerSwitch, asked, outcomes

import asynccvat as ac

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Power cut")]

SAMPLE = 5
"""How many moments of each kind of run the ordinary tests cut off."""
DATA = "data"
"""The folder that a run reads and writes, on its disk."""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    hurry(monkeypatch)
    with in_memory() as folder:
        yield folder


@dataclass
class Cutting:
    """One kind of run, cut off again and again.

    Attributes:
        kind: The kind of run.
        place: A folder for all disks.
        undisturbed: What the server has after a run that was not cut off.
        count: The number of states so far.
    """

    kind: ChangingRun
    place: Path
    undisturbed: Any = None
    count: int = 0
    _made: int = 0

    async def begin(self) -> Trace:
        """Run without a cut. Returns what the run did."""
        disk = self._disk()
        async with self.kind.opened(disk / DATA) as stage:
            trace, report = await self._run(stage, disk, None)
            assert report is not None
            assert report.ok, report.to_json()
            self.undisturbed = await stage.held()
        return trace

    async def cut_off(self, after: int, chance: random.Random, *, again: int | None = None) -> bool:
        """Cut the power after a step, and go on from one of the states that this may leave.

        Args:
            after: After how many steps.
            chance: Chooses the state.
            again: After how many steps of the next run the power is cut as well. None for never.

        Returns:
            Whether the run came so far.
        """
        disk = self._disk()
        async with self.kind.opened(disk / DATA) as stage:
            trace, report = await self._run(stage, disk, after)
            if report is not None:
                return False
            found = list(states(trace, after, chance))
            for state in found:
                with told_of(state):
                    self.check(trace, after, state)
            self.count += len(found)
            state = chance.choice(found)
            with told_of(state):
                if again is not None:
                    state = await self._cut_off_again(stage, state, again, chance)
                await self._go_on(stage, state, chance)
        return True

    def check(self, trace: Trace, point: int, state: State) -> None:
        """Check that the journals name each call that was made, and all that was told.

        Raises:
            AssertionError: One is not named.
        """
        before = lines(Cut(trace, 0).state())
        found = lines(state)
        for announced in self.kind.announced:
            made = sum(
                announced.call.match(call) is not None for call in asked(trace.steps[:point])
            )
            named = count(found, announced.line) - count(before, announced.line)
            assert named >= made, f"{made} calls were made, and {named} lines say {announced.line}"
        told = len([one for one in outcomes(trace.steps[:point]) if one.action in MAKING])
        named = count(found, self.kind.done) - count(before, self.kind.done)
        assert named >= told, f"{told} outcomes were told, and {named} lines say {self.kind.done}"
        for path, content in (state.files(DATA) or {}).items():
            if path.endswith("/restored.json"):
                assert json.loads(content)["files"], "it is written as a whole"

    async def _run(
        self, stage: Stage, disk: Path, off_at: int | None
    ) -> tuple[Trace, ac.RunReport | None]:
        recorder = Recorder(disk, *look(disk))
        switch = PowerSwitch(recorder, off_at)
        report = await switch.run(lambda tell: stage.act(disk / DATA, tell))
        return recorder.trace, report

    async def _cut_off_again(
        self, stage: Stage, state: State, after: int, chance: random.Random
    ) -> State:
        """Go on until the power is cut again. Returns one of the states that this may leave."""
        disk = self._disk(made=False)
        lay_out(state, disk)
        trace, report = await self._run(stage, disk, after)
        assert report is None or report.ok, report.to_json()
        return chance.choice(list(states(trace, min(after, len(trace.steps)), chance)))

    async def _go_on(self, stage: Stage, state: State, chance: random.Random) -> None:
        disk = self._disk(made=False)
        # The numbers of devices may be others after a reboot.
        lay_out(state, disk, device=chance.randrange(2))
        report = await stage.act(disk / DATA, unheard)
        assert report.ok, report.to_json()
        assert await stage.held() == self.undisturbed
        again = await stage.act(disk / DATA, unheard)
        assert again.ok, again.to_json()
        assert await stage.held() == self.undisturbed
        assert not {one.action for one in again.outcomes}.intersection(MAKING), "it is done again"

    def _disk(self, *, made: bool = True) -> Path:
        self._made += 1
        disk = self.place / str(self._made)
        if made:
            disk.mkdir()
        return disk


def states(trace: Trace, point: int, chance: random.Random) -> Iterator[State]:
    """Different states that a cut may leave; some of them by chance."""
    cut = Cut(trace, point)
    seen = set()
    for state in (*cut.systematic(), *(cut.random(chance) for _ in range(BY_CHANCE))):
        if state.fingerprint not in seen:
            seen.add(state.fingerprint)
            yield state


def lines(state: State) -> list[Mapping[str, Any]]:
    """The lines of all journals that the next run reads: whole ones, up to a torn one."""
    found: list[Mapping[str, Any]] = []
    for path, content in (state.files(DATA) or {}).items():
        if path.endswith(".jsonl"):
            whole = concrete(content, {}).split(b"\n")[:-1]
            found += [json.loads(row) for row in whole if row.startswith(b"{")]
    return found


def count(found: list[Mapping[str, Any]], wanted: Mapping[str, Any]) -> int:
    """How many lines say that."""
    return sum(wanted.items() <= line.items() for line in found)


def telling(trace: Trace) -> list[int]:
    """Right before each call that counts is sent, and right after it was done."""
    return [number + 1 for number, step in enumerate(trace.steps) if isinstance(step, Told)]


@pytest.mark.parametrize("name", RUNS)
async def test_after_a_power_cut_the_journal_names_each_call_and_the_next_run_ends_the_same(
    place: Path, name: str, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    chance = random.Random("journals")
    cutting = Cutting(RUNS[name], place)
    trace = await cutting.begin()
    assert asked(trace.steps)
    steps = len(trace.steps)
    points = range(1, steps) if thorough else chance.sample(telling(trace), SAMPLE)
    came = 0
    for after in points:
        for _ in range(3 if thorough else 1):
            came += await cutting.cut_off(after, chance)
    assert came >= len(points) * 0.9
    count_cases(cutting.count)


@pytest.mark.parametrize("name", RUNS)
async def test_the_power_may_be_cut_again_in_the_next_run(
    place: Path, name: str, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    chance = random.Random("cut twice")
    cutting = Cutting(RUNS[name], place)
    steps = len((await cutting.begin()).steps)
    for _ in range(150 if thorough else 2):
        await cutting.cut_off(chance.randrange(1, steps), chance, again=chance.randint(1, 30))
    count_cases(cutting.count)


OURS = rf"{DATA}/\.asynccvat"
SYNCED = [
    ("restored tasks", rf"{OURS}/restores/[^/]+/journal\.jsonl"),
    ("restored tasks", rf"{OURS}/restores/[^/]+"),
    ("restored tasks", rf"{OURS}/restores"),
    ("restored tasks", OURS),
    ("imported datasets", rf"{OURS}/imports/[^/]+/journal\.jsonl"),
    ("imported datasets", DATA),
    ("new tasks", rf"{OURS}/creations/[^/]+/creations\.jsonl"),
    ("new tasks", DATA),
    ("copied tasks", rf"{DATA}/restores/journal\.jsonl"),
    ("copied tasks", rf"{DATA}/copies\.jsonl"),
    ("deleted tasks", rf"{DATA}/log\.jsonl"),
    ("exports to a bucket", rf"{DATA}/record\.jsonl"),
    ("exports to a bucket", DATA),
]
"""What has to be synced, by its path."""


@pytest.mark.parametrize(("name", "path"), SYNCED)
async def test_with_any_sync_of_a_journal_forgotten_some_cut_loses_a_call(
    place: Path, name: str, path: str
) -> None:
    cutting = Cutting(RUNS[name], place)
    trace = await cutting.begin()
    forgetful = trace.without_syncs(lambda synced: re.fullmatch(path, synced) is not None)
    assert len(forgetful.steps) < len(trace.steps), "no such thing is synced"
    lost = 0
    for point in telling(forgetful):
        for state in states(forgetful, point, random.Random("forgotten")):
            try:
                cutting.check(forgetful, point, state)
            except AssertionError:
                lost += 1
    assert lost

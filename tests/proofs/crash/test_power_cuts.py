"""A power cut at any moment: folders are whole, what was reported exists, the rest follows."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from memory_folders import in_memory
from power_disk import Cut, Damage, Named, Synced, lay_out
from power_promise import (
    checked_states,
    go_on,
    is_broken,
    record,
    record_after_cut,
    record_after_kill,
    states,
    telling_points,
)
from power_scenarios import (
    ALSO_MINE,
    MINE,
    Scenario,
    a_folder_of_the_user,
    a_mirror,
    as_it_is,
    at_once,
    changed_at_the_server,
    changed_here_and_there,
    download,
    download_replacing,
    downloads_that_changed,
    edited_annotations,
    file_by_file,
    gone_from_the_server,
    keeping_parts,
    keeping_what_was_staged,
    mirroring,
    renamed_at_the_server,
    upload,
    without_exchange,
    without_links,
)

import asynccvat as ac

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Power cut")]

LAYOUT = "{project}/{id}/{name}"
SCENARIOS = {
    "first mirror": Scenario(mirroring(), patch=as_it_is, place="new/data"),
    "first mirror in one group": Scenario(mirroring(), patch=at_once),
    "update": Scenario(mirroring(), changed_at_the_server()),
    "update in one group": Scenario(mirroring(), changed_at_the_server(), at_once),
    "update by copies": Scenario(mirroring(), changed_at_the_server(), without_links),
    "update by two renames": Scenario(
        mirroring(), changed_at_the_server(), without_exchange, absent_between=True
    ),
    "update beside files of the user": Scenario(
        mirroring(), changed_here_and_there, mine=(MINE, ALSO_MINE)
    ),
    "move": Scenario(mirroring(folder_prefix="job"), a_mirror),
    "layout": Scenario(mirroring(layout=LAYOUT), a_mirror),
    "first mirror by a layout": Scenario(mirroring(layout=LAYOUT)),
    "rename by a layout": Scenario(mirroring(layout=LAYOUT), renamed_at_the_server(layout=LAYOUT)),
    "update to another name": Scenario(
        mirroring(folder_prefix="job"), changed_here_and_there, mine=(MINE, ALSO_MINE)
    ),
    "removal": Scenario(mirroring(prune=True), gone_from_the_server, mine=(MINE, ALSO_MINE)),
    "adoption": Scenario(
        mirroring(adopt=True), a_folder_of_the_user, mine=(MINE,), absent_between=True
    ),
    "update with history": Scenario(
        mirroring(history=1e6), changed_at_the_server(history=1e6), history=True
    ),
    "removal with history": Scenario(
        mirroring(prune=True, history=1e6),
        gone_from_the_server,
        mine=(MINE, ALSO_MINE),
        history=True,
    ),
    "kept archives": Scenario(
        mirroring(keep_archive=True), changed_at_the_server(keep_archive=True)
    ),
    "archives kept no more": Scenario(
        mirroring(keep_archive=False), changed_at_the_server(keep_archive=True)
    ),
    "downloads": Scenario(download, place="new/data"),
    "downloads that replace": Scenario(
        download_replacing, downloads_that_changed, mine=(MINE, ALSO_MINE), absent_between=True
    ),
    "upload": Scenario(upload, edited_annotations, dates_differ=True),
}


RESUMED = Scenario(mirroring(), patch=keeping_what_was_staged, frame_bytes=200_000)
PARTS = Scenario(mirroring(), patch=keeping_parts, frame_bytes=400_000)
INTERRUPTED = {
    name: scenario
    for name, scenario in SCENARIOS.items()
    if scenario.act is not upload and "group" not in name
} | {"first mirror whose staging is kept": RESUMED, "large members": PARTS}
"""What is interrupted before the power is cut."""

NOT_DURABLE = Scenario(mirroring(durable=False), changed_at_the_server(durable=False))


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


# --- the proofs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
async def test_after_a_power_cut_every_folder_is_whole_and_the_next_run_ends_the_same(
    place: Path, scenario: Scenario, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    chance = random.Random("cut")
    async with scenario.world() as served:
        recording = await record(served, scenario, place)
        steps = len(recording.trace.steps)
        points = telling_points(recording.trace) + chance.sample(range(steps), steps // 8)
        cuts = checked_states(recording, range(steps + 1) if thorough else points, chance)
        chosen = cuts if thorough else chance.sample(cuts, 6)
        await go_on(served, recording, chosen, place, chance)
        count_cases(len(cuts))


@pytest.mark.parametrize("scenario", INTERRUPTED.values(), ids=INTERRUPTED.keys())
async def test_after_a_kill_another_run_and_a_power_cut_the_same_holds(
    place: Path, scenario: Scenario, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    chance = random.Random("kill and cut")
    async with scenario.world() as served:
        recording = await record(served, scenario, place)
        points = range(len(recording.trace.steps))
        for killed_at in points if thorough else chance.sample(points, 1):
            again = await record_after_kill(served, recording, killed_at, place)
            end = len(again.trace.steps)
            cuts = checked_states(again, [*chance.sample(range(killed_at, end), 2), end], chance)
            await go_on(served, again, chance.sample(cuts, min(3, len(cuts))), place, chance)
            count_cases(len(cuts))


async def test_one_of_these_runs_takes_over_what_the_killed_one_had_staged(place: Path) -> None:
    async with RESUMED.world() as served:
        recording = await record(served, RESUMED, place)
        # All is staged, and nothing of it is intended yet.
        killed_at = next(
            number
            for number, step in enumerate(recording.trace.steps)
            if isinstance(step, Named) and step.changes[0][0][1] == "receipt.json.part"
        )
        again = await record_after_kill(served, recording, killed_at, place)
        resumed = again.trace.steps[killed_at:]
        assert "link" in [step.effect for step in resumed if isinstance(step, Named)]


@pytest.mark.parametrize("scenario", INTERRUPTED.values(), ids=INTERRUPTED.keys())
async def test_after_a_power_cut_while_another_one_is_put_right_the_same_holds(
    place: Path, scenario: Scenario, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    chance = random.Random("cut and cut")
    async with scenario.world() as served:
        recording = await record(served, scenario, place)
        for point in chance.sample(telling_points(recording.trace), 12 if thorough else 1):
            first_cuts = list(states(recording, [point], chance))
            for _, state in chance.sample(first_cuts, min(len(first_cuts), 6 if thorough else 1)):
                again = await record_after_cut(served, recording, state, place / "again")
                points = telling_points(again.trace)
                points = chance.sample(points, min(3, len(points)))
                cuts = checked_states(again, points, chance)
                await go_on(served, again, chance.sample(cuts, min(3, len(cuts))), place, chance)
                count_cases(len(cuts))


# --- that the proofs can fail --------------------------------------------------------------------


OURS = r"data/\.asynccvat"
SYNCED = [
    ("first mirror", OURS + r"/staging/\d+/tree/.*(jpg|json)"),
    ("first mirror", OURS + r"/staging/\d+"),
    ("first mirror", r"data"),
    ("first mirror", r"new"),
    ("update", OURS + r"/staging/\d+/receipt\.json\.part"),
    ("update", OURS + r"/receipts"),
    ("update beside files of the user", OURS + r"/kept"),
    ("removal", OURS + r"/staging"),
    ("archives kept no more", OURS + r"/archives"),
    ("downloads", r"data/\.task\d\.asynccvat/staging"),
    ("upload", OURS + r"/receipts"),
    ("upload", OURS + r"/replaced"),
]
SYNCED_TOO = [
    ("first mirror", OURS + r"/staging/\d+/tree(/[a-z]+)*"),
    ("first mirror", OURS + r"/staging/\d+/receipt\.json\.part"),
    ("first mirror", OURS + r"/staging"),
    ("first mirror", OURS + r"/receipts"),
    ("first mirror", OURS),
    ("first mirror", r"\."),
    ("update", OURS + r"/staging/\d+/tree/.*json"),
    ("update", OURS + r"/staging/\d+"),
    ("update", r"data"),
    ("kept archives", OURS + r"/archives(/\d+\.zip\.part)?"),
    ("downloads", r"data"),
    ("upload", OURS + r"/receipts/\d+\.json\.part"),
    ("upload", OURS + r"/replaced/\d+-.*\.json\.part"),
]


@pytest.mark.parametrize(
    ("name", "path"),
    [*SYNCED, *(pytest.param(*one, marks=pytest.mark.thorough) for one in SYNCED_TOO)],
)
async def test_with_any_kind_of_sync_forgotten_some_cut_breaks_the_promise(
    place: Path, name: str, path: str
) -> None:
    chance = random.Random("forgotten")
    scenario = replace(SCENARIOS[name], patch=file_by_file)
    async with scenario.world() as served:
        recording = await record(served, scenario, place)
        kind = re.compile(rf"(new/)?{path}")
        forgetful = recording.trace.without_syncs(lambda synced: bool(kind.fullmatch(synced)))
        assert len(forgetful.steps) < len(recording.trace.steps), "no such thing is synced"
        recording = replace(recording, trace=forgetful)
        points = telling_points(forgetful)
        assert await is_broken(served, recording, points, place, chance)


async def test_without_syncs_a_cut_can_leave_zeros_that_the_next_run_takes_for_whole(
    place: Path,
) -> None:
    async with NOT_DURABLE.world() as served:
        recording = await record(served, NOT_DURABLE, place)
        steps = recording.trace.steps
        assert not [step for step in steps if isinstance(step, Synced)]
        assert await is_broken(served, recording, [len(steps)], place, random.Random("lost"))
        cut = Cut(recording.trace, len(steps))
        paths = cut.state().paths
        file = next(one for one in cut.unsynced if paths.get(one, "").startswith("data/task"))
        zeros = cut.state(damages={file: Damage.ZEROS})
        dest = place / "zeros" / NOT_DURABLE.place
        lay_out(zeros, place / "zeros")
        report = await served.mirror(dest, durable=False)
        assert {one.action for one in report.outcomes} == {ac.Action.KEPT}
        assert set((place / "zeros" / paths[file]).read_bytes()) == {0}
        # As README says:
        (await served.mirror(dest, force=True)).raise_for_failures()
        recording.check_end(dest, orderly=False)


async def test_without_syncs_a_kill_at_any_step_is_harmless_all_the_same(
    place: Path, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    chance = random.Random("kill")
    async with NOT_DURABLE.world() as served:
        recording = await record(served, NOT_DURABLE, place)
        kills = [
            (point, Cut(recording.trace, point).state())
            for point in range(len(recording.trace.steps) + 1)
        ]
        for point, state in kills:
            recording.check_left(point, state)
        chosen = kills if thorough else chance.sample(kills, 10)
        await go_on(served, recording, chosen, place, chance)
        count_cases(len(kills))

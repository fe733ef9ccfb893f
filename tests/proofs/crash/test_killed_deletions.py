"""SIGKILL at every effect and every call of a deletion: only what passed its guards goes, noted.

A deletion is killed at its n-th moment, for every n. After each kill, what is gone was meant, had
passed its guards, and has a line in the log. The next run ends like one that was never killed, and
deletes nothing that was changed in between. The quick run takes a sample of the moments. With
`--thorough` each is taken, before and after, and the next run is killed as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from restore_processes import run

import asynccvat
from asynccvat.core.scheduling import intervals
from asynccvat.models import DeletePlan
from asynccvat.simulator import Fault
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Killed deletions")

SAMPLE = 3
LOST = "lost answers, no backups"
DELETED = re.compile(r"/api/(task|project)s/(\d+)$")
Target = tuple[str, int]


@dataclass(frozen=True)
class DeleteJob:
    """A deletion, and where it dies.

    Attributes:
        url: The server.
        token: The superuser's key.
        projects: Whether projects are deleted.
        ids: The targets.
        plan: The plan of the dry run, as JSON.
        backups: The destination that has to hold what goes, None for none.
        log: The log.
        die_at: The number of the moment, from 1. None to live.
        after: Whether the effect or call of that moment is done before.
    """

    url: str
    token: str
    projects: bool
    ids: tuple[int, ...]
    plan: bytes
    backups: Path | None
    log: Path
    die_at: int | None = None
    after: bool = False

    @property
    def selection(self) -> asynccvat.Selection:
        if self.projects:
            return asynccvat.Selection(project_ids=self.ids)
        return asynccvat.Selection(task_ids=self.ids)

    @property
    def options(self) -> asynccvat.DeleteOptions:
        return asynccvat.DeleteOptions(
            projects=self.projects, require_backup=self.backups, log=self.log
        )


async def delete(job: DeleteJob) -> asynccvat.RunReport:
    plan = DeletePlan.read(job.plan, "the plan")
    async with asynccvat.CvatClient(job.url, token=job.token) as client:
        return await asynccvat.delete(
            client, job.selection, expect=plan.count, plan=plan, options=job.options
        )


async def prepared(
    server: SimulatedServer, job: DeleteJob, *, unsaved: int, disputed: int
) -> DeleteJob:
    """Back up all tasks except one, open an issue in another, and make the dry run."""
    saved = [number for number in server.tasks if number != unsaved]
    async with asynccvat.CvatClient(server.url, token=server.token) as client:
        (of_task, *_) = await client.jobs(asynccvat.JobSelection(task_ids=[disputed]))
        server.add_issue(of_task.id, "look")
        options = asynccvat.BackupOptions(durable=False)
        wanted = asynccvat.Selection(task_ids=saved)
        if job.backups is not None:
            assert (await asynccvat.backup(client, job.backups, wanted, options=options)).ok
        plan = await asynccvat.plan_delete(client, job.selection, options=job.options)
    return replace(job, plan=json.dumps(plan.to_json()).encode())


def tasks_of(server: SimulatedServer, project: int) -> list[int]:
    return [task.id for task in server.tasks.values() if task.project_id == project]


@dataclass(frozen=True)
class Deletion:
    """What is deleted in a trial, with what must stay.

    Attributes:
        server: The server.
        job: The job that lives.
        meant: The targets that pass all guards.
    """

    server: SimulatedServer
    job: DeleteJob
    meant: tuple[int, ...]

    @property
    def kind(self) -> str:
        return "project" if self.job.projects else "task"

    def standing(self) -> set[int]:
        return set(self.server.projects if self.job.projects else self.server.tasks)

    def check_noted(self) -> None:
        """Check that what is gone was meant, and that the log has a line for it."""
        gone = set(self.job.ids) - self.standing()
        assert gone <= set(self.meant)
        assert gone <= {line["id"] for line in noted(self.job.log) if line["what"] == "delete"}
        for line in noted(self.job.log):
            assert line["target"] == self.kind
            assert line["what"] != "deleted" or line["id"] in gone

    def calls(self) -> Counter[int]:
        """How often each target was deleted."""
        found = (DELETED.search(call.path) for call in self.server.calls if call.method == "DELETE")
        return Counter(int(one[2]) for one in found if one is not None)


def noted(log: Path) -> list[dict[str, Any]]:
    """The whole lines of a log, without the first."""
    if not log.exists():
        return []
    *lines, _torn = log.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[1:]]


@contextlib.contextmanager
def deletion(scenario: str, folder: Path) -> Iterator[Deletion]:
    """Serve, back up, make the dry run, and then change one target."""
    with serve_in_thread(SimulatorOptions(tasks=10, projects=5, frames=1)) as server:
        projects = scenario == "projects"
        needs_none = scenario == LOST
        ids = tuple(server.projects) if projects else (1, 2, 3, 4, 5, 6)
        job = DeleteJob(
            url=server.url,
            token=server.token,
            projects=projects,
            ids=ids,
            plan=b"",
            backups=None if needs_none else folder / "backups",
            log=folder / "log.jsonl",
        )
        # One has no backup, one has an open issue, and one changes after the dry run.
        unsaved, disputed, changed = ids[1], ids[2], ids[3]
        of_task = {one: tasks_of(server, one)[0] if projects else one for one in ids}
        job = asyncio.run(
            prepared(server, job, unsaved=of_task[unsaved], disputed=of_task[disputed])
        )
        server.edit_task(of_task[changed])
        if needs_none:
            server.faults.add(Fault("DELETE", times=None, lose_answer=True))
        stay = (disputed, changed) if needs_none else (unsaved, disputed, changed)
        meant = tuple(one for one in ids if one not in stay)
        yield Deletion(server, job, meant)


def ended(
    scenario: str, folder: Path, *deaths: tuple[int, bool], edit: bool = False
) -> tuple[Any, list[str], int]:
    """Delete until a run lives, and check the server and the log after each.

    Args:
        scenario: What is deleted.
        folder: An empty folder.
        deaths: Where runs are killed, one after the other.
        edit: Whether the last target is changed after the first kill, if it still stands.

    Returns:
        What became of the targets, the moments of the last run, and how many were killed.
    """
    folder.mkdir()
    with deletion(scenario, folder) as trial:
        told, killed, kept = None, 0, set[int]()
        for die_at, after in (*deaths, (None, False)):
            told = run(replace(trial.job, die_at=die_at, after=after), delete)
            trial.check_noted()
            if told is not None:
                break
            killed += 1
            last = trial.meant[-1]
            if edit and last in trial.standing():
                kept = {last}
                trial.server.edit_task(
                    tasks_of(trial.server, last)[0] if trial.job.projects else last
                )
        assert told is not None
        assert told["report"]["stopped_by"] is None
        assert set(trial.meant) & trial.standing() == kept
        # Each that is gone was deleted by one of our calls, and the log says so once.
        deleted = Counter(one["id"] for one in noted(trial.job.log) if one["what"] == "deleted")
        assert deleted == dict.fromkeys(set(trial.meant) - kept, 1)
        # aiohttp makes a call again whose answer is lost.
        most = 2 if scenario == LOST else 1
        assert max(trial.calls().values()) <= most
        left = trial.standing() - kept
        return (left, sorted(trial.server.tasks)), told["moments"], killed


NUMBERS = {"tasks": 3, "projects": 2, LOST: 4}
"""How many targets are deleted in each scenario."""

SCENARIOS = tuple(NUMBERS)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll the backups without pauses, as the processes that are killed do."""
    for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL", "CLOCK_SLACK"):
        monkeypatch.setattr(intervals, name, 0.002)


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], Path]:
    """Name a new folder each time."""
    made = iter(range(100_000))
    return lambda: tmp_path / str(next(made))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_killed_deletion_ends_like_one_never_killed(
    scenario: str,
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    assert sum(name.startswith("DELETE") for name in moments) == NUMBERS[scenario]
    step = 1 if thorough else max(len(moments) // SAMPLE, 1)
    for die_at in range(1, len(moments) + 1, step):
        for after in (False, True) if thorough else (die_at % 2 == 0,):
            found, _, killed = ended(scenario, place(), (die_at, after))
            assert found == undisturbed, (die_at, after, moments[die_at - 1])
            count_cases(killed)


@pytest.mark.parametrize("after", [False, True])
def test_a_call_that_a_kill_left_open_is_noted_by_the_next_run(
    after: bool, place: Callable[[], Path], count_cases: Callable[[int], None]
) -> None:
    undisturbed, moments, _ = ended("tasks", place())
    first = next(n for n, name in enumerate(moments, 1) if name.startswith("DELETE"))
    folder = place()
    found, _, killed = ended("tasks", folder, (first, after))
    assert (found, killed) == (undisturbed, 1)
    later = [line["what"] for line in noted(folder / "log.jsonl") if line.get("later")]
    assert later == ["deleted" if after else "not deleted"]
    count_cases(killed)


@pytest.mark.parametrize("scenario", ["projects", LOST])
def test_what_is_changed_after_a_kill_stays(
    scenario: str,
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    _, moments, _ = ended(scenario, place())
    last = max(n for n, name in enumerate(moments, 1) if name.startswith("DELETE"))
    for die_at in range(1 if thorough else last, last + 1):
        for after in (False, True):
            _, _, killed = ended(scenario, place(), (die_at, after), edit=True)
            count_cases(killed)


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_next_run_may_be_killed_as_well(
    scenario: str, place: Callable[[], Path], count_cases: Callable[[int], None]
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    for first in range(1, len(moments) + 1, 3):
        for second in range(1, len(moments) + 1, 5):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = ended(scenario, place(), *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)

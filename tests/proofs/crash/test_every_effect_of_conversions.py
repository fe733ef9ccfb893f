"""SIGKILL at every effect of mirrors without exports: folders are whole, and no difference is lost.

`test_every_effect` does the same to mirrors of exports. Here two ends can differ, as each run draws
other tasks to be audited: in which receipts name a rule, and in what the JSON lacks. So files are
compared except for that (docs/commands/convert.md).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_folders import in_memory
from mirror_processes import Version, job, read_folders, read_receipts
from trials import check_times, until_it_survives
from warm_parent import Ended, WarmParent, warm_parent

from asynccvat.core.convert.comparable import comparable_xml
from asynccvat.fs import files
from asynccvat.simulator.formats import cvat_xml_writer
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Crash at every step")

CHANGING = tuple(name for name in files.EFFECTS if name not in ("fsync", "sync_filesystem"))
TWO = SimulatorOptions(tasks=2, frames=1, version="2.64.0")
ONE_BY_ONE = {"transfers": 1, "concurrency": 1}
NOTE = ".asynccvat/distrusted-rules.json"


@pytest.fixture(scope="module")
def parent() -> Iterator[WarmParent]:
    """What forks the processes that are killed."""
    with warm_parent() as running:
        yield running


@pytest.fixture
def wrong_from_now_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the server write boxes in another way than the conversion does."""
    known = cvat_xml_writer._xml_points

    def change() -> None:
        monkeypatch.setattr(
            cvat_xml_writer, "_xml_points", lambda shape: known(shape).replace('xtl="', 'xtl="0')
        )

    return change


class Mirrors:
    """Mirrors of one server, of which some are killed.

    Attributes:
        dest: The destination of the killed run.
        old: What the destination held before.
        converted: What conversions of the changed tasks hold.
        new: What exports of the changed tasks hold.
    """

    def __init__(
        self,
        parent: WarmParent,
        server: SimulatedServer,
        place: Path,
        change: Callable[[], None] | None,
    ) -> None:
        self._parent = parent
        self._server = server
        self._before = place / "before"
        self.dest = place / "killed"
        assert self._mirror(self._before).report["ok"]
        self.old = comparable(self._before)
        for task_id in server.tasks:
            server.edit_task(task_id)
        assert self._mirror(place / "converted").report["ok"]
        self.converted = comparable(place / "converted")
        if change is not None:
            change()
            server.expire_results()  # it would export them as they were
        assert self._mirror(place / "exported", without_exports=False).report["ok"]
        self.new = comparable(place / "exported")
        assert (self.new == self.converted) == (change is None)
        assert self.new.keys() == self.old.keys()
        assert not [name for name, tree in self.new.items() if tree == self.old[name]]

    def _mirror(self, dest: Path, *, without_exports: bool = True, **how: Any) -> Ended:
        options = {**ONE_BY_ONE, "without_exports": without_exports}
        format_ = "CVAT for images 1.1"
        wanted = job(self._server, dest, images=False, format=format_, options=options, **how)
        return self._parent.run(wanted)

    def killed(self, **how: Any) -> bool:
        """Kill a run in a copy of the destination; tell whether it came so far."""
        shutil.rmtree(self.dest, ignore_errors=True)
        shutil.copytree(self._before, self.dest)
        return self._mirror(self.dest, **how).killed

    def finish(self) -> set[int]:
        """Run to the end, and return the tasks whose JSON was read."""
        since = len(self._server.calls)
        report = self._mirror(self.dest).report
        assert report["ok"], report
        assert list((self.dest / ".asynccvat/staging").iterdir()) == []
        check_times(self.dest)
        return {
            int(call.path.split("/")[3])
            for call in self._server.calls[since:]
            if call.path.endswith("/annotations")
        }


def comparable(dest: Path) -> Version:
    """What stands under final names, except for what the JSON lacks."""
    return {
        name: {path: comparable_xml(content) for path, content in tree.items()}
        for name, tree in read_folders(dest).items()
    }


def each_kill(kill: Callable[..., bool], *, thorough: bool) -> int:
    """Kill at every effect, or at those of commits and renames; returns how many cases there are.

    Renames are the notes of differences, too.
    """
    if not thorough:
        number = until_it_survives(
            lambda number: kill(die_at=number, effects=CHANGING, phases=("commit",))
        )
        assert number >= 4
        return 1 + number
    return sum(
        1 + until_it_survives(lambda number: kill(die_at=number, after=after))  # noqa: B023 - called at once
        for after in (False, True)
    )


def test_killed_at_any_effect_the_converted_folders_are_whole_and_the_next_run_ends_the_same(
    parent: WarmParent, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    with serve_in_thread(TWO) as server, in_memory() as place:
        mirrors = Mirrors(parent, server, place, None)

        def kill(**how: Any) -> bool:
            died = mirrors.killed(**how)
            left = comparable(mirrors.dest)
            assert left.keys() == mirrors.new.keys()
            for name, tree in left.items():
                assert tree in (mirrors.old[name], mirrors.new[name]), name
            due = {
                receipt.head.task_id
                for receipt in read_receipts(mirrors.dest).values()
                if left[receipt.head.folder] != mirrors.new[receipt.head.folder]
            }
            assert mirrors.finish() == due
            assert comparable(mirrors.dest) == mirrors.new
            assert not (mirrors.dest / NOTE).exists()
            return died

        count_cases(each_kill(kill, thorough=thorough))


def test_killed_at_any_effect_after_a_difference_all_tasks_are_exported_in_the_end(
    parent: WarmParent,
    wrong_from_now_on: Callable[[], None],
    *,
    thorough: bool,
    count_cases: Callable[[int], None],
) -> None:
    noted = []
    with serve_in_thread(TWO) as server, in_memory() as place:
        mirrors = Mirrors(parent, server, place, wrong_from_now_on)

        def kill(**how: Any) -> bool:
            died = mirrors.killed(**how)
            left = comparable(mirrors.dest)
            assert left.keys() == mirrors.new.keys()
            is_noted = (mirrors.dest / NOTE).exists()
            noted.append(died and is_noted)
            for name, tree in left.items():
                assert tree in (mirrors.old[name], mirrors.converted[name], mirrors.new[name]), name
                assert is_noted or tree != mirrors.new[name], "committed before it was noted"
            mirrors.finish()
            assert comparable(mirrors.dest) == mirrors.new
            assert {one.head.rule for one in read_receipts(mirrors.dest).values()} == {None}
            note = json.loads((mirrors.dest / NOTE).read_bytes())
            assert note["found"]
            assert note["pending"] is False
            return died

        count_cases(each_kill(kill, thorough=thorough))
    assert any(noted), "no run was killed after it had noted a difference"

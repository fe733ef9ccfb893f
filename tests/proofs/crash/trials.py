"""Trials: a run that is killed at an effect and then finished, against an undisturbed one.

A `Trials` holds what one scenario needs: a server, a destination as it was before, and one to which
the same happened undisturbed. Each trial copies the first, kills a run there, checks what is left,
runs to the end and compares the result with the second.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from memory_folders import in_memory
from mirror_processes import (
    Job,
    Tree,
    comparable_receipts,
    job,
    read_folders,
    read_receipts,
    read_tree,
)
from warm_parent import Ended, WarmParent

from asynccvat.core.records.receipts import Receipt, encode_receipt
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

MINE = b"written by the user"
"""How every file of the user's begins; what follows tells them apart."""

Effects = tuple[tuple[str, str, str], ...]
"""Of each: the phase, the name and what it was about."""


def nothing(_: Any) -> None:
    """What happens where nothing does."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is there, what has changed since, and the run that is killed.

    Attributes:
        server: The server.
        before: The options of the first mirror, None where the destination is not there yet.
        killed: How the run differs from a plain one that is killed: fields of its `Job`.
        options: Its `MirrorOptions`.
        spec: The format and the images of both mirrors: fields of their `Job`.
        change: What happens at the server between the two.
        edit: What the user does in the destination between the two.
        staged: From the effects of an undisturbed run, the number of the one that an earlier run
            was killed at, None where there was no such run.
        exports: How many tasks an undisturbed run exports, or reads as JSON.
        absent: How many folders may have lost their name for an instant.
        renames: Names before and after, where a folder gets another one.
    """

    server: SimulatorOptions
    before: Mapping[str, Any] | None = field(default_factory=dict)
    killed: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[SimulatedServer], object] = nothing
    edit: Callable[[Path], object] = nothing
    staged: Callable[[Effects], int] | None = None
    exports: int = 0
    absent: int = 0
    renames: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """All that counts of a destination.

    Attributes:
        folders: What stands under final names.
        receipts: The receipts, without what differs from run to run.
        kept: What was put aside: paths below the folders in `kept/`, and what they hold.
        archives: The archives that are kept.
        history: The annotation files that are kept, by task, date and path.
    """

    folders: dict[str, Tree]
    receipts: dict[int, Receipt]
    kept: list[tuple[str, bytes]]
    archives: Tree
    history: Tree


def look(dest: Path) -> State:
    """See what a destination holds at rest."""
    own = dest / ".asynccvat"
    kept = [pair for folder in (own / "kept").iterdir() for pair in read_tree(folder).items()]
    return State(
        read_folders(dest),
        comparable_receipts(dest),
        sorted(kept),
        read_tree(own / "archives"),
        read_tree(own / "history"),
    )


def archives(dest: Path) -> Tree:
    """The archives that are kept; what still comes has another name."""
    kept = read_tree(dest / ".asynccvat/archives")
    return {name: held for name, held in kept.items() if not name.endswith((".part", ".before"))}


def mine(dest: Path) -> Counter[bytes]:
    """The files of the user's, wherever in the destination they are."""
    found: Counter[bytes] = Counter()
    for folder, _, names in os.walk(dest):
        for name in names:
            content = (Path(folder) / name).read_bytes()
            if content.startswith(MINE):
                found[content] += 1
    return found


class Trials:
    """The trials of one scenario. Made by `trials`."""

    def __init__(
        self, scenario: Scenario, server: SimulatedServer, parent: WarmParent, place: Path
    ) -> None:
        self.count = 0
        self._scenario = scenario
        self._server = server
        self._parent = parent
        self._place = place
        self._before = place / "before"
        if scenario.before is not None:
            self._parent.run(self._job(self._before, scenario.before))
        scenario.edit(self._before)
        self._mine = mine(self._before)
        scenario.change(server)
        if scenario.staged is not None:
            effects = self._finish(self._copy("tried")).effects
            self._die(self._before, scenario.staged(effects))
        self._old = read_folders(self._before)
        self._old_archives = archives(self._before)
        undisturbed = self._copy("undisturbed")
        since = len(server.calls)
        self.effects = self._finish(undisturbed).effects
        self._end = look(undisturbed)
        self._exports = self._exports_since(since)
        assert len(self._exports) == scenario.exports
        assert mine(undisturbed) == self._mine

    def kill_at(self, number: int, **how: Any) -> bool:
        """Kill a run at the effect of that number, and finish; tell whether it came so far."""
        with self._told(f"killed at effect {number}", how):
            dest = self._copy("killed")
            died = self._die(dest, number, **how)
            self._check_left(dest)
            self._check_finished(dest)
        return died

    def kill_twice(self, number: int, again: int, **how: Any) -> tuple[bool, bool]:
        """Kill a run, and then the next one, and finish; tell which of them came so far."""
        with self._told(f"killed at effect {number} and then at {again}", how):
            dest = self._copy("killed")
            died = self._die(dest, number, phases=("commit",))
            self._check_left(dest)
            died_again = self._die(dest, again, **how)
            self._check_left(dest)
            self._check_finished(dest)
        return died, died_again

    @contextlib.contextmanager
    def _told(self, what: str, how: Mapping[str, Any]) -> Iterator[None]:
        self.count += 1
        try:
            yield
        except BaseException as error:
            error.add_note(f"{what} {dict(how)}")
            raise

    # --- runs ---------------------------------------------------------------------------------

    def _job(self, dest: Path, options: Mapping[str, Any], **rest: Any) -> Job:
        # One task after the other, so that the effects come in the same order each time.
        one_by_one = {"transfers": 1, "concurrency": 1}
        spec = self._scenario.spec
        return job(self._server, dest, options={**one_by_one, **options}, **spec, **rest)

    def _run(self, dest: Path, **how: Any) -> Ended:
        scenario = self._scenario
        wanted = self._job(dest, scenario.options, **scenario.killed)
        return self._parent.run(replace(wanted, **how))

    def _die(self, dest: Path, number: int, **how: Any) -> bool:
        return self._run(dest, die_at=number, **how).killed

    def _finish(self, dest: Path) -> Ended:
        ended = self._run(dest)
        assert ended.report.get("ok"), ended.report
        return ended

    def _exports_since(self, since: int) -> Counter[str]:
        return Counter(
            _folder_of(call.path)
            for call in self._server.calls[since:]
            if (call.method == "POST" and call.path.endswith("/dataset/export"))
            or (call.method == "GET" and call.path.endswith("/annotations"))
        )

    def _copy(self, name: str) -> Path:
        """The destination as it was, under another name, with receipts that know it."""
        dest = self._place / name
        shutil.rmtree(dest, ignore_errors=True)
        if self._before.is_dir():
            shutil.copytree(self._before, dest)
            for task_id, receipt in read_receipts(dest).items():
                status = (dest / receipt.head.folder).stat()
                head = msgspec.structs.replace(
                    receipt.head, device=status.st_dev, inode=status.st_ino
                )
                path = dest / f".asynccvat/receipts/{task_id}.json"
                path.write_bytes(encode_receipt(Receipt(head, receipt.members)))
        return dest

    # --- what has to hold -------------------------------------------------------------------

    def _check_left(self, dest: Path) -> None:
        """While no process is at work: whole versions, readable receipts, all of the user's."""
        folders = read_folders(dest)
        for name, tree in folders.items():
            versions = [one[name] for one in (self._old, self._end.folders) if name in one]
            versions += [
                self._old[old] for old, new in self._scenario.renames.items() if new == name
            ]
            assert tree in versions, f"{name} is no whole version: {sorted(tree)}"
        renames = self._scenario.renames
        absent = [
            name
            for name in self._old
            if renames.get(name, name) in self._end.folders
            and not {name, renames.get(name, name)} & folders.keys()
        ]
        assert len(absent) <= self._scenario.absent, f"{absent} were there and are gone"
        for name, archive in archives(dest).items():
            assert archive in (self._old_archives.get(name), self._end.archives.get(name)), name
        read_receipts(dest)
        assert not self._mine - mine(dest), "something of the user's is gone"

    def _check_finished(self, dest: Path) -> None:
        """Run to the end: all is as if nothing had happened, and nothing was paid for twice."""
        left = read_folders(dest)
        end = self._end.folders
        done = {name for name, tree in left.items() if tree == end.get(name)}
        since = len(self._server.calls)
        self._finish(dest)
        asked = self._exports_since(since)
        renames = self._scenario.renames
        due = {name for name in self._exports if renames.get(name, name) not in done}
        # What recovery makes of a folder without a name decides whether it is fetched again.
        unnamed = self._old.keys() - left.keys() if self._scenario.absent else set()
        assert asked.keys() - unnamed == due - unnamed
        assert max(asked.values(), default=1) == 1
        assert look(dest) == self._end
        check_times(dest)
        assert mine(dest) == self._mine
        assert list((dest / ".asynccvat/staging").iterdir()) == []
        assert not [path for path, below, held in os.walk(dest) if _is_left(path, below, held)]


def _folder_of(path: str) -> str:
    """The folder of what an export is asked of. Here a job has the id of its task."""
    _, _, kind, number, *_ = path.split("/")
    return f"task{number}/job{number}" if kind == "jobs" else f"{kind.removesuffix('s')}{number}"


def _is_left(path: str, below: list[str], held: list[str]) -> bool:
    """Whether a folder outside of `.asynccvat` holds nothing."""
    return not below and not held and ".asynccvat" not in Path(path).parts


def check_times(dest: Path) -> None:
    """Each receipt says of the files of its folder just what is there, but for the user's."""
    for receipt in read_receipts(dest).values():
        for member in receipt.members:
            path = dest / receipt.head.folder / member.path
            if not path.read_bytes().startswith(MINE):
                status = path.stat()
                assert (status.st_size, status.st_mtime_ns) == (member.size, member.mtime_ns)


@contextlib.contextmanager
def trials(scenario: Scenario, parent: WarmParent) -> Iterator[Trials]:
    """Prepare the trials of a scenario."""
    with serve_in_thread(scenario.server) as server, in_memory() as place:
        yield Trials(scenario, server, parent, place)


def until_it_survives(kill: Callable[[int], bool]) -> int:
    """Kill at every effect in turn, until the run comes to its end; returns how many there were."""
    for number in itertools.count(1):
        if not kill(number):
            return number - 1
    raise AssertionError("unreachable")


def first(name: str, about: str) -> Callable[[Effects], int]:
    """The number of the first effect of a name that is about something."""
    return lambda effects: 1 + [effect[1:] for effect in effects].index((name, about))

"""Where flock is unsupported: at most one succeeds a dead owner, however their steps interleave.

Takers run in threads. A scheduler lets one of them make one call of `files` at a time, so that
every order of their steps can be tried, and none depends on chance.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import pytest

from asynccvat.errors import StoreLockedError
from asynccvat.fs import files
from asynccvat.store import lock, lock_owner
from asynccvat.store.lock import EXCLUSIVE_NAME, LINE_PREFIX, acquire
from asynccvat.store.lock_owner import LockOwner

pytestmark = pytest.mark.proof("One writer")

STEPS = ("open_for_writing", "write", "link", "read_file", "rename", "unlink", "lstat", "names")
DEAD = 1000
"""Processes from this number on are dead; the takers have smaller ones."""
NEXT_NIGHT = 500
"""The process that takes the lock when all takers have ended."""


class Killed(BaseException):
    """The process is killed; what it held stays as it is."""


@dataclass
class Taker:
    """A process that wants the lock.

    Attributes:
        pid: Its number.
        dies_at: The number of its step at which it is killed, None if it is not.
    """

    pid: int
    dies_at: int | None = None
    steps: int = 0
    dead: bool = False
    won: bool = False
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False


class Interleaving:
    """One run of several takers, in an order that is given as far as it goes."""

    def __init__(self, folder: int, path: Path, takers: Sequence[Taker], order: Sequence[int]):
        self.order = list(order)
        self.choices: list[list[int]] = []
        self.inside: list[int] = []
        self.overlaps = 0
        self.unexpected: list[BaseException] = []
        self.ended = False
        self.left: list[str] = []
        self.barred: StoreLockedError | None = None
        self._folder, self._path, self._takers = folder, path, takers
        self._back = threading.Semaphore(0)
        self._mine = threading.local()

    def run(self) -> None:
        """Let them all run to their ends."""
        threads = [
            threading.Thread(target=self._take, args=(one,), daemon=True) for one in self._takers
        ]
        for thread in threads:
            thread.start()
            self._back.acquire()  # it waits before its first step
        current = 0
        while alive := [n for n, taker in enumerate(self._takers) if not taker.ended]:
            number = len(self.choices)
            # The same taker goes on unless the order says otherwise: fewest changes first.
            usual = current if current in alive else alive[0]
            current = self.order[number] if number < len(self.order) else usual
            assert current in alive, "the same order did not lead to the same steps"
            self.choices.append([current, *(n for n in alive if n != current)])
            self._takers[current].turn.release()
            self._back.acquire()
        for thread in threads:
            thread.join()
        self.ended = True

    def take_next_night(self) -> None:
        """Take the lock once more, alone, when none of the takers runs any more."""
        try:
            acquire(self._folder, self._path).release()
        except StoreLockedError as error:
            self.barred = error

    def step(self) -> None:
        """Wait for the turn of the calling thread; threads that are no takers go on."""
        taker = getattr(self._mine, "taker", None)
        if taker is None:
            return
        if taker.dead:
            raise Killed  # it does nothing any more, not even clear up
        self._wait(taker)
        taker.steps += 1
        if taker.steps == taker.dies_at:
            taker.dead = True
            raise Killed

    def ourselves(self) -> LockOwner:
        taker = getattr(self._mine, "taker", None)
        pid = NEXT_NIGHT if taker is None else taker.pid
        return LockOwner(host="here", pid=pid, process_start=str(pid), since=f"since {pid}")

    def draft_name(self) -> str:
        """Name a draft by its taker, so that the same order leads to the same steps."""
        return f"{LINE_PREFIX}draft-{self.ourselves().pid}"

    def is_dead(self, owner: LockOwner | None) -> bool:
        gone = {taker.pid for taker in self._takers if taker.dead or self.ended}
        return owner is not None and (owner.pid >= DEAD or owner.pid in gone)

    def _wait(self, taker: Taker) -> None:
        self._back.release()
        taker.turn.acquire()

    def _take(self, taker: Taker) -> None:
        self._mine.taker = taker
        held = None
        try:
            self._wait(taker)
            held = acquire(self._folder, self._path)
            taker.won = True
            self.inside.append(taker.pid)
            self.overlaps += len(self.inside) > 1
            held.verify()
            self._wait(taker)  # at work
            held.verify()
            self.inside.remove(taker.pid)
            held.release()
        except StoreLockedError:
            pass
        except Killed:
            if taker.pid in self.inside:
                self.inside.remove(taker.pid)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.unexpected.append(error)
        finally:
            taker.ended = True
            self._back.release()


Runs = Callable[[Sequence[Taker], Sequence[int]], Interleaving]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """Run takers in an order; a dead owner holds the lock at the beginning."""

    def unsupported(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    # Messages are tested elsewhere; and the thread would only touch the file now and then.
    monkeypatch.setattr(lock, "_LOOKS_FOR_OWNER", 1)
    monkeypatch.setattr(lock.Lock, "_beat", lambda _self: None)
    folder = files.open_directory(tmp_path)
    now: list[Interleaving] = []

    def stepping(call: Callable[..., object]) -> Callable[..., object]:
        def stepped(*args: object, **kwargs: object) -> object:
            now[-1].step()
            return call(*args, **kwargs)

        return stepped

    for name in STEPS:
        monkeypatch.setattr(files, name, stepping(getattr(files, name)))

    def ourselves() -> LockOwner:
        return now[-1].ourselves()

    def is_dead(owner: LockOwner | None) -> bool:
        return now[-1].is_dead(owner)

    def draft_name() -> str:
        return now[-1].draft_name()

    monkeypatch.setattr(lock_owner, "ourselves", ourselves)
    monkeypatch.setattr(lock_owner, "is_dead", is_dead)
    monkeypatch.setattr(lock, "_draft_name", draft_name)

    def run(takers: Sequence[Taker], order: Sequence[int]) -> Interleaving:
        for path in tmp_path.iterdir():
            path.unlink()
        dead = LockOwner(host="here", pid=DEAD, process_start="1", since="long ago")
        (tmp_path / EXCLUSIVE_NAME).write_bytes(msgspec.json.encode(dead) + b"\n")
        now.append(Interleaving(folder, tmp_path, takers, order))
        now[-1].run()
        now[-1].left = sorted(path.name for path in tmp_path.iterdir())
        now[-1].take_next_night()
        return now.pop()

    yield run
    os.close(folder)


def explore(
    run: Callable[[Sequence[int]], Interleaving], *, changes: int
) -> Iterator[Interleaving]:
    """Try all orders in which one taker gives way to another at most so often."""
    todo: list[tuple[list[int], int]] = [([], 0)]
    while todo:
        order, used = todo.pop()
        interleaving = run(order)
        yield interleaving
        taken = [choice[0] for choice in interleaving.choices]
        for number in range(len(order), len(taken)):
            previous = taken[number - 1] if number else taken[number]
            for other in interleaving.choices[number][1:]:
                gives_way = previous in interleaving.choices[number]
                cost = used + (gives_way and other != previous)
                if cost <= changes:
                    todo.append(([*taken[:number], other], cost))


def check(interleaving: Interleaving, takers: Sequence[Taker]) -> None:
    assert interleaving.overlaps == 0, "two hold the lock"
    assert interleaving.unexpected == []
    assert interleaving.barred is None, "what they left bars the next process"
    if not any(taker.dead for taker in takers):
        assert any(taker.won for taker in takers), "nobody got it"
        assert interleaving.left == [], "the last one leaves nothing"


def explore_takers(runs: Runs, make: Callable[[], list[Taker]], *, changes: int) -> int:
    takers: list[Taker] = []

    def run(order: Sequence[int]) -> Interleaving:
        takers[:] = make()
        return runs(takers, order)

    count = 0
    for interleaving in explore(run, changes=changes):
        count += 1
        try:
            check(interleaving, takers)
        except AssertionError as error:
            error.add_note(f"in the order {[choice[0] for choice in interleaving.choices]}")
            raise
    return count


def test_two_takers_never_both_succeed_a_dead_owner(
    runs: Runs, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    cases = explore_takers(runs, lambda: [Taker(1), Taker(2)], changes=4 if thorough else 2)
    assert cases > 100
    count_cases(cases)


def test_nor_do_two_of_three(
    runs: Runs, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    cases = explore_takers(
        runs, lambda: [Taker(1), Taker(2), Taker(3)], changes=3 if thorough else 1
    )
    assert cases > 80
    count_cases(cases)


def _one_dies(at: int) -> list[Taker]:
    return [Taker(1, dies_at=at), Taker(2), Taker(3)]


def test_nor_do_two_where_a_third_is_killed_at_any_step_of_its_own(
    runs: Runs, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    cases = 0
    for dies_at in range(1, 20) if thorough else range(2, 20, 4):
        cases += explore_takers(runs, partial(_one_dies, dies_at), changes=2 if thorough else 1)
    count_cases(cases)

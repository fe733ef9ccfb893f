"""The inspection of a destination, also at each moment of a mirror that is changing it."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from destinations import open_store, put
from memory_folders import in_memory

from asynccvat.commands.verify import journal
from asynccvat.commands.verify.file_checks import Claim, Meter
from asynccvat.commands.verify.inspection import Inspection, inspecting
from asynccvat.core.paths import NameRules
from asynccvat.core.plans.verify import slices
from asynccvat.core.problems import ProblemKind, VerifyProblem
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import files
from asynccvat.store import MirrorStore, name_probe
from asynccvat.store.commits import group_commit

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Verify")]

OLD = {"a.txt": b"old a", "images/b.jpg": b"old b", "gone/gone.txt": b"old only"}
NEW = {"a.txt": b"new a", "images/b.jpg": b"old b", "images/c.jpg": b"new only"}


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


def silently(_files: int, _bytes: int) -> None:
    """Ignore the progress."""


def look_at(look: Inspection, claim: Claim) -> list[VerifyProblem]:
    problems = look.foreign_in(claim)
    for members in slices(claim.receipt.members):
        problems += look.check(claim, members, contents=True, meter=Meter(silently))
    return problems


class Poller:
    """Inspects a destination at every moment between two effects of a mirror.

    The claim of a task is taken at one moment, its files are checked at every later moment, and at
    every moment after that it is asked whether the claim still holds. So a verification of any
    slowness is covered.

    Attributes:
        alarms: False alarms.
        looks: Number of checks.
    """

    def __init__(self, dest: Path, tasks: tuple[int, ...]) -> None:
        self.alarms: list[str] = []
        self.looks = 0
        self._dest = dest
        self._tasks = tasks
        self._claims: dict[tuple[str, str, bool], Claim] = {}
        self._doubts: list[Claim] = []
        self._lock = threading.Lock()

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in files.EFFECTS:
            monkeypatch.setattr(files, name, self._watched(getattr(files, name)))

    def _watched(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.observe()
            try:
                return effect(*args, **kwargs)
            finally:
                self.observe()

        return watched

    def observe(self) -> None:
        with self._lock, inspecting(self._dest) as look:
            self.alarms += [f"late: {claim}" for claim in self._doubts if look.still_holds(claim)]
            for task_id in self._tasks:
                claim = look.claim(task_id)
                assert not isinstance(claim, VerifyProblem), claim
                if claim is not None:
                    key = (claim.identity, claim.folder, claim.recorded)
                    self._claims[key] = claim
            for claim in self._claims.values():
                self.looks += 1
                problems = look_at(look, claim)
                if problems and look.still_holds(claim):
                    self.alarms += [f"{one.kind}: {one.path}" for one in problems]
                elif problems:
                    self._doubts.append(claim)
            self.alarms += [f"foreign: {one.path}" for one in look.foreign_around()]


async def commit_new(store: MirrorStore) -> None:
    await put(store, 9, NEW)


async def update(store: MirrorStore) -> None:
    await put(store, 1, NEW, updated="v2")


async def update_under_another_name(store: MirrorStore) -> None:
    await put(store, 1, NEW, updated="v2", folder="job1")


async def move(store: MirrorStore) -> None:
    await store.move((await store.receipts())[1], "job1")


async def remove(store: MirrorStore) -> None:
    await store.remove((await store.receipts())[1])


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("act", [commit_new, update, update_under_another_name, move, remove])
async def test_beside_a_mirror_there_is_no_false_alarm_at_any_moment(
    act: Callable[[MirrorStore], Awaitable[None]],
    exchanges: bool,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    count_cases: Callable[[int], None],
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(name_probe, "probe", lambda *_: NameRules())
    monkeypatch.setattr(group_commit, "GROUP_SECONDS", 0)
    if not exchanges:
        monkeypatch.setattr(files, "exchange", refuse)
    poller = Poller(place, (1, 2, 9))
    async with open_store(place) as store:
        for task_id in (1, 2):
            await put(store, task_id, OLD)
        with monkeypatch.context() as watched:
            poller.watch(watched)
            await act(store)
    await asyncio.to_thread(poller.observe)
    assert poller.alarms == []
    assert poller.looks > 40
    count_cases(poller.looks)


@pytest.mark.parametrize("commits", [True, False])
def test_what_a_mirror_does_between_two_looks_makes_nothing_foreign(
    commits: bool, mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is recorded after the receipts were read; or a removal begins before."""
    receipt = mirrored / ".asynccvat/receipts/1.json"
    area = mirrored / ".asynccvat/staging/1"
    area.mkdir()
    if commits:
        receipt.rename(area / "receipt.json")
    reading = Inspection.heads

    def heads(look: Inspection) -> Any:
        if not commits:
            receipt.rename(area / "old.json")
        found = reading(look)
        if commits:
            (area / "receipt.json").rename(receipt)
        return found

    monkeypatch.setattr(Inspection, "heads", heads)
    with inspecting(mirrored) as look:
        assert look.foreign_around() == []


@pytest.fixture
def mirrored(place: Path) -> Path:
    async def mirror() -> None:
        async with open_store(place) as store:
            await put(store, 1, OLD)

    asyncio.run(mirror())
    return place


def claimed(look: Inspection) -> Claim:
    claim = look.claim(1)
    assert isinstance(claim, Claim)
    return claim


def test_a_file_that_the_drive_does_not_give_is_unreadable_and_the_others_are_read(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (mirrored / "task1/images/b.jpg").stat().st_ino
    read = files.read_into

    def reading(fd: int, buffer: memoryview) -> int:
        if os.fstat(fd).st_ino == broken:
            raise OSError(errno.EIO, "the drive failed")
        return read(fd, buffer)

    monkeypatch.setattr(files, "read_into", reading)
    (mirrored / "task1/gone/gone.txt").unlink()
    with inspecting(mirrored) as look:
        found = {one.path: (one.kind, one.detail) for one in look_at(look, claimed(look))}
    assert found == {
        "task1/images/b.jpg": (ProblemKind.UNREADABLE, "the drive failed"),
        "task1/gone/gone.txt": (ProblemKind.MISSING, ""),
    }


@pytest.mark.parametrize("effect", ["open_and_look", "open_folder"])
def test_where_nothing_can_be_opened_any_more_it_is_no_file_s_fault(
    effect: str, mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "too many")

    with inspecting(mirrored) as look:
        claim = claimed(look)
        monkeypatch.setattr(files, effect, full)
        with pytest.raises(StoreError, match="ulimit -n"):
            look.check(claim, claim.receipt.members, contents=True, meter=Meter(silently))


def test_where_a_folder_cannot_be_opened_for_want_of_handles_nothing_is_passed_over(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.open_folder

    def full(name: str, *, dir_fd: int) -> int:
        if name == "images":
            raise OSError(errno.EMFILE, "too many")
        return real(name, dir_fd=dir_fd)

    with inspecting(mirrored) as look:
        claim = claimed(look)
        monkeypatch.setattr(files, "open_folder", full)
        with pytest.raises(StoreError, match="ulimit -n"):
            look.foreign_in(claim)


@pytest.mark.parametrize(
    ("number", "told"), [(errno.EACCES, ["task1/images/more/"]), (errno.ENOENT, [])]
)
def test_a_folder_of_which_nobody_knows_what_is_in_it_is_told_and_one_that_just_went_is_not(
    number: int, told: list[str], mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.open_folder

    def failing(name: str, *, dir_fd: int) -> int:
        if name == "more":
            raise OSError(number, os.strerror(number))
        return real(name, dir_fd=dir_fd)

    (mirrored / "task1/images/more").mkdir()
    with inspecting(mirrored) as look:
        claim = claimed(look)
        assert look.foreign_in(claim) == []
        monkeypatch.setattr(files, "open_folder", failing)
        assert [one.path for one in look.foreign_in(claim)] == told


def test_where_nothing_can_be_opened_any_more_no_receipt_is_damaged(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "too many")

    with inspecting(mirrored) as look:
        monkeypatch.setattr(files, "open_for_reading", full)
        with pytest.raises(StoreError, match="ulimit -n"):
            look.heads()
        with pytest.raises(StoreError, match="ulimit -n"):
            look.claim(1)


def test_a_folder_that_the_drive_does_not_give_is_told_by_its_members(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(name: str, *, dir_fd: int) -> Any:
            if name == "task1":
                raise OSError(errno.EIO, "the drive failed")
            return call(name, dir_fd=dir_fd)

        return calling

    with inspecting(mirrored) as look:
        for effect in ("lstat", "open_folder"):
            monkeypatch.setattr(files, effect, broken(getattr(files, effect)))
        found = look_at(look, claimed(look))
    assert {(one.kind, one.path) for one in found} == {(ProblemKind.UNREADABLE, "task1/")}
    assert len(found) == 3


def test_a_file_that_is_written_to_while_it_is_read_was_edited(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mirrored / "task1/a.txt"
    inode = file.stat().st_ino
    read = files.read_into

    def reading(fd: int, buffer: memoryview) -> int:
        if os.fstat(fd).st_ino == inode:
            file.write_bytes(b"new a")
            os.utime(file, ns=(1, 1))
        return read(fd, buffer)

    monkeypatch.setattr(files, "read_into", reading)
    with inspecting(mirrored) as look:
        (problem,) = look_at(look, claimed(look))
    assert (problem.kind, problem.path) == (ProblemKind.EDITED, "task1/a.txt")


def test_without_contents_only_files_of_another_size_or_time_are_read(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    opens = files.open_and_look

    def opening(name: str, *, dir_fd: int) -> tuple[int, os.stat_result]:
        opened.append(name)
        return opens(name, dir_fd=dir_fd)

    os.utime(mirrored / "task1/a.txt", ns=(1, 1))
    (mirrored / "task1/gone/gone.txt").unlink()
    with inspecting(mirrored) as look:
        claim = claimed(look)
        monkeypatch.setattr(files, "open_and_look", opening)
        found = look.check(
            claim, next(slices(claim.receipt.members)), contents=False, meter=Meter(silently)
        )
    assert {one.path: one.kind for one in found} == {
        "task1/a.txt": ProblemKind.TOUCHED,
        "task1/gone/gone.txt": ProblemKind.MISSING,
    }
    assert "b.jpg" not in opened


async def test_it_is_told_now_and_then_how_far_a_long_look_is(place: Path) -> None:
    async with open_store(place, durable=False) as store:
        await put(store, 1, {"large": bytes(20 << 20), **{f"{n}": b"" for n in range(300)}})
    told: list[tuple[int, int]] = []

    def check() -> None:
        with inspecting(place) as look:
            claim = claimed(look)
            members = next(slices(claim.receipt.members))
            meter = Meter(lambda *how_far: told.append(how_far))
            look.check(claim, members, contents=True, meter=meter)
            meter.tell()

    await asyncio.to_thread(check)
    assert sum(count for count, _ in told) == 301
    assert sum(size for _, size in told) == 20 << 20
    assert len(told) >= 4
    assert max(size for _, size in told) < 9 << 20


def test_a_receipt_that_speaks_of_another_task_or_is_no_file_is_damaged(mirrored: Path) -> None:
    receipts = mirrored / ".asynccvat/receipts"
    (receipts / "2.json").write_bytes((receipts / "1.json").read_bytes())
    (receipts / "3.json").symlink_to("1.json")
    (receipts / "1.json").write_bytes((receipts / "1.json").read_bytes()[:-20])
    with inspecting(mirrored) as look:
        for task_id in (1, 2, 3):
            problem = look.claim(task_id)
            assert isinstance(problem, VerifyProblem)
            assert problem.kind is ProblemKind.RECEIPT
            assert problem.path == f".asynccvat/receipts/{task_id}.json"
        heads, damaged = look.heads()
        assert look.claim(5) is None
    # Its first line tells where the folder is, and how it was mirrored.
    assert set(heads) == {1}
    assert [one.task_id for one in damaged] == [2, 3]


def test_a_receipt_that_cannot_be_read_again_leaves_what_was_found_in_doubt(
    mirrored: Path,
) -> None:
    with inspecting(mirrored) as look:
        claim = claimed(look)
        assert look.still_holds(claim)
        (mirrored / ".asynccvat/receipts/1.json").unlink()
        assert not look.still_holds(claim)
        (mirrored / ".asynccvat/receipts/1.json").mkdir()
        assert not look.still_holds(claim)


def test_what_nobody_claims_is_foreign_but_for_mirrors_of_their_own(mirrored: Path) -> None:
    (mirrored / "notes.txt").write_text("mine")
    (mirrored / "mine").mkdir()
    (mirrored / "link").symlink_to("mine")
    (mirrored / "YOLO/.asynccvat").mkdir(parents=True)
    own = mirrored / ".asynccvat"
    (own / "lock.held").touch()
    (own / "destination.json.part").touch()
    (own / "mine").touch()
    (own / "receipts/7.json.part").touch()
    (own / "receipts/mine.json").touch()
    (own / "kept/task7").mkdir()
    with inspecting(mirrored) as look:
        found = [one.path for one in look.foreign_around()]
        assert look.kept() == 1
    assert found == [
        "link", "mine/", "notes.txt", ".asynccvat/mine", ".asynccvat/receipts/mine.json",
    ]  # fmt: skip


# --- the journal -------------------------------------------------------------------------------


def noted(place: Path, *, restart: bool = False) -> dict[int, str]:
    with inspecting(place) as look, look.journal(restart=restart) as kept:
        assert kept.problem is None
        return {task_id: entry.receipt for task_id, entry in kept.entries.items()}


def test_what_was_noted_is_there_for_the_next_one_until_all_is_done(mirrored: Path) -> None:
    file = mirrored / ".asynccvat" / journal.JOURNAL_NAME
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        kept.note([(1, "a"), (2, "b")])
        kept.note([])
    assert noted(mirrored) == {1: "a", 2: "b"}
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        kept.note([(3, "c")])
        kept.finish({3, 1})
    assert noted(mirrored) == {2: "b"}
    assert noted(mirrored, restart=True) == {}
    assert noted(mirrored) == {}
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        kept.finish({2})
    assert not file.exists()


def test_a_journal_of_a_newer_version_is_left_alone_unless_told_to_restart(mirrored: Path) -> None:
    file = mirrored / ".asynccvat" / journal.JOURNAL_NAME
    file.write_bytes(b'{"version":2,"since":"x"}\n[1]\n')
    newer = file.read_bytes()
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        assert "of version 2" in (kept.problem or "")
        assert "cannot be resumed" in (kept.problem or "")
        kept.note([(1, "a")])
        kept.finish({1})
    assert file.read_bytes() == newer
    assert noted(mirrored, restart=True) == {}
    assert file.read_bytes() != newer


def test_a_destination_of_a_newer_version_is_not_inspected(mirrored: Path) -> None:
    (mirrored / ".asynccvat/destination.json").write_bytes(b'{"version":4}')
    with pytest.raises(ConfigError, match="Upgrade asynccvat"), inspecting(mirrored):
        pass


def test_two_at_once_do_not_share_a_journal(mirrored: Path) -> None:
    with inspecting(mirrored) as look, ExitStack() as stack:
        first = stack.enter_context(look.journal(restart=False))
        second = stack.enter_context(look.journal(restart=False))
        assert first.problem is None
        assert "another verification" in (second.problem or "")
        second.note([(2, "b")])
        second.finish({1, 2})
        first.note([(1, "a")])
    assert noted(mirrored) == {1: "a"}


def test_a_journal_that_is_removed_while_it_is_waited_for_is_made_anew(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = files.open_or_create
    file = mirrored / ".asynccvat" / journal.JOURNAL_NAME
    removed: list[bool] = []

    def opening(name: str, *, dir_fd: int) -> int:
        fd = opens(name, dir_fd=dir_fd)
        if not removed:
            file.unlink()
            removed.append(True)
        return fd

    monkeypatch.setattr(files, "open_or_create", opening)
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        kept.note([(1, "a")])
    assert noted(mirrored) == {1: "a"}


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_where_no_journal_can_be_written_it_goes_on_without(
    number: int, mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "open_or_create", refuse)
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        assert "cannot be resumed" in (kept.problem or "")
        kept.note([(1, "a")])
        kept.finish({1})


def test_a_disk_that_fills_up_ends_the_journal_and_nothing_else(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        kept.note([(1, "a")])
        with monkeypatch.context() as disk:
            disk.setattr(files, "write", full)
            kept.note([(2, "b")])
        assert "up to here" in (kept.problem or "")
        with monkeypatch.context() as disk:
            disk.setattr(files, "unlink", full)
            kept.finish({1, 2})
        assert "cannot be removed" in (kept.problem or "")
    assert noted(mirrored) == {1: "a"}


def test_where_files_cannot_be_locked_the_journal_is_written_without(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        kept.note([(1, "a")])
    assert noted(mirrored) == {1: "a"}


def open_handles() -> int:
    """Return how many this process has; always 0 if the system does not say."""
    here = Path("/proc/self/fd")
    return len(list(here.iterdir())) if here.is_dir() else 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EWOULDBLOCK])
def test_a_journal_that_cannot_be_locked_is_let_go_of(
    number: int, mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    before = open_handles()
    monkeypatch.setattr("fcntl.flock", refuse)
    with inspecting(mirrored) as look, look.journal(restart=False) as kept:
        assert kept.problem is not None
    assert open_handles() == before

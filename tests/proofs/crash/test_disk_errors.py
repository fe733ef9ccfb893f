"""The system refuses any call: the error is named, nothing is broken, and the next run completes.

Errors are injected into every function of `files` that touches the disk, by its number among the
calls of a run that does everything that a mirror can do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import shutil
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from failing_disk import (
    ARCHIVE_WRITES,
    BEFORE,
    LOOKS,
    SPEC,
    SYNCS,
    FailingDisk,
    Refusal,
    Scene,
    hurry,
    open_below,
    scene,
)
from memory_folders import in_memory
from mirror_processes import read_tree

import asynccvat as ac
from asynccvat.archives import session
from asynccvat.fs import files
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Disk errors")]

ERRORS = (
    errno.EACCES,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.EPERM,
    errno.EDQUOT,
    errno.ENOSPC,
    errno.ELOOP,
    errno.ESTALE,
    errno.EBUSY,
)
OF_EVERY_TASK = (errno.EROFS, errno.EIO, errno.EDQUOT, errno.ENOSPC)
"""What the next task would meet as well: the run stops."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    hurry(monkeypatch)
    return FailingDisk(monkeypatch)


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


@pytest.fixture
async def stage(place: Path, disk: FailingDisk) -> AsyncIterator[Scene]:
    disk.refuse(None)
    async with scene(place) as made:
        yield made


@contextlib.contextmanager
def told_of(refusal: Refusal, disk: FailingDisk) -> Iterator[None]:
    """Let a failed case say which one it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the case: {refusal}, which met {disk.refused[:3]}")
        raise


def check_told(error: BaseException | None, number: int, place: Path) -> None:
    """An error says what happened, to which task or where, and what to do."""
    assert isinstance(error, ac.StoreError), repr(error)
    text = str(error)
    assert str(place) in text or re.search(r"\btask \d", text), text
    _, said, remedy = text.partition(os.strerror(number))
    assert said, text
    assert len(remedy.removeprefix("; ")) > 10, text
    assert isinstance(error, ac.errors.DiskFullError) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert isinstance(error, ac.errors.DriveError) == (number in (errno.EIO, errno.EROFS))


async def meet(
    stage: Scene, disk: FailingDisk, refusal: Refusal, *, keep_archive: bool = False
) -> bool:
    """Mirror while something is refused, then once more; tells whether it came to that."""
    dest = stage.fresh()
    disk.refuse(refusal)
    report = None
    try:
        report = await stage.mirror(dest, keep_archive=keep_archive)
    except ac.AsyncCvatError as error:
        check_told(error, refusal.number, dest)
    met = list(disk.refused)
    assert disk.synced_again == 0, "what a sync failed for was synced again"
    disk.refuse(None)
    if report is not None:
        _check_report(report, refusal, met, dest)
    assert open_below(dest) == []
    stage.check_whole(dest)
    stage.check_archives(dest)
    await stage.check_next_run(dest, keep_archive=keep_archive)
    return bool(met)


def _check_report(report: ac.RunReport, refusal: Refusal, met: list[str], dest: Path) -> None:
    failures = [one.error for one in report.failures]
    for error in failures:
        if isinstance(error, ac.errors.ForeignFolderError):
            # Its receipt could not be read: whose the folder is, nobody knows.
            assert any(os.strerror(refusal.number) in warning for warning in report.warnings)
        else:
            check_told(error, refusal.number, dest)
    stopped = report.stopped_by
    if stopped is not None:
        check_told(stopped, refusal.number, dest)
        assert refusal.number in OF_EVERY_TASK
    elif failures:
        of_a_receipt = all(isinstance(error, ac.errors.ForeignFolderError) for error in failures)
        assert of_a_receipt or refusal.number not in OF_EVERY_TASK, "it goes on"
        if not refusal.for_good and met[0] not in SYNCS:
            # A failed sync is all of its group's, and of whatever would come after it.
            assert len(failures) == 1, "one failure stays one"


async def count_calls(stage: Scene, disk: FailingDisk) -> dict[str, int]:
    """How often each function is called by a run that nothing disturbs."""
    disk.refuse(None)
    await stage.mirror(stage.fresh())
    return dict(disk.counts)


async def test_every_kind_of_call_meets_some_error_and_every_error_some_kind_of_call(
    stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    chance = random.Random(147)
    counts = await count_calls(stage, disk)
    # Groups are too small for the one, and a heartbeat has no part in a run.
    assert {*counts, "sync_filesystem", "touch"} == {*files.EFFECTS, *LOOKS}
    cases = []
    for which, (name, count) in enumerate(sorted(counts.items())):
        number = ERRORS[which % len(ERRORS)]
        for_good = which % 3 == 2
        cases.append(Refusal(number, chance.randint(1, count), (name,), for_good=for_good))
    # The delicate one: a tree has its name, and the drive fails to keep that.
    cases += [Refusal(errno.EIO, at, ("fsync",), after="exchange") for at in (1, 2, 3)]
    for refusal in cases:
        with told_of(refusal, disk):
            # What comes at the same time may come in another order, and so be one call less.
            met = await meet(stage, disk, refusal)
            assert met or refusal.at > 1
    count_cases(len(cases))


@pytest.mark.thorough
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
async def test_an_error_at_any_effect(
    number: int, stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    count_cases(await _meet_each(stage, disk, number, files.EFFECTS, for_good=False))


@pytest.mark.thorough
@pytest.mark.parametrize("number", [errno.EROFS, errno.EMFILE], ids=errno.errorcode.get)
async def test_an_error_from_any_effect_on(
    number: int, stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    count_cases(await _meet_each(stage, disk, number, files.EFFECTS, for_good=True))


@pytest.mark.thorough
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO], ids=errno.errorcode.get)
async def test_an_error_at_any_look(
    number: int, stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None]
) -> None:
    count_cases(await _meet_each(stage, disk, number, LOOKS, for_good=False))


async def test_an_error_at_any_write_of_an_archive_that_is_kept(
    stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    disk.refuse(None)
    await stage.mirror(stage.fresh(), keep_archive=True)
    total = sum(disk.counts[name] for name in ARCHIVE_WRITES)
    assert total >= 4, "two archives, each emptied and written"
    cases = [
        Refusal(number, at, ARCHIVE_WRITES, for_good=for_good)
        for number in ERRORS
        for for_good in (False, True)
        for at in range(1, total + 1)
    ]
    if not thorough:
        cases = cases[::29]
    for refusal in cases:
        with told_of(refusal, disk):
            assert await meet(stage, disk, refusal, keep_archive=True)
    count_cases(len(cases))


@pytest.mark.parametrize("keep_archive", [False, True])
async def test_an_error_at_any_effect_while_archives_are_spooled(
    stage: Scene,
    disk: FailingDisk,
    count_cases: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    keep_archive: bool,
    thorough: bool,
) -> None:
    monkeypatch.setattr(session, "IN_MEMORY", 0)
    stage.server.faults.add(Fault(path="dataset/download", ignore_range=True, times=None))
    disk.refuse(None)
    await stage.mirror(stage.fresh(), keep_archive=keep_archive)
    # A kept archive is its own spool. The other effects on it have a test of their own.
    calls = ("write",) if keep_archive else files.EFFECTS
    total = sum(disk.counts.get(name, 0) for name in calls)
    cases = [
        Refusal(number, at, calls, for_good=for_good)
        for at in range(1, total + 1)
        for number in ERRORS
        for for_good in (False, True)
    ]
    # A sample: the effects that ranges have, too, are each tried above.
    cases = cases[:: max(1, len(cases) // (300 if thorough else 20))]
    for refusal in cases:
        with told_of(refusal, disk):
            # What comes at the same time may come in another order, and so be one call less.
            met = await meet(stage, disk, refusal, keep_archive=keep_archive)
            assert met or refusal.at > 1
    count_cases(len(cases))


async def _meet_each(
    stage: Scene, disk: FailingDisk, number: int, calls: tuple[str, ...], *, for_good: bool
) -> int:
    counts = await count_calls(stage, disk)
    total = sum(counts.get(name, 0) for name in calls)
    assert total > 100
    for at in range(1, total + 1):
        refusal = Refusal(number, at, calls, for_good=for_good)
        with told_of(refusal, disk):
            await meet(stage, disk, refusal)
    return total


# --- downloads, which have no receipts ----------------------------------------------------------

DOWNLOADED = (1, 2, 3)


async def _download(stage: Scene, place: Path) -> ac.RunReport:
    """Bring folders up to date, each of its own."""
    return await ac.download_many(
        stage.client,
        {task_id: place / f"task{task_id}" for task_id in DOWNLOADED},
        SPEC,
        options=ac.DownloadOptions(
            transfers=BEFORE.transfers, retries=BEFORE.retries, durable=BEFORE.durable
        ),
        replace=True,
    )


def _check_downloads(stage: Scene, place: Path, *, last_only: bool) -> None:
    folders = {path.name: read_tree(path) for path in place.iterdir() if path.name[0] != "."}
    for task_id in DOWNLOADED:
        versions = stage.whole[task_id][-1:] if last_only else stage.whole[task_id]
        tree = folders.get(f"task{task_id}")
        # Between two renames the old one is beside it, under its other name.
        tree = tree if tree is not None or last_only else folders.get(f"task{task_id}.old-1")
        assert tree in versions, f"task{task_id} is no whole version: {sorted(folders)}"


async def test_an_error_at_an_effect_of_downloads(
    stage: Scene, disk: FailingDisk, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    place, old = stage.place / "downloads", stage.place / "downloaded"
    shutil.copytree(stage.before, old, ignore=shutil.ignore_patterns(".asynccvat", "task4"))
    (old / "t2").rename(old / "task2")

    async def meet_it(refusal: Refusal | None) -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(old, place)
        disk.refuse(refusal)
        report = None
        try:
            report = await _download(stage, place)
        except ac.AsyncCvatError as error:
            assert refusal is not None
            check_told(error, refusal.number, place)
        if refusal is None:
            return
        met = list(disk.refused)
        disk.refuse(None)
        if report is not None:
            _check_report(report, refusal, met, place)
        assert open_below(place) == []
        _check_downloads(stage, place, last_only=False)
        report = await _download(stage, place)
        assert report.ok, report.to_json()
        _check_downloads(stage, place, last_only=True)
        assert [path.name for path in place.iterdir() if path.name[0] == "."] == []

    await meet_it(None)
    total = sum(disk.counts[name] for name in files.EFFECTS)
    step = 1 if thorough else 97
    cases = [
        Refusal(number, at, for_good=for_good)
        for number, for_good in ((errno.EACCES, False), (errno.EIO, False), (errno.ENOSPC, True))
        for at in range(1, total + 1, step)
    ]
    for refusal in cases:
        with told_of(refusal, disk):
            await meet_it(refusal)
    count_cases(len(cases))


# --- archives kept as they came ------------------------------------------------------------------

KEEPING = ac.MirrorOptions(transfers=1, concurrency=1, keep_archive=True)


async def test_an_error_at_any_effect_leaves_no_folder_without_its_archive(
    place: Path, disk: FailingDisk, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    """After the next run, however the first one failed, and whoever finished its commit."""
    async with (
        SimulatedServer(SimulatorOptions(tasks=1, frames=1)) as server,
        ac.CvatClient(server.url, token=server.token) as client,
    ):
        await ac.mirror(client, place / "before", spec=SPEC, options=KEEPING)
        server.edit_task(1)

        async def meet_it(refusal: Refusal | None) -> None:
            dest = place / "case"
            shutil.rmtree(dest, ignore_errors=True)
            shutil.copytree(place / "before", dest)
            disk.refuse(refusal)
            with contextlib.suppress(ac.StoreError):
                await ac.mirror(client, dest, spec=SPEC, options=KEEPING)
            if refusal is not None:
                disk.refuse(None)
                assert (await ac.mirror(client, dest, spec=SPEC, options=KEEPING)).ok
            with zipfile.ZipFile(dest / ".asynccvat/archives/1.zip") as archive:
                packed = {name: archive.read(name) for name in archive.namelist()}
            assert packed == read_tree(dest / "task1")

        await meet_it(None)
        effects = [name for name in disk.log if name in files.EFFECTS]
        # The delicate ones: the folder has its name, and its receipt does not know it yet.
        sync = effects.index("exchange") + 2
        record = sync + effects[sync:].index("rename") + 1
        numbers = range(1, len(effects) + 1) if thorough else (sync, record)
        for at in numbers:
            for number in (errno.EACCES, errno.EIO):
                refusal = Refusal(number, at)
                with told_of(refusal, disk):
                    await meet_it(refusal)
    count_cases(2 * len(numbers))


# --- when to stop ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "asked"),
    [(errno.EROFS, range(1, 16)), (errno.EACCES, range(16, 28))],
    ids=["EROFS", "EACCES"],
)
async def test_where_nothing_can_be_stored_the_server_is_asked_for_no_more(
    place: Path, disk: FailingDisk, number: int, asked: range
) -> None:
    """At once where every task meets it, else after sixteen in a row."""
    options = ac.MirrorOptions(transfers=1, concurrency=1)
    async with (
        SimulatedServer(SimulatorOptions(tasks=30, frames=1)) as server,
        ac.CvatClient(server.url, token=server.token) as client,
    ):
        await ac.mirror(client, place / "m", ac.Selection(task_ids=[1]), options=options)
        made = disk.counts["mkdir"]
        # Its folders are there now; the one folder that an opening makes is for trying names.
        disk.refuse(Refusal(number, 2, ("mkdir",), for_good=True))
        assert made > 2
        report = await ac.mirror(client, place / "m", options=options)
        exports = [call for call in server.calls if call.path.endswith("/dataset/export")]
        assert len(exports) - 1 in asked
        assert report.interrupted
        assert isinstance(report.stopped_by, ac.errors.DriveError | ac.errors.DiskFullError)
        assert os.strerror(number) in str(report.stopped_by)
        if number == errno.EACCES:
            assert "16 tasks in a row" in str(report.stopped_by)
        disk.refuse(None)
        assert (await ac.mirror(client, place / "m")).ok


@pytest.mark.usefixtures("disk")
async def test_failures_that_are_not_in_a_row_stop_nothing(place: Path) -> None:
    options = ac.MirrorOptions(transfers=1)
    async with (
        SimulatedServer(SimulatorOptions(tasks=40, frames=1)) as server,
        ac.CvatClient(server.url, token=server.token) as client,
    ):
        (place / "m").mkdir()
        seen: list[int] = []

        def every_second(name: str, *, dir_fd: int) -> None:
            if name.isdecimal():
                seen.append(int(name))
                if len(seen) % 2:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            os.mkdir(name, dir_fd=dir_fd)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "mkdir", every_second)
            report = await ac.mirror(client, place / "m", options=options)
        assert not report.interrupted
        assert len(report.failures) == 20
        assert report.count(ac.Action.FETCHED) == 20

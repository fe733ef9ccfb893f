"""`verify` reports what is wrong and nothing else, with and without a server, and repairs it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Log, Serving, connected, files, outcome, serving, staged

import asynccvat as ac
from asynccvat import events
from asynccvat.commands.verify import mirrors as verifying
from asynccvat.commands.verify import repair as repairing
from asynccvat.commands.verify.inspection import inspecting
from asynccvat.core.plans import verify as rules
from asynccvat.fs import files as disk
from asynccvat.simulator import Fault
from asynccvat.store import MirrorStore

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Verify")]

COCO = ac.ExportSpec("COCO 1.0", images=True)
IMAGE = "images/default/street_0000.jpg"


async def mirror(place: Serving, data: Path, spec: ac.ExportSpec = COCO) -> None:
    (await ac.mirror(place.client, data, None, spec, options=QUICK)).raise_for_failures()


def flip(file: Path, *, silently: bool) -> None:
    """Change one bit; `silently`, as a drive does, keeps the modification time."""
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    later = 0 if silently else 10**9
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + later))


def quarantined(data: Path) -> set[bytes]:
    """Return the contents of the files in `kept/`."""
    return set(files(data / ".asynccvat/kept", own=True).values())


def found(report: ac.VerifyReport) -> dict[str, str]:
    return {problem.place: str(problem.kind) for problem in report.problems}


async def test_a_mirror_as_it_was_made_has_no_problem_and_needs_no_server(
    data: Path, log: Log
) -> None:
    async with serving() as place:
        await mirror(place, data)
    report = await ac.verify(data, on_event=log)
    assert (report.ok, report.problems, report.warnings) == (True, (), ())
    here = files(data)
    assert (report.tasks, report.files) == (3, len(here))
    assert report.bytes == sum(map(len, here.values()))
    (started,) = log.of(events.VerifyStarted)
    assert (started.files, started.bytes) == (report.files, report.bytes)
    assert sum(event.files for event in log.of(events.VerifyProgress)) == report.files
    assert log.of(events.VerifyFinished) == [events.VerifyFinished(report)]
    assert log.names[-1] == "verify_finished"
    assert not (data / ".asynccvat/verify.journal").exists()


async def test_what_is_damaged_is_named_mended_and_nothing_of_yours_is_lost(
    data: Path, log: Log
) -> None:
    async with serving(6) as place:
        await mirror(place, data)
        before = files(data)
        flip(data / "task1" / IMAGE, silently=True)
        flip(data / "task2" / IMAGE, silently=False)
        edited = (data / "task2" / IMAGE).read_bytes()
        (data / "task2/notes.txt").write_text("mine")
        shutil.rmtree(data / "task3/images")
        (data / "task4" / IMAGE).unlink()
        (data / "task4" / IMAGE).symlink_to(data / "task5" / IMAGE)
        (data / ".asynccvat/receipts/5.json").write_bytes(b"\0" * 40)
        wrong = {
            f"task1/{IMAGE}": "corrupted",
            f"task2/{IMAGE}": "edited",
            "task3/images/": "missing",
            f"task4/{IMAGE}": "replaced",
            ".asynccvat/receipts/5.json": "damaged receipt",
        }
        report = await ac.verify(data)
        assert found(report) == wrong | {"task2/notes.txt": "foreign", "task5/": "foreign"}
        assert not report.ok
        assert [
            problem.files for problem in report.problems if problem.path == "task3/images/"
        ] == [2]
        before_repair = len(place.server.calls)
        report = await ac.verify(data, client=place.client, repair=True, on_event=log)
        assert report.ok
        assert report.problems == ()
        assert {one.place: str(one.kind) for one in report.repaired} == wrong
        assert {one.task_id for one in report.repairs} == {1, 2, 3, 4, 5}
        said = "the receipt of task 5 cannot be read: the task is fetched as the others"
        assert any(warning.startswith(said) for warning in report.warnings)
        assert files(data) == before
        assert {edited, b"mine"} <= quarantined(data)
        assert report.kept == 3
        # Only what was damaged travelled: the export of task 1 has one image more, taken over.
        assert outcome_of(report, 1).transferred < outcome_of(report, 1).bytes
        assert {
            call.task_id for call in place.calls("POST", "/dataset/export", since=before_repair)
        } == {1, 2, 3, 4, 5}
        assert log.of(events.RepairStarted) == [events.RepairStarted(5)]
        assert log.of(events.RunFinished) == []
        assert (await ac.verify(data)).problems == ()


def outcome_of(report: ac.VerifyReport, task_id: int) -> ac.TaskOutcome:
    return outcome(ac.RunReport(outcomes=report.repairs), task_id)


async def test_what_is_not_damaged_is_not_fetched_again(data: Path) -> None:
    async with serving(2) as place:
        await mirror(place, data)
        os.utime(data / "task1" / IMAGE)
        (data / "mine").mkdir()
        before = len(place.server.calls)
        report = await ac.verify(data, client=place.client, repair=True)
        assert (report.ok, report.repairs) == (True, ())
        assert found(report) == {f"task1/{IMAGE}": "touched", "mine/": "foreign"}
        assert place.calls("POST", "/export", since=before) == []


async def test_tasks_of_different_formats_and_prefixes_are_fetched_as_they_were(
    data: Path,
) -> None:
    async with serving(2) as place:
        await mirror(place, data, ac.ExportSpec())
        options = ac.MirrorOptions(folder_prefix="t_", durable=False, change=True)
        what = ac.Selection(task_ids=[2])
        (await ac.mirror(place.client, data, what, COCO, options=options)).raise_for_failures()
        before = files(data)
        flip(data / "task1/annotations.xml", silently=True)
        flip(data / "t_2" / IMAGE, silently=True)
        report = await ac.verify(data, client=place.client, repair=True)
        assert report.ok
        assert len(report.repaired) == 2
        assert set(files(data)) == set(before)
        assert files(data)[f"t_2/{IMAGE}"] == before[f"t_2/{IMAGE}"]


async def test_a_kept_archive_is_kept_by_a_repair_and_renewed_with_its_task(data: Path) -> None:
    archives = data / ".asynccvat/archives"
    async with serving(3) as place:
        keeping, what = ac.MirrorOptions(durable=False, keep_archive=True), ac.Selection
        await ac.mirror(place.client, data, what(task_ids=[1, 2]), COCO, options=keeping)
        no_more = replace(QUICK, keep_archive=False, change=True)
        await ac.mirror(place.client, data, options=no_more)
        before = files(archives, own=True)
        assert before.keys() == {"1.zip", "2.zip"}
        for task_id in (1, 3):
            flip(data / f"task{task_id}" / IMAGE, silently=True)
        # Where the task cannot be fetched, what was kept of it is worth all the more.
        place.server.faults.add(Fault(export="fail", task_id=1, times=1))
        report = await ac.verify(data, client=place.client, repair=True)
        assert found(report) == {f"task1/{IMAGE}": "corrupted"}
        assert files(archives, own=True) == before
        report = await ac.verify(data, client=place.client, repair=True)
        assert report.ok
        after = files(archives, own=True)
        assert after.keys() == before.keys()
        assert after["2.zip"] == before["2.zip"]
        with zipfile.ZipFile(archives / "1.zip") as archive:
            held = {f"task1/{name}": archive.read(name) for name in archive.namelist()}
        assert held == {path: files(data)[path] for path in files(data) if "task1/" in path}


async def test_a_repair_leaves_what_was_brought_of_other_tasks(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.store.mirror_store.KEEP_ABOVE", 100)
    async with serving(2) as place:
        await mirror(place, data)
        flip(data / "task1" / IMAGE, silently=True)
        brought = {}
        for name in ("1/tree/stale.jpg", "2/tree/large.jpg"):
            brought[name] = data / ".asynccvat/staging" / name
            brought[name].parent.mkdir(parents=True)
            brought[name].write_bytes(bytes(101))
        assert (await ac.verify(data, client=place.client, repair=True)).ok
        assert [name for name, file in brought.items() if file.exists()] == ["2/tree/large.jpg"]
        # A mirror of everything knows that nobody waits for it.
        await mirror(place, data)
        assert staged(data) == []


async def test_a_task_that_is_gone_cannot_be_repaired_and_is_named(data: Path) -> None:
    async with serving(2) as place:
        await mirror(place, data)
        for task_id in (1, 2):
            flip(data / f"task{task_id}" / IMAGE, silently=True)
        place.server.delete_task(2)
        report = await ac.verify(data, client=place.client, repair=True)
        assert not report.ok
        assert found(report) == {f"task2/{IMAGE}": "corrupted"}
        assert "it does not exist" in outcome_of(report, 2).failure
        assert outcome_of(report, 1).ok


async def test_without_any_receipt_nobody_knows_how_to_repair(data: Path) -> None:
    async with serving(1) as place:
        await mirror(place, data)
        (data / ".asynccvat/receipts/1.json").write_bytes(b"")
        (data / ".asynccvat/destination.json").unlink()
        report = await ac.verify(data, client=place.client, repair=True)
        assert "--adopt -t 1" in outcome_of(report, 1).failure
        assert found(report) == {
            ".asynccvat/receipts/1.json": "damaged receipt",
            "task1/": "foreign",
        }


async def test_a_repair_that_the_server_stops_says_so_and_what_is_left(data: Path) -> None:
    async with serving(2) as place:
        await mirror(place, data)
        flip(data / "task1" / IMAGE, silently=True)
        place.server.faults.add(
            Fault(method="POST", path="/dataset/export", status=401, times=None)
        )
        report = await ac.verify(data, client=place.client, repair=True)
        assert isinstance(report.stopped_by, ac.AuthenticationError)
        assert report.interrupted
        assert found(report) == {f"task1/{IMAGE}": "corrupted"}


async def test_a_repair_needs_the_lock_and_keeps_what_was_found(data: Path, log: Log) -> None:
    async with serving(1) as place:
        await mirror(place, data)
        flip(data / "task1" / IMAGE, silently=True)
        origin = place.client.origin
        async with MirrorStore.open(data, origin=origin, organization=None):
            assert found(await ac.verify(data)) == {f"task1/{IMAGE}": "corrupted"}
            with pytest.raises(ac.StoreLockedError):
                await ac.verify(data, client=place.client, repair=True, on_event=log)
    (finished,) = log.of(events.VerifyFinished)
    assert finished.report.interrupted
    assert found(finished.report) == {f"task1/{IMAGE}": "corrupted"}


async def test_the_mirror_of_another_server_is_neither_compared_nor_repaired(data: Path) -> None:
    async with serving(1) as place, serving(1) as other:
        await mirror(place, data)
        for repair in (True, False):
            with pytest.raises(ac.ConfigError, match="choose another destination"):
                await ac.verify(data, client=other.client, repair=repair, against_server=not repair)


async def test_against_the_server_it_says_what_is_stale_gone_and_not_mirrored(data: Path) -> None:
    async with serving(6) as place:
        what = ac.Selection(task_ids=[1, 2, 3, 4])
        await ac.mirror(place.client, data, what, options=QUICK)
        place.server.edit_task(2)
        place.server.delete_task(3)
        before = len(place.server.calls)
        report = await ac.verify(data, client=place.client, against_server=True)
        assert found(report) == {
            "task2/": "stale",
            "task3/": "gone",
            "task 5": "not mirrored",
            "task 6": "not mirrored",
        }
        asked = {f"{call.method} {call.path}" for call in place.server.calls[before:]}
        assert asked == {"GET /api/tasks"}
        of_some = await ac.verify(data, [1, 2], client=place.client, against_server=True)
        assert found(of_some) == {"task2/": "stale"}
        selection = ac.Selection(project_ids=[99])
        with pytest.raises(ac.NotFoundError):
            await ac.verify(data, client=place.client, against_server=True, selection=selection)
        # Mending damage is no update: what is stale is the next mirror's.
        both = await ac.verify(data, client=place.client, against_server=True, repair=True)
        assert found(both) == found(report)
        assert both.repairs == ()


async def test_a_selection_says_what_should_be_here_and_not_what_is_gone(data: Path) -> None:
    async with serving(6, projects=2) as place:
        await ac.mirror(place.client, data, ac.Selection(project_ids=[1]), options=QUICK)
        for selection in (ac.Selection(project_ids=[1]), ac.Selection(name="nobody")):
            report = await ac.verify(
                data, client=place.client, against_server=True, selection=selection
            )
            assert report.ok, report.problems


async def test_a_comparison_is_with_the_tasks_that_the_mirror_remembers(data: Path) -> None:
    async with serving(6, projects=2) as place:
        first = await ac.mirror(place.client, data, ac.Selection(project_ids=[1]), options=QUICK)
        report = await ac.verify(data, client=place.client, against_server=True)
        assert report.ok, report.problems
        every = await ac.verify(
            data, client=place.client, against_server=True, selection=ac.Selection()
        )
        assert len(every.problems) == 6 - len(first.outcomes)


async def test_the_only_task_is_repaired_without_its_receipt_as_the_mirror_remembers(
    data: Path,
) -> None:
    async with serving(1) as place:
        await ac.mirror(place.client, data, spec=COCO, options=QUICK)
        before = files(data)
        (data / ".asynccvat" / "receipts" / "1.json").write_text("{")
        report = await ac.verify(data, client=place.client, repair=True)
        assert (report.ok, len(report.repaired)) == (True, 1)
        assert files(data) == before


async def test_the_history_of_a_mirror_is_no_foreign_file(data: Path) -> None:
    async with serving(1) as place:
        for _ in range(2):
            place.server.edit_task(1)
            await ac.mirror(place.client, data, options=replace(QUICK, history=1e6))
        assert list((data / ".asynccvat" / "history" / "1").iterdir()) != []
        assert (await ac.verify(data)).problems == ()


async def test_a_list_that_keeps_changing_compares_not_all_and_says_so(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(2) as place:
        await mirror(place, data)
        listing = await place.client.tasks()

        async def changing(_selection: ac.Selection) -> ac.models.TaskListing:
            return ac.models.TaskListing(listing.tasks, complete=False)

        monkeypatch.setattr(place.client, "tasks", changing)
        report = await ac.verify(data, client=place.client, against_server=True)
        assert "incomplete" in report.warnings[0]
    assert (report.ok, report.listing_complete, report.problems) == (False, False, ())


async def test_what_takes_long_with_many_tasks_is_done_beside_the_loop(
    data: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, int] = {}

    def note(module: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            threads[name] = threading.get_ident()
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, noted)

    turn = 0

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    for module, name in (
        (verifying, "select_receipts"),
        (verifying, "_to_be_read"),
        (repairing, "gone_candidates"),
        (repairing, "compare"),
    ):
        note(module, name)
    monkeypatch.setattr(verifying, "_TOLD_AT_ONCE", 2)
    told: Counter[int] = Counter()
    log.on(events.ProblemFound, lambda _: told.update([turn]))
    async with serving(7) as place:
        await ac.mirror(place.client, data, ac.Selection(task_ids=[7]), options=QUICK)
        counting = asyncio.create_task(count_turns())
        report = await ac.verify(data, client=place.client, against_server=True, on_event=log)
        counting.cancel()
    assert threads.keys() == {"select_receipts", "_to_be_read", "gone_candidates", "compare"}
    assert threading.get_ident() not in threads.values()
    assert sorted(told.values()) == [2, 2, 2]
    assert report.counts == {ac.models.ProblemKind.NOT_MIRRORED: 6}


async def test_only_the_tasks_that_were_named_are_looked_at(data: Path) -> None:
    async with serving(3) as place:
        await mirror(place, data)
    for task_id in (1, 2, 3):
        flip(data / f"task{task_id}" / IMAGE, silently=True)
    (data / "mine").mkdir()
    (data / ".asynccvat/receipts/3.json").write_bytes(b"")
    assert found(await ac.verify(data, [2])) == {f"task2/{IMAGE}": "corrupted"}
    assert found(await ac.verify(data, folders=["*1"])) == {f"task1/{IMAGE}": "corrupted"}
    damaged = {".asynccvat/receipts/3.json": "damaged receipt"}
    assert found(await ac.verify(data, [3, 9])) == damaged | {"task 9": "not mirrored"}
    assert found(await ac.verify(data, [1, 2], folders=["task*"])) == {
        f"task1/{IMAGE}": "corrupted",
        f"task2/{IMAGE}": "corrupted",
    }


async def test_a_damaged_receipt_may_be_that_of_a_folder_that_was_named(data: Path) -> None:
    async with serving(2) as place:
        await mirror(place, data)
    damaged = {".asynccvat/receipts/2.json": "damaged receipt"}
    (data / ".asynccvat/receipts/2.json").write_bytes(bytes(40))
    for pattern in ("task*", "*2", "task2"):
        report = await ac.verify(data, folders=[pattern])
        assert (report.ok, found(report)) == (False, damaged)
    assert (await ac.verify(data, folders=["task1"])).ok
    with pytest.raises(ac.ConfigError, match=r"no folder of a task in .* matches"):
        await ac.verify(data, folders=["*3"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"task_ids": [0]},
        {"threads": 0},
        {"repair": True},
        {"against_server": True},
        {"selection": ac.Selection()},
    ],
)
async def test_arguments_that_contradict_each_other_are_refused(
    wrong: dict[str, object], data: Path
) -> None:
    with pytest.raises(ac.ConfigError):
        await ac.verify(data, **wrong)  # type: ignore[arg-type]  # some are wrong on purpose


async def test_what_is_no_mirror_is_refused(data: Path, tmp_path: Path) -> None:
    for folder, why in ((data, "there is no such folder"), (tmp_path, "it holds no receipts")):
        with pytest.raises(ac.ConfigError, match=f"cannot verify '{folder}': {why}"):
            await ac.verify(folder)
    (tmp_path / "file").touch()
    with pytest.raises(ac.StoreError, match="cannot read"):
        await ac.verify(tmp_path / "file")


# --- large tasks, many threads, and interruptions ----------------------------------------------


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every task count as large."""
    monkeypatch.setattr(rules, "SLICE_BYTES", 1)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("threads", [1, 4])
async def test_a_large_task_is_read_by_several_threads(data: Path, threads: int) -> None:
    async with serving(3, frames=8) as place:
        await mirror(place, data)
    report = await ac.verify(data, threads=threads)
    assert (report.ok, report.files) == (True, len(files(data)))
    flip(data / "task1" / IMAGE, silently=True)
    shutil.rmtree(data / "task2/images")
    (data / "task2/mine").touch()
    (data / ".asynccvat/receipts/3.json").write_bytes(
        (data / ".asynccvat/receipts/3.json").read_bytes()[:-9]
    )
    report = await ac.verify(data, threads=threads)
    assert found(report) == {
        f"task1/{IMAGE}": "corrupted",
        "task2/images/": "missing",
        "task2/mine": "foreign",
        ".asynccvat/receipts/3.json": "damaged receipt",
    }
    assert {problem.path: problem.files for problem in report.problems}["task2/images/"] == 8


@pytest.mark.usefixtures("in_pieces")
async def test_a_receipt_that_vanishes_before_its_turn_is_no_problem(data: Path, log: Log) -> None:
    async with serving(2) as place:
        await mirror(place, data)

    def vanish(_event: events.VerifyStarted) -> None:
        (data / ".asynccvat/receipts/2.json").unlink()
        shutil.rmtree(data / "task2")

    log.on(events.VerifyStarted, vanish)
    report = await ac.verify(data, on_event=log)
    assert (report.problems, report.tasks, report.files) == ((), 2, 3)


@pytest.mark.usefixtures("in_pieces")
async def test_a_cancelled_verification_goes_on_where_it_was(
    data: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(8) as place:
        await mirror(place, data)
    rotten = IMAGE.replace("0000", "0001")
    flip(data / "task1" / rotten, silently=True)
    read = reads(monkeypatch)
    running = asyncio.ensure_future(ac.verify(data, threads=1, on_event=log))
    log.on(
        events.VerifyProgress,
        lambda _event: len(log.of(events.VerifyProgress)) == 18 and running.cancel(),
    )
    with pytest.raises(asyncio.CancelledError):
        await running
    (finished,) = log.of(events.VerifyFinished)
    assert finished.report.interrupted
    assert not finished.report.ok
    every_file = {path.stat().st_ino for path in data.glob("task*/**/*") if path.is_file()}
    first = read.copy()
    assert first < every_file
    read.clear()
    (data / "task2" / IMAGE).unlink()
    os.utime(data / "task3" / IMAGE)
    report = await ac.verify(data, threads=1)
    assert report.resumed >= 2
    # What was wrong then is told again; and what vanished or was touched since, of tasks that were
    # read before, too.
    assert found(report) == {
        f"task1/{rotten}": "corrupted",
        f"task2/{IMAGE}": "missing",
        f"task3/{IMAGE}": "touched",
    }
    # Read twice are the task that was damaged, two at most that were under way, and what was
    # touched.
    assert len(first & read) <= 3 * 3 + 1
    read.clear()
    report = await ac.verify(data)
    assert (report.resumed, len(read)) == (0, len(every_file) - 1)


@pytest.mark.usefixtures("in_pieces")
async def test_files_of_yours_and_touched_ones_keep_no_task_from_being_gone_on_with(
    data: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(6) as place:
        await mirror(place, data)
    noted: dict[str, str] = {}
    for task_id in range(1, 7):
        (data / f"task{task_id}/notes.txt").touch()
        os.utime(data / f"task{task_id}" / IMAGE)
        noted |= {f"task{task_id}/notes.txt": "foreign", f"task{task_id}/{IMAGE}": "touched"}
    running = asyncio.ensure_future(ac.verify(data, threads=1, on_event=log))
    log.on(
        events.VerifyProgress,
        lambda _event: len(log.of(events.VerifyProgress)) == 15 and running.cancel(),
    )
    with pytest.raises(asyncio.CancelledError):
        await running
    read = reads(monkeypatch)
    report = await ac.verify(data, threads=1)
    assert report.resumed >= 2
    assert found(report) == noted
    # Of the three files of a task that was read before, just the touched one is read again: whether
    # its content still is the same, its time does not tell.
    assert len(read) == 3 * (6 - report.resumed) + report.resumed


@pytest.mark.usefixtures("in_pieces")
async def test_a_restart_reads_everything(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(3) as place:
        await mirror(place, data)

    def broken(_fd: int, _buffer: memoryview) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    reads_until = 4
    read = reads(monkeypatch)
    with monkeypatch.context() as failing:
        reading = disk.read_into
        failing.setattr(
            disk,
            "read_into",
            lambda fd, buffer: (
                broken(fd, buffer) if len(read) >= reads_until else reading(fd, buffer)
            ),
        )
        with pytest.raises(ac.StoreError, match="ulimit"):
            await ac.verify(data, threads=1)
    assert (data / ".asynccvat/verify.journal").exists()
    read.clear()
    report = await ac.verify(data, restart=True)
    assert (report.resumed, len(read)) == (0, 9)


def reads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Note the inodes of the files that are read from now on."""
    read: set[int] = set()
    reading = disk.read_into

    def read_into(fd: int, buffer: memoryview) -> int:
        read.add(os.fstat(fd).st_ino)
        return reading(fd, buffer)

    monkeypatch.setattr(disk, "read_into", read_into)
    return read


def holding_the_journal(data: Path) -> ExitStack:
    with ExitStack() as held:
        held.enter_context(held.enter_context(inspecting(data)).journal(restart=False))
        return held.pop_all()


async def test_another_verification_at_work_is_a_warning(data: Path) -> None:
    async with serving(1) as place:
        await mirror(place, data)
    with await asyncio.to_thread(holding_the_journal, data):
        report = await ac.verify(data)
    assert report.ok
    assert "another verification" in report.warnings[0]


async def test_a_listener_that_raises_is_told_nothing_more(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(1) as place:
        await mirror(place, data)

    def raising(_event: events.Event) -> None:
        raise ZeroDivisionError

    assert (await ac.verify(data, on_event=raising)).ok
    assert caplog.text.count("is detached: it gets no more events") == 1


# --- next to a running mirror ----------------------------------------


async def test_beside_a_mirror_that_updates_everything_nothing_is_told(
    data: Path, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    looks = 0
    async with serving(8, frames=3) as place:
        await mirror(place, data)
        async with connected(place.server) as other:
            for number in range(40 if thorough else 2):
                for task_id in range(1, 9):
                    place.server.edit_task(task_id)
                options = ac.MirrorOptions(
                    durable=False, folder_prefix=f"t{number % 2}_", change=True
                )
                async with ac.open_mirror(other, data, None, COCO, options=options) as run:
                    mirroring = asyncio.ensure_future(run.wait())
                    while not mirroring.done():
                        report = await ac.verify(data)
                        assert report.problems == ()
                        looks += 1
                    mirroring.result().raise_for_failures()
    assert looks > 2
    count_cases(looks)


async def test_what_a_killed_run_left_in_between_is_told_after_some_patience(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(1) as place:
        await mirror(place, data)
    monkeypatch.setattr(verifying, "RECHECK_DELAYS", (0.0, 0.001, 0.002))
    area = data / ".asynccvat/staging/1"
    area.mkdir()
    (area / "receipt.json").write_bytes((data / ".asynccvat/receipts/1.json").read_bytes())
    assert (await ac.verify(data)).ok
    flip(data / "task1" / IMAGE, silently=True)
    assert found(await ac.verify(data)) == {f"task1/{IMAGE}": "corrupted"}

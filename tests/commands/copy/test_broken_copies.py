"""What breaks between two servers: connections, results, members, answers, sizes."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from two_servers import TwoServers, two_servers

import asynccvat
from asynccvat import Selection
from asynccvat.archives.relay import MemberCheck
from asynccvat.client import internals
from asynccvat.commands.copy.state import CopyState, side_of
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.outcomes import Action, RunReport
from asynccvat.core.paths import NameRules
from asynccvat.core.records.copies import Begun, source_state
from asynccvat.core.records.restores import Requesting, Sending
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.tus import ONE_REQUEST
from asynccvat.core.zip import Directory, read_directory
from asynccvat.errors import CopyError, IntegrityError, RequestUncertainError
from asynccvat.events import Event, ImportRequested, UploadProgress, UploadStarted
from asynccvat.simulator import Fault
from asynccvat.simulator.world.annotations import Annotations

pytestmark = pytest.mark.anyio

DOWNLOAD = r"/api/tasks/1/backup/download"
PIECE = r"/api/tasks/backup/\d+_"
ONE = Selection(task_ids=[1])


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[TwoServers]:
    """One task whose backup is larger than the part that is fetched first."""
    async with two_servers(
        tmp_path / "state", tasks=2, frames=6, frame_bytes=200_000, projects=0
    ) as servers:
        yield servers


async def equal(both: TwoServers, report: RunReport) -> None:
    assert report.ok, [one.failure for one in report.failures]
    assert both.restores() == 1
    await both.assert_equal(report)


@pytest.mark.parametrize("at", [0, 100_000, 900_000])
async def test_a_broken_download_goes_on_at_the_same_byte(both: TwoServers, at: int) -> None:
    both.fail(Fault(path=DOWNLOAD, nth=2, cut_at=at), at="old")
    report = await both.copy(ONE)
    await equal(both, report)
    (outcome,) = report.outcomes
    assert outcome.transferred <= outcome.bytes * 1.1


async def test_a_download_that_breaks_at_its_end_goes_on(both: TwoServers) -> None:
    both.fail(Fault(path=DOWNLOAD, nth=1, cut_at=-10), at="old")
    await equal(both, await both.copy(ONE))


@pytest.mark.parametrize("at", [0, 1000, 700_000])
async def test_a_broken_upload_goes_on_at_the_offset_of_the_target(
    both: TwoServers, at: int
) -> None:
    both.fail(Fault(method="PATCH", path=PIECE, break_at=at))
    await equal(both, await both.copy(ONE))


async def test_a_piece_whose_answer_is_lost_is_not_sent_again(both: TwoServers) -> None:
    both.fail(Fault(method="PATCH", path=PIECE, lose_answer=True))
    await equal(both, await both.copy(ONE))


async def test_another_result_of_the_source_is_not_appended(both: TwoServers) -> None:
    both.fail(
        Fault(path=DOWNLOAD, nth=2, cut_at=300_000),
        Fault(path=DOWNLOAD, nth=3, move_etag=True),
        at="old",
    )
    await equal(both, await both.copy(ONE))


async def test_a_result_that_expires_is_made_again(both: TwoServers) -> None:
    both.fail(Fault(path=DOWNLOAD, nth=2, expire=True), at="old")
    await equal(both, await both.copy(ONE))


async def test_a_damaged_member_is_found_before_anything_is_made_of_it(both: TwoServers) -> None:
    both.fail(Fault(path=DOWNLOAD, alter_at=50_000, times=None), at="old")
    report = await both.copy(ONE)
    (failure,) = report.failures
    assert isinstance(failure.error, IntegrityError)
    assert not both.new.world.tasks
    both.old.faults.clear()
    await equal(both, await both.copy(ONE))


async def test_a_member_that_was_damaged_once_is_fetched_again(both: TwoServers) -> None:
    both.fail(Fault(path=DOWNLOAD, nth=2, alter_at=50_000), at="old")
    await equal(both, await both.copy(ONE))


async def test_an_upload_with_damaged_bytes_is_not_gone_on_with(tmp_path: Path) -> None:
    size = 2 * ONE_REQUEST
    async with two_servers(
        tmp_path / "state", tasks=1, frames=1, frame_bytes=size, projects=0
    ) as both:
        both.fail(Fault(path=DOWNLOAD, nth=2, alter_at=50_000), at="old")
        report = await both.copy(ONE, retries=0)
        assert isinstance(report.failures[0].error, IntegrityError)
        assert any(call.method == "PATCH" and call.status == 204 for call in both.new.calls)
        await equal(both, await both.copy(ONE, retries=0))
        ((old,), (new,)) = (list(one.world.tasks[1].frames()) for one in (both.old, both.new))
        assert new.data() == old.data()


async def test_a_source_without_ranges_goes_through_a_file(both: TwoServers) -> None:
    both.fail(Fault(path=DOWNLOAD, ignore_range=True, times=None), at="old")
    await equal(both, await both.copy(ONE))
    assert not list((both.state / "spool").iterdir())


async def test_a_file_on_the_way_is_bounded(both: TwoServers) -> None:
    both.fail(Fault(path=DOWNLOAD, ignore_range=True, times=None), at="old")
    report = await both.copy(ONE, spool_limit=100_000)
    (failure,) = report.failures
    assert isinstance(failure.error, CopyError)
    assert "task 1: the source sends its backup without a size" in str(failure.error)
    assert "100,000 bytes, which --spool-limit allows" in str(failure.error)
    assert not list((both.state / "spool").iterdir())


async def test_one_file_at_a_time_lies_on_the_way(tmp_path: Path) -> None:
    spool = tmp_path / "state" / "spool"
    loop = asyncio.get_running_loop()
    seen: list[asyncio.Future[list[str]]] = []

    def count(event: Event) -> None:
        if isinstance(event, UploadStarted | UploadProgress):
            seen.append(loop.run_in_executor(None, os.listdir, spool))

    async with two_servers(tmp_path / "state", tasks=6, frame_bytes=200_000, projects=0) as both:
        both.fail(
            Fault(path=r"/api/tasks/\d+/backup/download", ignore_range=True, times=None), at="old"
        )
        report = await asynccvat.copy(
            both.source, both.target, options=both.options(), on_event=count
        )
        assert report.ok, report.failures
        counts = [len(names) for names in await asyncio.gather(*seen)]
    assert max(counts) == 1


async def test_a_file_that_a_killed_run_left_on_the_way_is_removed(both: TwoServers) -> None:
    spool = both.state / "spool"
    spool.mkdir(parents=True)
    (spool / "task1.1.zip").write_bytes(b"part")
    (spool / "notes.txt").write_text("mine")
    assert (await both.plan(ONE)).counts == {"copy": 1}
    assert (spool / "task1.1.zip").exists()
    await equal(both, await both.copy(ONE))
    assert [path.name for path in spool.iterdir()] == ["notes.txt"]


async def test_a_file_on_the_way_is_written_again_after_a_break(both: TwoServers) -> None:
    both.fail(
        Fault(path=DOWNLOAD, nth=2, cut_at=500_000),
        Fault(path=DOWNLOAD, ignore_range=True, times=None),
        at="old",
    )
    await equal(both, await both.copy(ONE))


async def test_a_lost_answer_makes_one_task(both: TwoServers) -> None:
    both.fail(Fault(method="POST", path="filename=", lose_answer=True))
    await equal(both, await both.copy(ONE))


async def test_a_failed_restore_is_told_and_made_in_the_next_run(both: TwoServers) -> None:
    both.fail(Fault(importing="fail", message="MemoryError\n"))
    report = await both.copy(ONE)
    assert "could not restore the backup of task 1: MemoryError" in report.failures[0].failure
    await equal(both, await both.copy(ONE))


async def test_a_failed_backup_is_told(both: TwoServers) -> None:
    both.fail(Fault(export="fail", message="OSError: no space\n"), at="old")
    report = await both.copy(ONE)
    assert "no space" in report.failures[0].failure
    await equal(both, await both.copy(ONE))


async def test_a_server_that_is_down_for_a_moment_delays_the_copy(both: TwoServers) -> None:
    both.fail(Fault(path=r"/api/tasks/\d+/annotations", status=502, times=2))
    await equal(both, await both.copy(ONE))


def failing_for_a_while(path: str, **more: Any) -> list[Fault]:
    """Faults that outlast the retries of one call."""
    return [Fault(path=path, status=503, nth=nth, **more) for nth in range(1, 5)]


async def test_a_copy_that_cannot_be_compared_for_a_while_is_not_made_twice(
    both: TwoServers,
) -> None:
    both.fail(*failing_for_a_while(r"/api/tasks/1/annotations"))
    await equal(both, await both.copy(ONE))


async def test_a_copy_whose_predecessor_cannot_go_for_a_while_is_not_made_twice(
    both: TwoServers,
) -> None:
    await both.copy(ONE)
    both.old.edit_task(1)
    both.fail(*failing_for_a_while(r"/api/tasks/1$", method="DELETE"))
    report = await both.copy(ONE)
    await equal(both, report)
    assert report.outcomes[0].action is Action.COPIED
    assert set(both.new.world.tasks) == {2}


async def test_what_an_interrupted_run_left_is_tried_once_more_at_the_end(both: TwoServers) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", status=403, body="{}"))
    assert not (await both.copy(ONE)).ok
    both.fail(*failing_for_a_while(r"/api/tasks/1/annotations"))
    await equal(both, await both.copy(ONE))


async def test_a_bandwidth_limit_is_kept_to(both: TwoServers) -> None:
    await equal(both, await both.copy(ONE, bandwidth=1 << 30))


async def test_a_copy_that_changed_while_it_was_made_is_told(both: TwoServers) -> None:

    def edit(event: Event) -> None:
        if isinstance(event, ImportRequested):
            both.old.world.annotate_task(1, Annotations())

    report = await asynccvat.copy(
        both.source, both.target, ONE, options=both.options(), on_event=edit
    )
    assert "changed at the source while it was copied" in report.failures[0].failure
    second = await both.copy(ONE)
    await equal(both, second)


async def test_a_copy_that_differs_stays_and_is_told_again(both: TwoServers) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", edit_task=1))
    report = await both.copy(ONE)
    (failure,) = report.failures
    assert "the copy of task 1, differs" in str(failure.error)
    assert failure.compared is not None
    again = await both.copy(ONE)
    assert again.failures[0].reason == "interrupted"
    assert both.restores() == 1


async def test_what_was_made_of_an_earlier_state_gives_way(both: TwoServers) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", edit_task=1))
    assert not (await both.copy(ONE)).ok
    both.old.world.change_task(1, subset="Other")
    await equal(both, await both.copy(ONE))
    assert 1 not in both.new.world.tasks


async def test_what_was_made_of_an_earlier_state_stays_if_it_was_worked_on(
    both: TwoServers,
) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", edit_task=1))
    await both.copy(ONE)
    both.old.world.change_task(1, subset="Other")
    both.new.world.change_job(both.new.world.tasks[1].jobs()[0].id, state="in progress")
    (failure,) = (await both.copy(ONE)).failures
    assert "was worked on since" in str(failure.error)
    await equal(both, await both.copy(ONE, overwrite=True))


async def test_what_was_made_of_an_earlier_state_stays_if_it_was_annotated(
    both: TwoServers,
) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", edit_task=1))
    await both.copy(ONE)
    both.old.world.change_task(1, subset="Other")
    both.new.edit_task(1)
    (failure,) = (await both.copy(ONE)).failures
    assert "was worked on since: its annotations changed" in str(failure.error)
    assert 1 in both.new.world.tasks
    await equal(both, await both.copy(ONE, overwrite=True))


async def test_what_was_made_and_never_compared_stays_if_it_was_annotated(
    both: TwoServers,
) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", status=403))
    assert not (await both.copy(ONE)).ok
    both.old.world.change_task(1, subset="Other")
    both.new.edit_task(1)
    (failure,) = (await both.copy(ONE)).failures
    assert "was worked on since: its date moved" in str(failure.error)
    await equal(both, await both.copy(ONE, overwrite=True))


async def test_a_copy_that_was_changed_before_it_was_compared_is_not_replaced(
    both: TwoServers,
) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", status=403))
    assert not (await both.copy(ONE)).ok
    content = msgspec.json.decode((await both.target.annotations(1)).raw)
    shapes = [without_id(one) for one in content["shapes"]]
    shapes[0]["points"][0] += 1
    others = {kind: [without_id(one) for one in content[kind]] for kind in ("tags", "tracks")}
    await internals(both.target).replace_annotations(
        1, msgspec.json.encode({"version": 0, "shapes": shapes, **others})
    )
    second = await both.copy(ONE)
    assert second.ok
    assert "its copy was changed since it was made" in second.outcomes[0].warnings[0]
    both.old.edit_task(1)
    (failure,) = (await both.copy(ONE)).failures
    assert failure.reason == "edited"
    assert set(both.new.world.tasks) == {1}
    await equal(both, await both.copy(ONE, overwrite=True))


async def test_what_was_made_of_an_earlier_state_may_be_gone(both: TwoServers) -> None:
    both.fail(Fault(path=r"/api/tasks/1/annotations", edit_task=1))
    await both.copy(ONE)
    both.new.delete_task(1)
    await equal(both, await both.copy(ONE))


async def test_a_copy_that_may_exist_is_made_again_on_request_only(both: TwoServers) -> None:
    task = (await both.source.tasks(ONE)).tasks[0]
    sides = side_of(both.source), side_of(both.target)
    async with CopyState.open(*sides, both.options(), read_only=False) as state:
        await state.note(Begun(1, "task1.1", source_state(task)))
        await state.restores.note(
            Sending(key="task1.1", size=9, mtime_ns=0, file_id="1_x", address="/1_x")
        )
        # The server told no time before the call, so that nothing can be looked for.
        await state.restores.note(
            Requesting(key="task1.1", kind=TargetKind.TASK, name=task.name, frames=task.size)
        )
    (failure,) = (await both.copy(ONE)).failures
    assert isinstance(failure.error, RequestUncertainError)
    assert f"Look there for task {task.name!r}" in str(failure.error)
    assert not both.new.world.tasks
    await equal(both, await both.copy(ONE, duplicate=True))


async def test_an_upload_goes_on_in_the_next_run(both: TwoServers) -> None:
    both.fail(*(Fault(method="PATCH", path=PIECE, nth=nth, status=503) for nth in range(2, 12)))
    report = await both.copy(ONE, retries=0)
    assert report.failures
    assert report.transferred >= ONE_REQUEST
    both.new.faults.clear()
    before = len(both.new.calls)
    report = await both.copy(ONE)
    await equal(both, report)
    later = both.new.calls[before:]
    assert sum(call.method == "POST" and "/backup" in call.path for call in later) == 1
    assert report.outcomes[0].transferred < report.outcomes[0].bytes


async def test_an_upload_goes_on_where_only_jobs_changed_since(both: TwoServers) -> None:
    both.fail(*(Fault(method="PATCH", path=PIECE, nth=nth, status=503) for nth in range(2, 12)))
    assert (await both.copy(ONE, retries=0, states=True)).failures
    both.new.faults.clear()
    both.old.world.change_job(both.old.world.tasks[1].jobs()[0].id, state="rejected")
    report = await both.copy(ONE, states=True)
    await equal(both, report)
    (outcome,) = report.outcomes
    assert outcome.transferred < outcome.bytes
    assert both.new.world.tasks[outcome.new_id or 0].jobs()[0].state == "rejected"


def without_id(annotation: dict[str, Any]) -> dict[str, Any]:
    """An annotation as it is written: the ids in it are the server's."""
    return {
        key: [without_id(one) for one in value] if key in ("shapes", "elements") else value
        for key, value in annotation.items()
        if key != "id"
    }


# --- members ------------------------------------------------------------------------------------


def directory_of(archive: bytes) -> Directory:
    found = read_directory(archive, len(archive), limits=ArchiveLimits(), rules=NameRules())
    assert isinstance(found, Directory)
    return found


def test_bytes_that_come_again_are_checked_once(zipped: bytes) -> None:
    check = MemberCheck.of(directory_of(zipped), ArchiveLimits())
    check.feed(0, zipped[:10])
    check.feed(5, zipped[5:8])
    check.feed(5, zipped[5:])
    check.close()
    with pytest.raises(ValueError, match="were not checked"):
        MemberCheck.of(directory_of(zipped), ArchiveLimits()).feed(5, zipped[5:])


@pytest.fixture
def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("task.json", "{}")
        archive.writestr("data/0.jpg", b"x" * 100)
    return content.getvalue()

"""The numbers of a run, from scripted events with their times."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from scripts import MIB, Script, Timed, done, failed, planned

from asynccvat import events
from asynccvat.core.outcomes import Action
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.progress import Cause, Outage, RunProgress, Stage


def progress_of(*happened: Timed) -> RunProgress:
    progress = RunProgress(0.0)
    for at, event in happened:
        progress.apply(event, at)
    return progress


def predicted(script: Script, share: float) -> tuple[float | None, float]:
    """The time left as predicted and as it is, after a share of the run's time."""
    now = script.seconds * share
    progress = progress_of(*(timed for timed in script.events() if timed[0] <= now))
    return progress.seconds_left(now), script.seconds - now


# --- the time left --------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    tasks=st.integers(30, 60),
    workers=st.integers(1, 8),
    export_seconds=st.floats(0.2, 60),
    share=st.floats(0.3, 0.8),
)
def test_while_exports_are_the_limit_their_rate_tells_the_time_left(
    tasks: int, workers: int, export_seconds: float, share: float
) -> None:
    script = Script([1000] * tasks, workers=workers, export_seconds=export_seconds)
    left, truth = predicted(script, share)
    assert left == pytest.approx(truth, rel=0.25, abs=1.5 * export_seconds + 1)


@settings(max_examples=15, deadline=None)
@given(
    first=st.integers(0, 4),
    scale=st.floats(0.2, 3),
    bandwidth=st.floats(1 * MIB, 40 * MIB),
    transfers=st.integers(1, 8),
    share=st.floats(0.3, 0.8),
)
def test_while_the_network_is_the_limit_bytes_tell_the_time_left(
    first: int, scale: float, bandwidth: float, transfers: int, share: float
) -> None:
    # Archives to come are like those that were begun: nothing can predict others.
    pattern = [20, 60, 40, 30, 50] * 9
    sizes = [int(size * scale * MIB) for size in pattern[first : first + 40]]
    script = Script(
        sizes, workers=8, export_seconds=0.001, bandwidth=bandwidth, transfers=transfers
    )
    left, truth = predicted(script, share)
    longest = max(sizes) / (bandwidth / transfers)
    assert left == pytest.approx(truth, rel=0.25, abs=longest)


def test_one_huge_archive_beside_small_ones_is_no_surprise() -> None:
    script = Script([MIB] * 39 + [2000 * MIB], export_seconds=0.1, bandwidth=80 * MIB)
    # All but the huge one are done soon; then its bytes alone tell the time.
    left, truth = predicted(script, 0.2)
    assert left == pytest.approx(truth, rel=0.1)


def test_nothing_tells_the_time_left_before_an_export_ended() -> None:
    requested = [(0.0, events.ExportRequested(n, "a", created=True)) for n in (1, 2)]
    progress = progress_of((0.0, planned(2)), *requested)
    assert progress.seconds_left(5.0) is None
    progress.apply(events.ExportFinished(1, 5.0), 5.0)
    assert progress.seconds_left(5.0) == pytest.approx(5.0)


def test_an_export_that_must_be_made_again_counts_again() -> None:
    progress = progress_of(
        (0.0, planned(2)),
        (0.0, events.ExportRequested(1, "a", created=True)),
        (0.0, events.ExportRequested(2, "b", created=True)),
        (4.0, events.ExportFinished(1, 4.0)),
        (4.0, events.ExportRequested(1, "a", created=True)),
    )
    assert progress.seconds_left(4.0) == pytest.approx(8.0)


def test_imports_tell_the_time_left_of_uploads() -> None:
    started = [(0.0, events.TaskStarted(n, "")) for n in (1, 2, 3, 4)]
    sent = [(0.0, events.UploadStarted(n, 100)) for n in (1, 2)]
    moved = [(0.5, events.UploadProgress(n, 100)) for n in (1, 2)]
    asked = [(1.0, events.ImportRequested(n, "a")) for n in (1, 2)]
    ended: list[Timed] = [(11.0, events.ImportFinished(1, 10.0)), (11.0, done(1, Action.UPLOADED))]
    progress = progress_of((0.0, planned(upload=4)), *started, *sent, *moved, *asked, *ended)
    assert progress.uploads
    assert progress.seconds_left(11.0) == pytest.approx(30.0)


def test_what_moves_no_bytes_is_predicted_from_its_own_rate() -> None:
    progress = progress_of((0.0, planned(remove=10)), *((float(n), done(n)) for n in (1, 2)))
    assert progress.seconds_left(2.0) == pytest.approx(8.0)


def test_while_the_run_stands_still_nothing_tells_the_time_left() -> None:
    progress = progress_of(
        (0.0, planned(4)),
        (0.0, events.ExportRequested(2, "a", created=True)),
        (5.0, events.ExportFinished(2, 5.0)),
        (5.0, done(2)),
    )
    assert progress.seconds_left(10.0) is not None
    assert progress.seconds_left(60.0) is None
    progress.apply(events.QueueStalled(QueueStall("export", 300.0, waiting=2, running=1)), 61.0)
    progress.apply(events.TransferProgress(3, 10), 61.0)
    assert progress.seconds_left(61.0) is None, "bytes of another task do not move the queue"
    progress.apply(events.ExportFinished(3, None), 62.0)
    assert progress.seconds_left(62.0) is not None


def test_tasks_that_always_take_long_do_not_make_a_run_look_still() -> None:
    ended = [
        timed
        for n in (1, 2, 3)
        for timed in ((50.0 * n, events.ExportFinished(n, 50.0)), (50.0 * n, done(n)))
    ]
    asked = [(0.0, events.ExportRequested(n, "a", created=True)) for n in range(1, 6)]
    progress = progress_of((0.0, planned(5)), *asked, *ended)
    assert progress.seconds_left(190.0) is not None
    assert progress.seconds_left(400.0) is None


def test_an_outage_has_no_part_in_the_time_left() -> None:
    progress = progress_of(
        (0.0, planned(4)),
        (10.0, done(1)),
        (13.0, events.ServerUnreachable(seconds=3.0, wait=600.0, error="refused")),
    )
    assert progress.seconds_left(100.0) is None
    assert progress.outage == Outage(since=10.0, wait=600.0, error="refused")
    progress.apply(events.ServerBack(seconds=122.0), 132.0)
    assert progress.seconds_left(132.0) == pytest.approx(30.0)


# --- stages ---------------------------------------------------------------------------------------


def test_each_task_is_counted_in_its_stage() -> None:
    progress = progress_of(
        (0.0, planned(4, keep=1)),
        *((0.0, events.TaskStarted(n, f"name-{n}")) for n in (1, 2, 3, 4)),
        *((0.0, events.ExportRequested(n, "a", created=True)) for n in (1, 2, 3)),
        (1.0, events.ExportStarted(2)),
        (2.0, events.ExportFinished(3, 0.2)),
        (2.0, events.TransferStarted(3, 2048, 1024)),
        (2.0, events.TransferProgress(3, 512)),
    )
    counts = {Stage.PREPARING: 1, Stage.QUEUED: 1, Stage.EXPORTING: 1, Stage.DOWNLOADING: 1}
    assert progress.stages(2.0) == counts
    assert progress.fraction == pytest.approx(0.5 / 4)
    progress.apply(events.TransferFinished(3), 3.0)
    assert progress.stages(3.0)[Stage.WRITING] == 1
    progress.apply(done(3), 3.0)
    progress.apply(done(9, Action.KEPT), 3.0)
    assert (progress.done, progress.total, progress.fraction) == (1, 4, 0.25)


def test_how_many_exports_run_follows_from_the_seconds_that_they_took() -> None:
    script = Script([1000] * 60, workers=3, export_seconds=2.0)
    progress = progress_of(*(timed for timed in script.events() if timed[0] <= 20.0))
    assert progress.stages(20.0)[Stage.EXPORTING] == 3
    assert progress.stages(20.0)[Stage.QUEUED] == 27


def test_imports_in_the_queue_are_no_exports_that_run() -> None:
    happened: list[Timed] = [(0.0, planned(0, upload=12))]
    for number in range(1, 9):
        happened += [
            (0.0, events.ExportRequested(number, "a", created=True)),
            (number / 2, events.ExportFinished(number, 1.0)),
        ]
    later = [(4.0, events.ImportRequested(number, "b")) for number in range(1, 9)]
    assert progress_of(*happened, *later).stages(4.0) == {Stage.QUEUED: 8}
    ends = [(4.0 + number, events.ImportFinished(number, 2.0)) for number in range(1, 5)]
    assert progress_of(*happened, *later, *ends).stages(8.0) == {
        Stage.QUEUED: 2,
        Stage.IMPORTING: 2,
        Stage.CHECKING: 4,
    }


def test_a_task_that_is_retried_goes_on_where_its_bytes_come_again() -> None:
    progress = progress_of(
        (0.0, planned(2)),
        (0.0, events.TransferStarted(1, 100, 0)),
        (1.0, events.Retrying(1, "download", "reset", 0.5)),
        (1.0, events.Retrying(None, "list", "502", 0.5)),
    )
    assert progress.stages(1.0) == {Stage.RETRYING: 1}
    assert progress.retry_error == "502"
    progress.apply(events.TransferProgress(1, 50), 2.0)
    assert progress.stages(2.0) == {Stage.DOWNLOADING: 1}
    progress.apply(events.TransferProgress(1, 500), 3.0)
    assert progress.fraction == 0.5, "a task is never more than whole"


def test_the_slowest_under_way_leave_out_what_waits_in_the_queue() -> None:
    progress = progress_of(
        (0.0, planned(5)),
        (0.0, events.ExportRequested(1, "a", created=True)),
        *((float(n), events.TransferStarted(n, 100, 0)) for n in (2, 3, 4, 5)),
    )
    assert [flight.task_id for flight in progress.slowest(20.0)] == [2, 3, 4]
    assert [flight.task_id for flight in progress.slowest(20.0, after=17.0)] == [2, 3]


def test_the_slowest_with_an_outcome_are_named_with_what_took_their_time() -> None:
    happened: list[Timed] = [(0.0, planned(5))]
    for number in range(1, 6):
        happened += [
            (0.0, events.TaskStarted(number, f"name-{number}")),
            (0.0, events.TransferStarted(number, 100, 0)),
            (float(number), events.TransferFinished(number)),
            (float(number), done(number)),
        ]
    slowest = progress_of(*happened).slowest_done
    assert [(one.task_id, one.name, one.seconds) for one in slowest] == [
        (5, "name-5", 5.0),
        (4, "name-4", 4.0),
        (3, "name-3", 3.0),
    ]
    assert {one.stage for one in slowest} == {Stage.DOWNLOADING}


def test_an_outage_makes_no_task_slow() -> None:
    progress = progress_of(
        (0.0, planned(2)),
        (0.0, events.ExportStarted(1)),
        (5.0, events.ServerUnreachable(1.0, 600.0, "refused")),
        (12.0, events.ExportStarted(2)),
        (14.0, events.ServerBack(10.0)),
    )
    assert [flight.since for flight in progress.flights] == [10.0, 14.0]
    progress.apply(done(1), 16.0)
    assert [one.seconds for one in progress.slowest_done] == [6.0]


def test_the_time_in_the_queue_makes_no_task_slow() -> None:
    script = Script([1000] * 20, workers=1, export_seconds=2.0)
    (first, *_) = progress_of(*script.events()).slowest_done
    assert first.seconds == pytest.approx(2.0, abs=0.1)
    assert first.stage is Stage.EXPORTING


# --- what the time went to ------------------------------------------------------------------------


def test_the_time_of_exports_goes_to_the_server_and_that_of_full_transfers_to_the_network() -> None:
    by_server = progress_of(*Script([1000] * 40, export_seconds=2.0).events())
    assert by_server.spent.shares[Cause.SERVER] > 0.95
    assert by_server.waits_for(40.0) is Cause.SERVER
    script = Script([50 * MIB] * 40, export_seconds=0.01, bandwidth=10 * MIB)
    by_network = progress_of(*script.events())
    assert by_network.spent.shares[Cause.NETWORK] > 0.95


def test_outages_pauses_lists_writes_and_retries_have_their_own_times() -> None:
    progress = progress_of(
        (0.0, events.RunStarted(8)),
        (2.0, events.ListingRead(2, complete=True)),
        (3.0, planned(2)),
        (3.0, events.ServerPaused(4.0)),
        (8.0, events.TransferStarted(1, 10, 0)),
        (10.0, events.TransferFinished(1)),
        (15.0, done(1)),
        (15.0, events.Retrying(2, "export", "502", 6.0)),
        (21.0, events.ServerUnreachable(2.5, 60.0, "refused")),
        (25.0, events.ServerUnreachable(6.5, 60.0, "refused")),
        (31.0, events.ServerBack(12.5)),
    )
    assert progress.spent.seconds == {
        Cause.OUTAGE: 12.5,
        Cause.DISK: 5.0,
        Cause.PAUSE: 4.0,
        Cause.RETRIES: 3.5,
        Cause.LISTS: 3.0,
        Cause.NETWORK: 2.0,
        Cause.OTHER: 1.0,
    }
    assert sum(progress.spent.shares.values()) == pytest.approx(1.0)


def test_the_time_in_which_archives_are_written_goes_to_the_disk() -> None:
    begun = [(0.0, events.TransferStarted(number, 100, 0)) for number in (1, 2)]
    progress = progress_of((0.0, events.RunStarted(2)), (0.0, planned(2)), *begun)
    for second in range(1, 11):
        # Each second, the threads of two transfers write for three quarters of it.
        moved = events.TransferProgress(1, 5, writing_seconds=1.5)
        progress.apply(moved, float(second))
    assert progress.spent.seconds == pytest.approx({Cause.DISK: 7.5, Cause.NETWORK: 2.5})
    assert progress.waits_for(10.0) is Cause.DISK
    progress.apply(events.TransferProgress(1, 5, writing_seconds=1e9), 10.0)
    assert progress.spent.shares == {Cause.DISK: 1.0}


def test_what_a_run_waits_for_does_not_change_with_each_task() -> None:
    progress = progress_of(*Script([1000] * 30, export_seconds=2.0).events()[:-40])
    now = 20.0
    progress.apply(events.TransferFinished(99), now)
    assert progress.waits_for(now + 0.3) is Cause.SERVER
    progress.apply(events.ServerPaused(5.0), now + 0.3)
    assert progress.waits_for(now + 1.0) is Cause.PAUSE
    assert progress.pause_left(now + 1.0) == pytest.approx(4.3)


# --- anything -------------------------------------------------------------------------------------

IDS = st.integers(1, 4)
SIZES = st.integers(0, 10**12)
SECONDS = st.floats(0, 10**6)
ANY_EVENT: st.SearchStrategy[events.Event] = st.one_of(
    st.builds(events.TaskStarted, IDS, st.text(max_size=5)),
    st.builds(events.ExportRequested, IDS, st.just("a"), st.booleans()),
    st.builds(events.ExportStarted, IDS),
    st.builds(events.ExportFinished, IDS, st.none() | SECONDS),
    st.builds(events.TransferStarted, IDS, st.none() | SIZES, SIZES),
    st.builds(events.TransferProgress, IDS, SIZES),
    st.builds(events.TransferFinished, IDS),
    st.builds(events.UploadStarted, IDS, SIZES),
    st.builds(events.UploadProgress, IDS, SIZES),
    st.builds(events.ImportRequested, IDS, st.just("a")),
    st.builds(events.ImportStarted, IDS),
    st.builds(events.ImportFinished, IDS, st.none() | SECONDS),
    st.builds(events.Retrying, st.none() | IDS, st.just("export"), st.just("no"), SECONDS),
    st.builds(events.ServerPaused, SECONDS),
    st.builds(events.ServerUnreachable, SECONDS, SECONDS, st.just("no")),
    st.builds(events.ServerBack, SECONDS),
    st.builds(done, IDS, st.sampled_from(list(Action))),
    st.builds(failed, IDS),
    st.just(planned(3, keep=1, move=1)),
    st.just(events.ListingRead(5, complete=True)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), ANY_EVENT), max_size=30))
def test_the_numbers_make_sense_whatever_happens(
    happened: list[tuple[float, events.Event]],
) -> None:
    progress, now = RunProgress(5.0), 5.0
    for wait, event in happened:
        now += wait
        progress.apply(event, now)
        left = progress.seconds_left(now)
        assert left is None or 0 <= left < float("inf")
        assert 0 <= progress.fraction <= 1
        assert all(count > 0 for count in progress.stages(now).values())
        assert sum(progress.stages(now).values()) == len(progress.flights)
        assert (progress.bytes_per_second(now) or 0.0) >= 0
        assert sum(progress.spent.seconds.values()) == pytest.approx(now - 5.0)
        assert all(flight.seconds[stage] >= 0 for flight in progress.flights for stage in Stage)
        assert isinstance(progress.waits_for(now), Cause)

"""Admission, polling and adoption, alone and together against a queue that is only arithmetic."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.admission import FIRST_LIMIT, MOST_IN_FLIGHT, exports_allowed
from asynccvat.core.adoption import may_adopt
from asynccvat.core.models import ExportRequest
from asynccvat.core.polling import (
    LONGEST_INTERVAL,
    SHORTEST_INTERVAL,
    Pending,
    due_times,
    list_patience,
    next_look,
    poll_interval,
)
from asynccvat.core.servermodel import ServerModel

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def finished(started: float, seconds: float) -> ExportRequest:
    return ExportRequest(
        id=f"rq-{started}",
        status="finished",
        started_date=EPOCH + timedelta(seconds=started),
        finished_date=EPOCH + timedelta(seconds=started + seconds),
    )


class TestServerModel:
    def test_knows_nothing_at_first(self) -> None:
        model = ServerModel()
        assert model.export_seconds is None
        assert model.workers == 1

    def test_workers_are_the_greatest_overlap(self) -> None:
        model = ServerModel().with_ended([finished(0, 2), finished(1, 2), finished(1.5, 2)])
        assert model.workers == 3
        assert model.export_seconds == pytest.approx(2)

    def test_an_export_that_begins_as_another_ends_is_no_overlap(self) -> None:
        assert ServerModel().with_ended([finished(0, 1), finished(1, 1)]).workers == 1

    def test_follows_a_server_that_lost_its_workers(self) -> None:
        model = ServerModel().with_ended([finished(0, 2), finished(0, 2)])
        model = model.with_ended([finished(10 + number, 1) for number in range(100)])
        assert model.workers == 1

    def test_exports_without_dates_tell_nothing(self) -> None:
        model = ServerModel()
        assert model.with_ended([ExportRequest(id="a", status="finished")]) is model

    def test_call_times_are_smoothed(self) -> None:
        model = ServerModel().with_call(1.0).with_list(2.0)
        assert (model.call_seconds, model.list_seconds) == (1.0, 2.0)
        model = model.with_call(2.0).with_list(2.0)
        assert 1.0 < (model.call_seconds or 0) < 2.0
        assert model.list_seconds == 2.0


class TestAdmission:
    def test_begins_with_few(self) -> None:
        assert exports_allowed(ServerModel(), 1.0) == FIRST_LIMIT

    def test_the_users_choice_is_obeyed(self) -> None:
        assert exports_allowed(ServerModel(), 1.0, fixed=17) == 17

    def test_covers_what_ends_between_two_looks(self) -> None:
        model = ServerModel(call_seconds=0.0).with_ended(
            [finished(number // 2 * 0.5, 0.5) for number in range(40)]
        )
        assert exports_allowed(model, 1.0) == 2 * (1 + 2) + 1

    def test_grows_by_what_was_seen_only(self) -> None:
        model = ServerModel().with_ended([finished(0, 0.001)])
        assert exports_allowed(model, 5.0) <= 2 + FIRST_LIMIT

    @given(
        st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), max_size=60),
        st.floats(0.0, 10.0),
    )
    def test_is_never_below_two_nor_beyond_the_most(
        self, exports: list[tuple[float, float]], interval: float
    ) -> None:
        model = ServerModel().with_ended([finished(*export) for export in exports])
        assert 2 <= exports_allowed(model, interval) <= MOST_IN_FLIGHT


class TestAdoption:
    listed_at = EPOCH

    @pytest.mark.parametrize(
        ("started_after", "seen_queued", "adopted"),
        [
            (None, True, True),
            (-5.0, True, True),  # seen in the queue after the listing: it went back to it
            (None, False, False),
            (-5.0, False, False),
            (0.9, False, False),  # within the resolution of the Date header
            (1.5, False, True),
        ],
    )
    def test_only_what_began_after_the_listing(
        self, started_after: float | None, *, seen_queued: bool, adopted: bool
    ) -> None:
        started = None if started_after is None else EPOCH + timedelta(seconds=started_after)
        request = ExportRequest(id="a", status="started", started_date=started)
        assert may_adopt(request, listed_at=self.listed_at, seen_queued=seen_queued) is adopted

    def test_without_a_listing_only_what_was_seen_queued(self) -> None:
        request = ExportRequest(id="a", status="started", started_date=EPOCH)
        assert not may_adopt(request, listed_at=None, seen_queued=False)
        assert may_adopt(request, listed_at=None, seen_queued=True)


def model_of(
    service: float, workers: int, *, call: float = 0.04, listing: float = 0.05
) -> ServerModel:
    model = ServerModel(call_seconds=call, list_seconds=listing)
    return model.with_ended([finished(n // workers * service, service) for n in range(20)])


class TestDueTimes:
    def test_the_queue_is_first_in_first_out_over_the_workers(self) -> None:
        pending = [Pending(str(n), asked_at=0.0) for n in range(4)]
        assert due_times(model_of(1.0, 2), pending) == pytest.approx([1, 1, 2, 2])

    def test_what_has_started_is_due_from_its_start(self) -> None:
        pending = [Pending("a", 0.0, started_at=5.0), Pending("b", 0.0)]
        assert due_times(model_of(1.0, 1), pending) == pytest.approx([6, 7])

    def test_what_was_seen_in_the_queue_cannot_be_due_before_a_whole_export(self) -> None:
        pending = [Pending("a", 0.0, looked_at=10.0)]
        assert due_times(model_of(2.0, 1), pending)[0] >= 12.0

    def test_a_worker_is_not_free_before_its_last_export_ended(self) -> None:
        pending = [Pending("a", 0.0), Pending("b", 0.0)]
        assert due_times(model_of(1.0, 2), pending, [7.0, 8.0]) == pytest.approx([8, 9])

    def test_an_overdue_export_is_asked_about_less_and_less_often(self) -> None:
        model = model_of(1.0, 1)
        soon = due_times(model, [Pending("a", 0.0, started_at=0.0, looked_at=2.0)])[0] - 2.0
        late = due_times(model, [Pending("a", 0.0, started_at=0.0, looked_at=20.0)])[0] - 20.0
        assert soon < late <= LONGEST_INTERVAL


class TestNextLook:
    def test_a_single_request_is_asked_about_when_due(self) -> None:
        look = next_look(model_of(1.0, 1), [Pending("a", 10.0)], last_look=0.0, more_to_ask=False)
        assert look.at == pytest.approx(11.0)
        assert look.rq_ids == ("a",)
        assert not look.as_list

    def test_many_are_asked_about_with_one_list_while_it_is_cheaper(self) -> None:
        pending = [Pending(str(n), 0.0) for n in range(12)]
        look = next_look(model_of(0.25, 2), pending, last_look=0.0, more_to_ask=True)
        assert look.as_list
        assert len(look.rq_ids) == 12

    def test_only_those_that_are_due_are_asked_about_singly_where_lists_are_dear(self) -> None:
        pending = [Pending(str(n), 0.0) for n in range(12)]
        model = replace(model_of(0.25, 2), list_seconds=5.0)
        look = next_look(model, pending, last_look=0.0, more_to_ask=False)
        assert not look.as_list
        assert 0 < len(look.rq_ids) < 12

    @pytest.mark.parametrize("model", [ServerModel(), ServerModel(call_seconds=0.04)])
    def test_a_server_without_lists_is_asked_singly(self, model: ServerModel) -> None:
        pending = [Pending(str(n), 0.0) for n in range(12)]
        model = model.without_lists().with_list(0.01)
        look = next_look(model, pending, last_look=0.0, more_to_ask=True)
        assert not look.as_list
        assert poll_interval(model) <= LONGEST_INTERVAL

    def test_a_list_is_waited_for_longer_where_all_calls_are_slow(self) -> None:
        assert list_patience(ServerModel(call_seconds=1.0)) > list_patience(ServerModel())

    @given(
        st.lists(
            st.tuples(
                st.floats(0, 100), st.none() | st.floats(0, 100), st.none() | st.floats(0, 100)
            ),
            min_size=1,
            max_size=30,
        ),
        st.floats(0.01, 100),
        st.integers(1, 8),
        st.booleans(),
    )
    def test_something_is_always_asked_and_never_at_once_again(
        self,
        times: list[tuple[float, float | None, float | None]],
        service: float,
        workers: int,
        more_to_ask: bool,
    ) -> None:
        pending = [Pending(str(n), *row) for n, row in enumerate(times)]
        look = next_look(
            model_of(service, workers), pending, last_look=100.0, more_to_ask=more_to_ask
        )
        assert look.rq_ids
        assert look.at > 100.0

    @given(st.floats(0.001, 1e4), st.integers(1, 16), st.floats(0, 10))
    def test_the_interval_has_bounds(self, service: float, workers: int, cost: float) -> None:
        model = model_of(service, workers, listing=cost)
        assert SHORTEST_INTERVAL <= poll_interval(model) <= LONGEST_INTERVAL


@dataclass
class Queue:
    """A server that is only arithmetic: workers, a queue, service times; and a client of it.

    Asking and looking take `latency` seconds each, one call at a time, as if the server had one
    worker for calls: the pessimist's view.
    """

    tasks: int
    workers: int
    service: Callable[[int], float]
    latency: float
    remembered: int = 0
    busy_until: list[float] = field(default_factory=list)
    ends: dict[str, tuple[float, float]] = field(default_factory=dict)
    ended_at: list[float] = field(default_factory=list)
    looks: int = 0
    calling: float = 0.0

    def run(self) -> float:
        """Run all tasks through the policies; returns when the last end was seen."""
        self.busy_until = [0.0] * self.workers
        now, asked, last_look = 0.0, 0, 0.0
        model = ServerModel()
        pending: dict[str, Pending] = {}
        while asked < self.tasks or pending:
            limit = exports_allowed(model, poll_interval(model))
            while asked < self.tasks and len(pending) < limit:
                now += self.latency
                self.calling += self.latency
                rq_id = str(asked)
                begin = max(heapq.heappop(self.busy_until), now)
                end = begin + self.service(asked)
                heapq.heappush(self.busy_until, end)
                self.ends[rq_id] = (begin, end)
                pending[rq_id] = Pending(rq_id, now)
                asked += 1
            look = next_look(
                model,
                list(pending.values()),
                last_look=last_look,
                more_to_ask=asked < self.tasks,
                ended_at=self.ended_at[-16:],
            )
            now = max(now, look.at)
            now, model, ended = self._look(look.rq_ids, now, model, as_list=look.as_list)
            last_look = now
            for rq_id in look.rq_ids:
                if rq_id in ended:
                    del pending[rq_id]
                else:
                    begin, _ = self.ends[rq_id]
                    pending[rq_id] = replace(
                        pending[rq_id],
                        looked_at=now,
                        started_at=begin if begin <= now else None,
                    )
        return now

    def _look(
        self, rq_ids: tuple[str, ...], now: float, model: ServerModel, *, as_list: bool
    ) -> tuple[float, ServerModel, set[str]]:
        cost = self.latency
        if as_list:
            cost += 0.0017 * (self.remembered + len(self.ends))
            self.looks += 1
            model = model.with_list(cost)
        else:
            self.looks += len(rq_ids)
            model = model.with_call(cost)
            cost *= len(rq_ids)
        now += cost
        self.calling += cost
        ended = {rq_id for rq_id in rq_ids if self.ends[rq_id][1] <= now}
        spans = sorted(self.ends[rq_id] for rq_id in ended)
        self.ended_at.extend(sorted(end for _, end in spans))
        return now, model.with_ended([finished(b, e - b) for b, e in spans]), ended

    @property
    def bound(self) -> float:
        """The least time that the workers need: work shared out evenly, or the longest export."""
        spans = [end - begin for begin, end in self.ends.values()]
        return max(sum(spans) / self.workers, *spans)


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
@pytest.mark.parametrize("service", [0.15, 0.25, 1.0, 5.0])
def test_the_workers_of_a_server_are_kept_busy(workers: int, service: float) -> None:
    queue = Queue(tasks=200, workers=workers, service=lambda _n: service, latency=0.02)
    wall = queue.run()
    # Here one lane carries all calls, which bounds what eight fast workers can get.
    assert wall <= 1.25 * max(queue.bound, queue.calling) + 1.0
    # Exports that take seconds are looked at one by one: a call is nothing beside them.
    assert queue.looks <= (0.6 if service < 1 else 1.1) * 200


def test_exports_of_very_different_length_do_not_starve_the_workers() -> None:
    times = random.Random(7)
    service = [times.expovariate(1 / 0.5) for _ in range(300)]
    queue = Queue(tasks=300, workers=2, service=service.__getitem__, latency=0.02)
    assert queue.run() <= 1.2 * queue.bound


def test_a_server_that_remembers_thousands_of_requests_is_not_listed_to_death() -> None:
    queue = Queue(tasks=200, workers=2, service=lambda _n: 0.25, latency=0.02, remembered=5000)
    wall = queue.run()
    assert wall <= 1.6 * queue.bound
    assert queue.looks <= 2.5 * 200

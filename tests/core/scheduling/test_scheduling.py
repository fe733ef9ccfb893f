"""Check admission, polling, adoption and result URLs, each on its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.requests import ServerRequest
from asynccvat.core.scheduling.admission import FIRST_LIMIT, MOST_IN_FLIGHT, exports_allowed
from asynccvat.core.scheduling.adoption import may_adopt
from asynccvat.core.scheduling.end_times import PendingRequest, ServerQueue, due_times
from asynccvat.core.scheduling.in_flight import InFlight, RequestStage, StatusAnswer
from asynccvat.core.scheduling.intervals import (
    LONGEST_INTERVAL,
    SHORTEST_INTERVAL,
    list_patience,
    poll_interval,
)
from asynccvat.core.scheduling.polling import Demand, Poll, PollMethod, next_poll
from asynccvat.core.scheduling.result_urls import ResultUrlTemplate
from asynccvat.core.scheduling.server_model import DatedExport, ServerModel

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def dated(number: int, started: float, seconds: float, *, waited: float = 1.0) -> DatedExport:
    return DatedExport(number, started - waited, started, started + seconds)


def model_of(
    service: float,
    workers: int,
    *,
    call: float | None = 0.04,
    listing: float | None = 0.05,
    exports: int = 24,
) -> ServerModel:
    """A server that has run exports of one length, one after the other on each worker."""
    model = ServerModel(call_seconds=call, list_seconds=listing, ended=exports)
    return model.with_exports(
        [
            dated(number, 100 + (number - 1) // workers * service, service)
            for number in range(1, exports + 1)
        ]
    )


def pending(count: int, *, predictable: bool = True, first: int = 1) -> tuple[PendingRequest, ...]:
    return tuple(
        PendingRequest(str(n), n, 0.0, predictable=predictable) for n in range(first, first + count)
    )


class TestServerModel:
    def test_a_new_model_is_learning(self) -> None:
        model = ServerModel()
        assert model.export_seconds is None
        assert model.workers == 2
        assert model.occupied_seconds == model.spread == 0
        assert model.is_learning
        assert not model.is_idle

    def test_workers_are_the_greatest_overlap(self) -> None:
        model = ServerModel().with_exports([dated(1, 0, 2), dated(2, 1, 2), dated(3, 1.5, 2)])
        assert model.workers == 3
        assert model.export_seconds == pytest.approx(2)

    def test_an_export_that_begins_as_another_ends_does_not_overlap_it(self) -> None:
        one_by_one = [dated(n, n, 1) for n in range(1, 20)]
        assert ServerModel().with_exports(one_by_one).workers == 1

    def test_workers_without_overlaps_are_counted_by_the_interval_of_starts(self) -> None:
        model = ServerModel().with_exports([dated(n, n * 0.25, 1.0) for n in range(1, 100, 12)])
        assert model.workers == 4
        assert model.occupied_seconds == pytest.approx(1.0)

    def test_fewer_workers_are_noticed(self) -> None:
        model = model_of(1.0, 4)
        assert model.workers == 4
        model = model.with_exports([dated(n, 200 + n * 1.0, 1.0) for n in range(100, 180)])
        assert model.workers == 1

    def test_exports_of_others_occupy_workers_too(self) -> None:
        model = ServerModel().with_exports([dated(n, n * 1.0, 0.25) for n in range(1, 33)])
        assert model.workers == 1
        assert model.export_seconds == pytest.approx(0.25)
        assert model.occupied_seconds == pytest.approx(1.0)

    def test_old_exports_are_forgotten_except_the_latest_dozen(self) -> None:
        model = ServerModel().with_exports([dated(n, n, 1.0) for n in range(1, 200)])
        assert [export.number for export in model.exports] == list(range(136, 200))
        model = model.with_exports([dated(1000, 1000, 1.0)])
        assert len(model.exports) == 12

    def test_a_server_with_a_free_worker_is_idle(self) -> None:
        model = ServerModel().with_exports([dated(1, 0, 1, waited=0.01)])
        assert model.is_idle
        assert not model.with_exports([dated(2, 1, 1, waited=0.5)]).is_idle

    def test_call_times_are_smoothed(self) -> None:
        model = ServerModel().with_call(1.0).with_list(2.0)
        assert (model.call_seconds, model.list_seconds) == (1.0, 2.0)
        model = model.with_call(2.0).with_list(2.0)
        assert 1.0 < (model.call_seconds or 0) < 2.0
        assert model.list_seconds == 2.0

    def test_the_time_of_calls_is_measured_again_after_some_lists(self) -> None:
        model = ServerModel().with_call(1.0)
        for _ in range(7):
            model = model.with_list(0.5)
        assert not model.calls_are_stale
        assert 0.02 < (model.with_call(0.02).call_seconds or 0) < 1.0
        model = model.with_list(0.5)
        assert model.calls_are_stale
        model = model.with_call(0.02)
        assert model.call_seconds == 0.02
        assert not model.calls_are_stale

    def test_predictions_become_earlier_until_one_is_wrong(self) -> None:
        model = ServerModel().with_probe(right=True)
        assert model.early_rate < 1.0
        assert model.with_probe(right=False).early_rate > model.early_rate
        for _ in range(100):
            model = model.with_probe(right=True)
        assert model.early_rate == 0.25
        # Dates say more than speculative fetches.
        assert 0.25 < model.with_exports([dated(1, 0, 1)]).early_rate < 1.0
        assert model.with_exports([]).early_rate == 0.25

    def test_the_hit_rate_follows_predictions(self) -> None:
        model = ServerModel()
        for _ in range(20):
            model = model.with_prediction(right=False)
        assert model.hit_rate < 0.1
        assert model.with_prediction(right=True).hit_rate > model.hit_rate


class TestAdmission:
    def test_the_first_limit_is_low(self) -> None:
        assert exports_allowed(ServerModel()) == FIRST_LIMIT

    def test_a_fixed_limit_is_obeyed(self) -> None:
        assert exports_allowed(ServerModel(), fixed=17) == 17

    def test_the_limit_covers_what_ends_between_two_polls(self) -> None:
        model = model_of(0.5, 2, call=0.0)
        # Eight in two seconds, some during the poll itself, and those that run.
        assert 11 <= exports_allowed(model) <= 13

    def test_the_limit_is_higher_if_exports_differ_in_length(self) -> None:
        even = model_of(0.5, 2)
        uneven = even.with_exports(
            [dated(n, 100 + n * 0.25, 0.1 if n % 2 else 0.9) for n in range(1, 25)]
        )
        assert exports_allowed(uneven) > exports_allowed(even)

    def test_the_first_dates_do_not_lower_the_limit(self) -> None:
        model = ServerModel(ended=1).with_exports([dated(1, 0, 9.0)])
        assert exports_allowed(model) >= FIRST_LIMIT

    def test_the_limit_grows_with_the_exports_that_ended(self) -> None:
        model = ServerModel(ended=1).with_exports([dated(1, 0, 0.001)])
        assert exports_allowed(model) <= 2 + FIRST_LIMIT

    def test_without_dates_the_limit_grows_up_to_a_bound(self) -> None:
        assert FIRST_LIMIT < exports_allowed(ServerModel(ended=100)) < MOST_IN_FLIGHT

    @given(
        st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), max_size=60),
        st.none() | st.floats(0.0, 10.0),
    )
    def test_the_limit_has_bounds(
        self, exports: list[tuple[float, float]], call: float | None
    ) -> None:
        rows = [dated(n, *export) for n, export in enumerate(exports, start=1)]
        model = ServerModel(call_seconds=call, ended=len(rows)).with_exports(rows)
        assert 2 <= exports_allowed(model) <= MOST_IN_FLIGHT


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
    def test_only_exports_begun_after_the_listing_are_adopted(
        self, started_after: float | None, *, seen_queued: bool, adopted: bool
    ) -> None:
        started = None if started_after is None else EPOCH + timedelta(seconds=started_after)
        request = ServerRequest(id="a", status="started", started_date=started)
        assert may_adopt(request, listed_at=self.listed_at, seen_queued=seen_queued) is adopted

    def test_without_a_listing_only_exports_seen_queued_are_adopted(self) -> None:
        request = ServerRequest(id="a", status="started", started_date=EPOCH)
        assert not may_adopt(request, listed_at=None, seen_queued=False)
        assert may_adopt(request, listed_at=None, seen_queued=True)


class TestDueTimes:
    def test_the_queue_is_first_in_first_out_over_the_workers(self) -> None:
        assert due_times(model_of(1.0, 2), ServerQueue(pending(4))) == pytest.approx([1, 1, 2, 2])

    def test_a_started_request_is_due_from_its_start(self) -> None:
        queue = ServerQueue(
            (PendingRequest("a", 1, 0.0, started_at=5.0), PendingRequest("b", 2, 0.0))
        )
        assert due_times(model_of(1.0, 1), queue) == pytest.approx([6, 7])

    def test_a_request_seen_queued_is_due_a_whole_export_later_at_the_earliest(self) -> None:
        queue = ServerQueue((PendingRequest("a", 1, 0.0, queued_at=10.0, polled_at=10.0),))
        assert due_times(model_of(2.0, 1), queue)[0] >= 12.0

    def test_a_worker_is_not_free_before_its_last_export_ended(self) -> None:
        queue = ServerQueue(pending(2), ends=(7.0, 8.0))
        assert due_times(model_of(1.0, 2), queue) == pytest.approx([8, 9])

    def test_an_overtaken_request_has_ended_unless_it_was_seen_since(self) -> None:
        late = PendingRequest("2", 2, 0.0, polled_at=9.0)
        queue = ServerQueue((*pending(1), late, *pending(1, first=3)), overtaken=3)
        ended, running, queued = due_times(model_of(1.0, 2), queue)
        assert ended == 0.0
        assert 9.0 < running < 11.0
        assert queued == pytest.approx(1.0)

    def test_an_overdue_request_is_polled_less_and_less_often(self) -> None:
        def after(polled_at: float) -> float:
            queue = ServerQueue((PendingRequest("a", 1, 0.0, started_at=0.0, polled_at=polled_at),))
            return due_times(model_of(1.0, 1), queue)[0] - polled_at

        assert after(2.0) < after(20.0) <= LONGEST_INTERVAL


def poll(
    model: ServerModel, queue: ServerQueue, *, may_fetch: bool = True, room: bool = True
) -> Poll:
    found = next_poll(model, queue, may_fetch=may_fetch, room=room)
    assert found is not None
    return found


class TestNextLook:
    def test_the_result_of_a_single_request_is_fetched_when_due(self) -> None:
        found = poll(model_of(1.0, 1), ServerQueue((PendingRequest("a", 1, 10.0),)))
        assert found.at == pytest.approx(11.0, abs=0.1)
        assert (found.rq_ids, found.method) == (("a",), PollMethod.FETCH)

    def test_an_unpredictable_request_is_polled_by_a_call(self) -> None:
        queue = ServerQueue((PendingRequest("a", 1, 10.0, predictable=False),))
        assert poll(model_of(1.0, 1), queue).method is PollMethod.CALLS
        queue = ServerQueue((PendingRequest("a", 1, 10.0),))
        assert poll(model_of(1.0, 1), queue, may_fetch=False).method is PollMethod.CALLS

    def test_after_an_early_fetch_the_status_is_read(self) -> None:
        queue = ServerQueue((PendingRequest("a", 1, 10.0, polled_at=11.0, doubtful=True),))
        assert poll(model_of(1.0, 1), queue).method is PollMethod.CALLS

    def test_while_more_are_to_come_a_request_deep_in_the_queue_is_probed(self) -> None:
        queue = ServerQueue(pending(12), more_to_request=True)
        found = poll(model_of(0.25, 2), queue)
        assert found.method is PollMethod.FETCH
        (rq_id,) = found.rq_ids
        assert int(rq_id) >= 4

    def test_without_room_for_a_fetch_the_probe_is_a_call(self) -> None:
        queue = ServerQueue(pending(12), more_to_request=True)
        found = poll(model_of(0.25, 2), queue, room=False)
        assert found.method is PollMethod.CALLS
        assert len(found.rq_ids) == 1

    def test_all_overtaken_results_are_fetched_at_once(self) -> None:
        queue = ServerQueue(pending(8), more_to_request=True, last_poll=5.0, overtaken=8)
        found = poll(model_of(0.25, 2), queue)
        assert (found.at, found.method) == (5.0, PollMethod.FETCH)
        assert set(found.rq_ids) == {str(n) for n in range(1, 8)}

    def test_a_probe_under_way_is_while_probing_but_not_for_ever(self) -> None:
        queue = ServerQueue(
            (*pending(8), replace(pending(1, first=9)[0], fetching=True)),
            more_to_request=True,
            probing_until=50.0,
        )
        assert poll(model_of(0.25, 2), queue).at == 50.0
        assert poll(model_of(0.25, 2), replace(queue, probing_until=None)).at < 5.0

    def test_nothing_is_polled_while_all_results_are_being_fetched(self) -> None:
        queue = ServerQueue(tuple(replace(one, fetching=True) for one in pending(3)))
        assert next_poll(model_of(0.25, 2), queue, may_fetch=True, room=True) is None

    def test_after_a_miss_a_request_nearer_to_the_front_is_polled(self) -> None:
        queue = ServerQueue(pending(12), more_to_request=True)
        deep = int(poll(model_of(0.25, 2), queue).rq_ids[0])
        assert int(poll(model_of(0.25, 2), replace(queue, missed=1)).rq_ids[0]) < deep

    def test_a_status_is_read_now_and_then_for_its_dates(self) -> None:
        queue = ServerQueue(pending(12), more_to_request=True, without_dates=30)
        assert poll(model_of(0.25, 2), queue).method is PollMethod.CALLS
        assert (
            poll(model_of(0.25, 2), ServerQueue(pending(2), without_dates=30)).method
            is PollMethod.CALLS
        )

    def test_the_status_of_long_exports_is_always_read(self) -> None:
        assert (
            poll(model_of(9.0, 2), ServerQueue(pending(12), more_to_request=True)).method
            is PollMethod.CALLS
        )

    def test_the_status_of_neighbours_is_read_if_the_server_is_idle(self) -> None:
        model = model_of(0.25, 2, listing=5.0).with_exports([dated(25, 200, 0.25, waited=0.0)])
        found = poll(model, ServerQueue(pending(12), more_to_request=True))
        assert found.method is PollMethod.CALLS
        assert 1 < len(found.rq_ids) <= 4
        assert poll_interval(model) < poll_interval(model_of(0.25, 2))

    def test_after_many_wrong_predictions_statuses_are_read(self) -> None:
        model = replace(model_of(0.25, 2), hit_rate=0.1)
        assert poll(model, ServerQueue(pending(12), more_to_request=True)).method is PollMethod.LIST

    def test_many_requests_are_polled_with_one_list_while_that_is_cheaper(self) -> None:
        queue = ServerQueue(pending(12, predictable=False), more_to_request=True)
        found = poll(model_of(0.25, 2), queue)
        assert found.method is PollMethod.LIST
        assert len(found.rq_ids) == 12

    def test_a_list_that_only_seemed_cheaper_is_noticed(self) -> None:
        # One call that the server kept waiting; its lists take ten times as long as others do.
        model = model_of(0.25, 2, call=0.4, listing=0.4)
        queue = ServerQueue(pending(12, predictable=False), more_to_request=True)
        methods = []
        for _ in range(20):
            found = poll(model, queue)
            methods.append(found.method)
            if found.method is PollMethod.LIST:
                model = model.with_list(0.4)
                continue
            for _ in found.rq_ids:
                model = model.with_call(0.01)
        assert methods == [PollMethod.LIST] * 8 + [PollMethod.CALLS] * 12

    def test_if_lists_are_expensive_only_due_requests_are_polled(self) -> None:
        model = replace(model_of(0.25, 2), list_seconds=5.0)
        found = poll(model, ServerQueue(pending(12, predictable=False), more_to_request=True))
        assert found.method is PollMethod.CALLS
        assert 0 < len(found.rq_ids) < 12

    def test_the_first_list_is_read_when_many_requests_are_due(self) -> None:
        model = replace(model_of(0.25, 2), list_seconds=None)
        many = ServerQueue(pending(12, predictable=False), more_to_request=True)
        assert poll(model, many).method is PollMethod.LIST
        few = ServerQueue(pending(2, predictable=False))
        assert poll(model, few).method is PollMethod.CALLS

    @pytest.mark.parametrize("call", [None, 0.04])
    def test_a_server_without_lists_is_polled_by_calls(self, call: float | None) -> None:
        model = model_of(0.25, 2, call=call).without_lists().with_list(0.01)
        queue = ServerQueue(pending(12, predictable=False), more_to_request=True)
        assert poll(model, queue).method is PollMethod.CALLS

    def test_few_calls_are_made_before_anything_is_known(self) -> None:
        found = poll(ServerModel(), ServerQueue(pending(4), more_to_request=True))
        assert found.method is PollMethod.CALLS
        assert len(found.rq_ids) <= 2

    def test_a_list_may_take_longer_if_all_calls_are_slow(self) -> None:
        assert list_patience(ServerModel(call_seconds=1.0)) > list_patience(ServerModel())

    @given(
        times=st.lists(
            st.tuples(
                st.floats(0, 100), st.none() | st.floats(0, 100), st.none() | st.floats(0, 100)
            ),
            min_size=1,
            max_size=30,
        ),
        service=st.floats(0.01, 100),
        workers=st.integers(1, 8),
        more_to_request=st.booleans(),
        missed=st.integers(0, 3),
        overtaken=st.integers(0, 30),
    )
    def test_there_is_always_a_next_poll_and_after_a_miss_not_at_once(
        self,
        *,
        times: list[tuple[float, float | None, float | None]],
        service: float,
        workers: int,
        more_to_request: bool,
        missed: int,
        overtaken: int,
    ) -> None:
        rows = tuple(
            PendingRequest(str(n), n, asked, started_at=started, polled_at=polled)
            for n, (asked, started, polled) in enumerate(times, start=1)
        )
        queue = ServerQueue(
            rows,
            more_to_request=more_to_request,
            last_poll=100.0,
            missed=missed,
            overtaken=overtaken,
        )
        found = poll(model_of(service, workers), queue)
        assert found.rq_ids
        assert len(set(found.rq_ids)) == len(found.rq_ids)
        assert found.at >= 100.0
        if missed and found.method is not PollMethod.FETCH:
            assert found.at > 100.0

    @given(st.floats(0.001, 1e4), st.integers(1, 16))
    def test_the_interval_has_bounds(self, service: float, workers: int) -> None:
        interval = poll_interval(model_of(service, workers))
        assert SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL


class TestInFlight:
    def test_without_requests_there_is_nothing_to_poll(self) -> None:
        assert InFlight().next_poll(Demand(more_to_request=False, may_fetch=True)) is None

    def test_a_removed_request_is_forgotten(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.remove("a")
        inflight.resolve("a", 1.0, found=True)
        inflight.note_answers([StatusAnswer("a", RequestStage.ENDED)], 1.0)
        assert inflight.next_poll(Demand(more_to_request=False, may_fetch=True)) is None
        assert inflight.model.ended == 0

    def test_the_servers_clock_may_be_ahead_by_years(self) -> None:
        inflight = InFlight()
        inflight.add("a", 5.0, ours=True)
        inflight.note_answers(
            [StatusAnswer("a", RequestStage.STARTED, created=1e9, started=1e9 + 2)], 9.0
        )
        assert inflight.started_at("a") == pytest.approx(7.0)

    def test_quick_calls_compare_the_clocks_better_than_slow_ones(self) -> None:
        inflight = InFlight()
        inflight.add("slow", 50.0, ours=True, uncertainty=10.0)
        inflight.add("quick", 60.0, ours=True, uncertainty=0.1)
        inflight.note_answers(
            [
                StatusAnswer("quick", RequestStage.STARTED, created=160.0, started=161.0),
                StatusAnswer("slow", RequestStage.STARTED, created=141.0, started=162.0),
            ],
            70.0,
        )
        assert inflight.started_at("quick") == pytest.approx(61.0, abs=0.1)
        assert inflight.started_at("slow") == pytest.approx(62.0, abs=0.1)

    def test_a_clock_that_was_set_is_followed(self) -> None:
        inflight = InFlight()
        inflight.add("a", 10.0, ours=True, uncertainty=0.1)
        inflight.add("b", 20.0, ours=True, uncertainty=0.1)
        inflight.note_answers(
            [StatusAnswer("a", RequestStage.STARTED, created=110.0, started=111.0)], 30.0
        )
        inflight.note_answers(
            [StatusAnswer("b", RequestStage.STARTED, created=220.0, started=221.0)], 30.0
        )
        assert inflight.started_at("b") == pytest.approx(21.0)

    def test_requests_of_others_do_not_compare_the_clocks(self) -> None:
        inflight = InFlight()
        inflight.add("a", 5.0, ours=False)
        inflight.note_answers(
            [StatusAnswer("a", RequestStage.STARTED, created=1e9, started=1e9 + 2)], 9.0
        )
        assert inflight.started_at("a") == 9.0

    def test_a_request_can_go_back_to_the_queue(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.note_answers([StatusAnswer("a", RequestStage.STARTED, 0.0, 1.0)], 2.0)
        assert inflight.started_at("a") == pytest.approx(1.0)
        inflight.note_answers([StatusAnswer("a", RequestStage.QUEUED, 0.0)], 3.0)
        assert inflight.started_at("a") is None

    @pytest.mark.parametrize(
        "answer",
        [
            StatusAnswer("a", RequestStage.ENDED),
            StatusAnswer("a", RequestStage.ENDED, 0.0, None, 3.0),
         StatusAnswer("a", RequestStage.ENDED, 0.0, 3.0, 2.0)],
    )  # fmt: skip
    def test_an_export_without_dates_can_end(self, answer: StatusAnswer) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.note_answers([answer], 4.0)
        assert inflight.model.ended == 1
        assert inflight.model.exports == ()

    def test_an_export_without_a_creation_date_counts_as_begun_at_once(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.note_answers([StatusAnswer("a", RequestStage.ENDED, None, 1.0, 2.0)], 4.0)
        assert inflight.model.exports == (DatedExport(1, 1.0, 1.0, 2.0),)

    def test_an_early_fetch_is_followed_by_a_status_call(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.model = model_of(0.25, 1)
        found = inflight.next_poll(Demand(more_to_request=False, may_fetch=True))
        assert found is not None
        assert found.method is PollMethod.FETCH
        inflight.begin_fetches(found.rq_ids, 0.5)
        assert inflight.next_poll(Demand(more_to_request=False, may_fetch=True)) is None
        inflight.resolve("a", 1.0, found=False)
        found = inflight.next_poll(Demand(more_to_request=False, may_fetch=True))
        assert found is not None
        assert found.method is PollMethod.CALLS

    def test_a_removed_probe_delays_no_poll(self) -> None:
        inflight = InFlight()
        for number in range(12):
            inflight.add(str(number), 0.0, ours=True)
        inflight.model = model_of(0.25, 2)
        found = inflight.next_poll(Demand(more_to_request=True, may_fetch=True))
        assert found is not None
        inflight.begin_fetches(found.rq_ids, 0.5)
        while_probing = inflight.next_poll(Demand(more_to_request=True, may_fetch=True))
        inflight.remove(found.rq_ids[0])
        without_probe = inflight.next_poll(Demand(more_to_request=True, may_fetch=True))
        assert while_probing is not None
        assert without_probe is not None
        assert without_probe.at < while_probing.at

    def test_dates_correct_guessed_ends(self) -> None:
        inflight = InFlight()
        inflight.model = model_of(1.0, 1, exports=8)
        for number in range(6):
            inflight.add(str(number), 100.0, ours=True)
        # The first end has dates. The second is only known to be past: it is taken as predicted.
        inflight.note_answers([StatusAnswer("0", RequestStage.ENDED, 0.0, 0.0, 1.0)], 101.5)
        inflight.begin_fetches(["1"], 0.5)
        inflight.resolve("1", 105.0, found=True)
        # The third began half a second later than predicted, so the second must have ended later.
        inflight.note_answers([StatusAnswer("2", RequestStage.STARTED, 0.0, 2.5)], 105.0)
        found = inflight.next_poll(Demand(more_to_request=False, may_fetch=False))
        assert found is not None
        assert inflight.started_at("2") == pytest.approx(102.5)


class TestResultUrlTemplate:
    ORIGIN = "https://cvat.example.com"

    def url(self, task_id: int) -> str:
        rq_id = f"action%3Dexport%26target%3Dtask%26target_id%3D{task_id}%26user_id%3D1"
        return f"{self.ORIGIN}/api/tasks/{task_id}/dataset/download?rq_id={rq_id}"

    def rq_id(self, task_id: int) -> str:
        return f"action=export&target=task&target_id={task_id}&user_id=1"

    def test_one_url_gives_all_others(self) -> None:
        template = ResultUrlTemplate()
        assert not template.known
        assert template.predict(self.rq_id(7), 7) is None
        template = template.with_url(self.rq_id(3), 3, self.url(3))
        assert template.known
        assert template.predict(self.rq_id(77), 77) == self.url(77)

    def test_a_url_that_differs_from_its_prediction_ends_predictions(self) -> None:
        template = ResultUrlTemplate().with_url(self.rq_id(3), 3, self.url(3))
        assert template.with_url(self.rq_id(4), 4, self.url(4)) == template
        template = template.with_url(self.rq_id(5), 5, self.url(5) + "&part=2")
        assert not template.known
        assert template.predict(self.rq_id(77), 77) is None
        assert template.with_url(self.rq_id(3), 3, self.url(3)) == template

    def test_a_doubt_lasts_until_a_url_is_named_as_predicted(self) -> None:
        template = ResultUrlTemplate().with_url(self.rq_id(3), 3, self.url(3)).doubted()
        assert not template.known
        assert template.predict(self.rq_id(4), 4) is None
        assert template.with_url(self.rq_id(4), 4, "/elsewhere").reliable is False
        template = template.with_url(self.rq_id(4), 4, self.url(4))
        assert template.predict(self.rq_id(5), 5) == self.url(5)

    def test_many_doubts_in_a_row_end_predictions(self) -> None:
        template = ResultUrlTemplate().with_url(self.rq_id(3), 3, self.url(3))
        assert template.confirmed() is template
        for number in range(20):
            template = template.doubted().with_url(self.rq_id(4), 4, self.url(4))
            if number % 4 == 3:
                template = template.confirmed()
        assert template.known, "never many in a row"
        for _ in range(9):
            template = template.doubted().with_url(self.rq_id(4), 4, self.url(4))
        assert not template.known
        assert not template.reliable

    def test_a_url_without_the_request_id_gives_no_template(self) -> None:
        template = ResultUrlTemplate().with_url("a-b", 3, f"{self.ORIGIN}/results/123.zip")
        assert not template.known

    @given(
        st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=12),
        st.integers(1, 10**6),
        st.integers(1, 10**6),
    )
    def test_ids_of_other_forms_are_found(self, word: str, one: int, other: int) -> None:
        def result_url(task_id: int) -> str:
            return f"{self.ORIGIN}/tasks/{task_id}/result?id={word}-{task_id}&x=1"

        template = ResultUrlTemplate().with_url(f"{word}-{one}", one, result_url(one))
        predicted = template.predict(f"{word}-{other}", other)
        assert predicted in (result_url(other), None)

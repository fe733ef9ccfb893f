"""Admission, polling and adoption, each by itself: what they decide from what they are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.models import ServerRequest
from asynccvat.core.scheduling.admission import FIRST_LIMIT, MOST_IN_FLIGHT, exports_allowed
from asynccvat.core.scheduling.adoption import may_adopt
from asynccvat.core.scheduling.in_flight import InFlight, RequestStage, StatusAnswer
from asynccvat.core.scheduling.polling import (
    LONGEST_INTERVAL,
    SHORTEST_INTERVAL,
    Demand,
    How,
    Look,
    Pending,
    Queue,
    due_times,
    list_patience,
    look_interval,
    next_look,
)
from asynccvat.core.scheduling.result_urls import ResultUrlTemplate
from asynccvat.core.scheduling.server_model import Seen, ServerModel

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def seen(number: int, started: float, seconds: float, *, waited: float = 1.0) -> Seen:
    return Seen(number, started - waited, started, started + seconds)


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
            seen(number, 100 + (number - 1) // workers * service, service)
            for number in range(1, exports + 1)
        ]
    )


def pending(count: int, *, predictable: bool = True, first: int = 1) -> tuple[Pending, ...]:
    return tuple(
        Pending(str(n), n, 0.0, predictable=predictable) for n in range(first, first + count)
    )


class TestServerModel:
    def test_knows_nothing_at_first(self) -> None:
        model = ServerModel()
        assert model.export_seconds is None
        assert model.workers == 2
        assert model.occupied_seconds == model.spread == 0
        assert model.is_learning
        assert not model.is_idle

    def test_workers_are_the_greatest_overlap(self) -> None:
        model = ServerModel().with_exports([seen(1, 0, 2), seen(2, 1, 2), seen(3, 1.5, 2)])
        assert model.workers == 3
        assert model.export_seconds == pytest.approx(2)

    def test_an_export_that_begins_as_another_ends_is_no_overlap(self) -> None:
        one_by_one = [seen(n, n, 1) for n in range(1, 20)]
        assert ServerModel().with_exports(one_by_one).workers == 1

    def test_workers_that_are_seen_seldom_are_counted_by_the_pace(self) -> None:
        model = ServerModel().with_exports([seen(n, n * 0.25, 1.0) for n in range(1, 100, 12)])
        assert model.workers == 4
        assert model.occupied_seconds == pytest.approx(1.0)

    def test_follows_a_server_that_lost_its_workers(self) -> None:
        model = model_of(1.0, 4)
        assert model.workers == 4
        model = model.with_exports([seen(n, 200 + n * 1.0, 1.0) for n in range(100, 180)])
        assert model.workers == 1

    def test_the_exports_of_others_between_ours_are_counted_in(self) -> None:
        model = ServerModel().with_exports([seen(n, n * 1.0, 0.25) for n in range(1, 33)])
        assert model.workers == 1
        assert model.export_seconds == pytest.approx(0.25)
        assert model.occupied_seconds == pytest.approx(1.0)

    def test_exports_of_long_ago_are_forgotten_but_for_some(self) -> None:
        model = ServerModel().with_exports([seen(n, n, 1.0) for n in range(1, 200)])
        assert [export.number for export in model.exports] == list(range(136, 200))
        model = model.with_exports([seen(1000, 1000, 1.0)])
        assert len(model.exports) == 12

    def test_a_server_with_a_free_worker_is_idle(self) -> None:
        model = ServerModel().with_exports([seen(1, 0, 1, waited=0.01)])
        assert model.is_idle
        assert not model.with_exports([seen(2, 1, 1, waited=0.5)]).is_idle

    def test_call_times_are_smoothed(self) -> None:
        model = ServerModel().with_call(1.0).with_list(2.0)
        assert (model.call_seconds, model.list_seconds) == (1.0, 2.0)
        model = model.with_call(2.0).with_list(2.0)
        assert 1.0 < (model.call_seconds or 0) < 2.0
        assert model.list_seconds == 2.0

    def test_the_time_of_calls_is_measured_anew_after_some_lists(self) -> None:
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

    def test_what_is_predicted_comes_sooner_until_it_is_wrong(self) -> None:
        model = ServerModel().with_probe(right=True)
        assert model.early_rate < 1.0
        assert model.with_probe(right=False).early_rate > model.early_rate
        for _ in range(100):
            model = model.with_probe(right=True)
        assert model.early_rate == 0.25
        # Dates are worth more than what tries showed.
        assert 0.25 < model.with_exports([seen(1, 0, 1)]).early_rate < 1.0
        assert model.with_exports([]).early_rate == 0.25

    def test_luck_follows_what_was_predicted(self) -> None:
        model = ServerModel()
        for _ in range(20):
            model = model.with_prediction(right=False)
        assert model.hit_rate < 0.1
        assert model.with_prediction(right=True).hit_rate > model.hit_rate


class TestAdmission:
    def test_begins_with_few(self) -> None:
        assert exports_allowed(ServerModel()) == FIRST_LIMIT

    def test_the_users_choice_is_obeyed(self) -> None:
        assert exports_allowed(ServerModel(), fixed=17) == 17

    def test_covers_what_ends_between_two_looks(self) -> None:
        model = model_of(0.5, 2, call=0.0)
        # Eight in two seconds, some in the time that a look takes, and those that run.
        assert 11 <= exports_allowed(model) <= 13

    def test_more_where_exports_differ_in_length(self) -> None:
        even = model_of(0.5, 2)
        uneven = even.with_exports(
            [seen(n, 100 + n * 0.25, 0.1 if n % 2 else 0.9) for n in range(1, 25)]
        )
        assert exports_allowed(uneven) > exports_allowed(even)

    def test_what_one_worker_told_does_not_make_fewer(self) -> None:
        model = ServerModel(ended=1).with_exports([seen(1, 0, 9.0)])
        assert exports_allowed(model) >= FIRST_LIMIT

    def test_grows_by_what_was_seen_only(self) -> None:
        model = ServerModel(ended=1).with_exports([seen(1, 0, 0.001)])
        assert exports_allowed(model) <= 2 + FIRST_LIMIT

    def test_a_server_that_tells_no_dates_gets_some_more(self) -> None:
        assert FIRST_LIMIT < exports_allowed(ServerModel(ended=100)) < MOST_IN_FLIGHT

    @given(
        st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), max_size=60),
        st.none() | st.floats(0.0, 10.0),
    )
    def test_is_never_below_two_nor_beyond_the_most(
        self, exports: list[tuple[float, float]], call: float | None
    ) -> None:
        rows = [seen(n, *export) for n, export in enumerate(exports, start=1)]
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
    def test_only_what_began_after_the_listing(
        self, started_after: float | None, *, seen_queued: bool, adopted: bool
    ) -> None:
        started = None if started_after is None else EPOCH + timedelta(seconds=started_after)
        request = ServerRequest(id="a", status="started", started_date=started)
        assert may_adopt(request, listed_at=self.listed_at, seen_queued=seen_queued) is adopted

    def test_without_a_listing_only_what_was_seen_queued(self) -> None:
        request = ServerRequest(id="a", status="started", started_date=EPOCH)
        assert not may_adopt(request, listed_at=None, seen_queued=False)
        assert may_adopt(request, listed_at=None, seen_queued=True)


class TestDueTimes:
    def test_the_queue_is_first_in_first_out_over_the_workers(self) -> None:
        assert due_times(model_of(1.0, 2), Queue(pending(4))) == pytest.approx([1, 1, 2, 2])

    def test_what_has_started_is_due_from_its_start(self) -> None:
        queue = Queue((Pending("a", 1, 0.0, started_at=5.0), Pending("b", 2, 0.0)))
        assert due_times(model_of(1.0, 1), queue) == pytest.approx([6, 7])

    def test_what_was_seen_in_the_queue_cannot_be_due_before_a_whole_export(self) -> None:
        queue = Queue((Pending("a", 1, 0.0, queued_at=10.0, looked_at=10.0),))
        assert due_times(model_of(2.0, 1), queue)[0] >= 12.0

    def test_a_worker_is_not_free_before_its_last_export_ended(self) -> None:
        queue = Queue(pending(2), ends=(7.0, 8.0))
        assert due_times(model_of(1.0, 2), queue) == pytest.approx([8, 9])

    def test_what_was_overtaken_has_ended_unless_it_was_seen_since(self) -> None:
        late = Pending("2", 2, 0.0, looked_at=9.0)
        queue = Queue((*pending(1), late, *pending(1, first=3)), overtaken=3)
        ended, running, queued = due_times(model_of(1.0, 2), queue)
        assert ended == 0.0
        assert 9.0 < running < 11.0
        assert queued == pytest.approx(1.0)

    def test_an_overdue_export_is_asked_about_less_and_less_often(self) -> None:
        def after(looked_at: float) -> float:
            queue = Queue((Pending("a", 1, 0.0, started_at=0.0, looked_at=looked_at),))
            return due_times(model_of(1.0, 1), queue)[0] - looked_at

        assert after(2.0) < after(20.0) <= LONGEST_INTERVAL


def look(model: ServerModel, queue: Queue, *, may_fetch: bool = True, room: bool = True) -> Look:
    found = next_look(model, queue, may_fetch=may_fetch, room=room)
    assert found is not None
    return found


class TestNextLook:
    def test_a_single_request_is_tried_when_due(self) -> None:
        found = look(model_of(1.0, 1), Queue((Pending("a", 1, 10.0),)))
        assert found.at == pytest.approx(11.0, abs=0.1)
        assert (found.rq_ids, found.how) == (("a",), How.FETCH)

    def test_what_cannot_be_tried_is_asked_about(self) -> None:
        queue = Queue((Pending("a", 1, 10.0, predictable=False),))
        assert look(model_of(1.0, 1), queue).how is How.ASK
        queue = Queue((Pending("a", 1, 10.0),))
        assert look(model_of(1.0, 1), queue, may_fetch=False).how is How.ASK

    def test_what_was_tried_too_early_is_asked_about(self) -> None:
        queue = Queue((Pending("a", 1, 10.0, looked_at=11.0, doubtful=True),))
        assert look(model_of(1.0, 1), queue).how is How.ASK

    def test_while_more_are_to_come_one_deep_in_the_queue_is_tried(self) -> None:
        queue = Queue(pending(12), more_to_request=True)
        found = look(model_of(0.25, 2), queue)
        assert found.how is How.FETCH
        (rq_id,) = found.rq_ids
        assert int(rq_id) >= 4

    def test_without_room_for_a_try_it_is_asked_about(self) -> None:
        queue = Queue(pending(12), more_to_request=True)
        found = look(model_of(0.25, 2), queue, room=False)
        assert found.how is How.ASK
        assert len(found.rq_ids) == 1

    def test_those_before_one_that_ended_are_tried_together(self) -> None:
        queue = Queue(pending(8), more_to_request=True, last_look=5.0, overtaken=8)
        found = look(model_of(0.25, 2), queue)
        assert (found.at, found.how) == (5.0, How.FETCH)
        assert set(found.rq_ids) == {str(n) for n in range(1, 8)}

    def test_a_try_that_is_to_tell_of_all_is_waited_for_but_not_for_ever(self) -> None:
        queue = Queue(
            (*pending(8), replace(pending(1, first=9)[0], fetching=True)),
            more_to_request=True,
            probing_until=50.0,
        )
        assert look(model_of(0.25, 2), queue).at == 50.0
        assert look(model_of(0.25, 2), replace(queue, probing_until=None)).at < 5.0

    def test_nothing_is_looked_at_where_all_are_tried(self) -> None:
        queue = Queue(tuple(replace(one, fetching=True) for one in pending(3)))
        assert next_look(model_of(0.25, 2), queue, may_fetch=True, room=True) is None

    def test_after_a_miss_one_nearer_to_the_front_is_looked_at(self) -> None:
        queue = Queue(pending(12), more_to_request=True)
        deep = int(look(model_of(0.25, 2), queue).rq_ids[0])
        assert int(look(model_of(0.25, 2), replace(queue, missed=1)).rq_ids[0]) < deep

    def test_dates_are_asked_for_now_and_then(self) -> None:
        queue = Queue(pending(12), more_to_request=True, without_dates=30)
        assert look(model_of(0.25, 2), queue).how is How.ASK
        assert look(model_of(0.25, 2), Queue(pending(2), without_dates=30)).how is How.ASK

    def test_exports_that_take_long_are_always_asked_about(self) -> None:
        assert look(model_of(9.0, 2), Queue(pending(12), more_to_request=True)).how is How.ASK

    def test_neighbours_are_asked_about_where_the_server_is_idle(self) -> None:
        model = model_of(0.25, 2, listing=5.0).with_exports([seen(25, 200, 0.25, waited=0.0)])
        found = look(model, Queue(pending(12), more_to_request=True))
        assert found.how is How.ASK
        assert 1 < len(found.rq_ids) <= 4
        assert look_interval(model) < look_interval(model_of(0.25, 2))

    def test_tries_are_given_up_where_prediction_fails(self) -> None:
        model = replace(model_of(0.25, 2), hit_rate=0.1)
        assert look(model, Queue(pending(12), more_to_request=True)).how is How.LIST

    def test_many_are_asked_about_with_one_list_while_it_is_cheaper(self) -> None:
        queue = Queue(pending(12, predictable=False), more_to_request=True)
        found = look(model_of(0.25, 2), queue)
        assert found.how is How.LIST
        assert len(found.rq_ids) == 12

    def test_a_list_that_only_seemed_cheaper_is_found_out(self) -> None:
        # One call that the server kept waiting; its lists take ten times as long as others do.
        model = model_of(0.25, 2, call=0.4, listing=0.4)
        queue = Queue(pending(12, predictable=False), more_to_request=True)
        looks = []
        for _ in range(20):
            found = look(model, queue)
            looks.append(found.how)
            if found.how is How.LIST:
                model = model.with_list(0.4)
                continue
            for _ in found.rq_ids:
                model = model.with_call(0.01)
        assert looks == [How.LIST] * 8 + [How.ASK] * 12

    def test_only_those_that_are_due_are_asked_about_singly_where_lists_are_dear(self) -> None:
        model = replace(model_of(0.25, 2), list_seconds=5.0)
        found = look(model, Queue(pending(12, predictable=False), more_to_request=True))
        assert found.how is How.ASK
        assert 0 < len(found.rq_ids) < 12

    def test_the_first_list_is_asked_for_where_many_are_due(self) -> None:
        model = replace(model_of(0.25, 2), list_seconds=None)
        many = Queue(pending(12, predictable=False), more_to_request=True)
        assert look(model, many).how is How.LIST
        few = Queue(pending(2, predictable=False))
        assert look(model, few).how is How.ASK

    @pytest.mark.parametrize("call", [None, 0.04])
    def test_a_server_without_lists_is_asked_singly(self, call: float | None) -> None:
        model = model_of(0.25, 2, call=call).without_lists().with_list(0.01)
        queue = Queue(pending(12, predictable=False), more_to_request=True)
        assert look(model, queue).how is How.ASK

    def test_little_is_asked_before_anything_is_known(self) -> None:
        found = look(ServerModel(), Queue(pending(4), more_to_request=True))
        assert found.how is How.ASK
        assert len(found.rq_ids) <= 2

    def test_a_list_is_waited_for_longer_where_all_calls_are_slow(self) -> None:
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
    def test_something_is_always_looked_at_and_after_a_miss_not_at_once(
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
            Pending(str(n), n, asked, started_at=started, looked_at=looked)
            for n, (asked, started, looked) in enumerate(times, start=1)
        )
        queue = Queue(
            rows,
            more_to_request=more_to_request,
            last_look=100.0,
            missed=missed,
            overtaken=overtaken,
        )
        found = look(model_of(service, workers), queue)
        assert found.rq_ids
        assert len(set(found.rq_ids)) == len(found.rq_ids)
        assert found.at >= 100.0
        if missed and found.how is not How.FETCH:
            assert found.at > 100.0

    @given(st.floats(0.001, 1e4), st.integers(1, 16))
    def test_the_interval_has_bounds(self, service: float, workers: int) -> None:
        interval = look_interval(model_of(service, workers))
        assert SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL


class TestInFlight:
    def test_without_exports_there_is_nothing_to_look_at(self) -> None:
        assert InFlight().next_look(Demand(more_to_request=False, may_fetch=True)) is None

    def test_an_export_that_nobody_waits_for_is_forgotten(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.remove("a")
        inflight.resolve("a", 1.0, found=True)
        inflight.answered([StatusAnswer("a", RequestStage.ENDED)], 1.0)
        assert inflight.next_look(Demand(more_to_request=False, may_fetch=True)) is None
        assert inflight.model.ended == 0

    def test_the_servers_clock_may_be_ahead_by_years(self) -> None:
        inflight = InFlight()
        inflight.add("a", 5.0, ours=True)
        inflight.answered(
            [StatusAnswer("a", RequestStage.STARTED, created=1e9, started=1e9 + 2)], 9.0
        )
        assert inflight.started_at("a") == pytest.approx(7.0)

    def test_quick_calls_tell_more_of_the_clocks_than_slow_ones(self) -> None:
        inflight = InFlight()
        inflight.add("slow", 50.0, ours=True, uncertainty=10.0)
        inflight.add("quick", 60.0, ours=True, uncertainty=0.1)
        inflight.answered(
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
        inflight.answered(
            [StatusAnswer("a", RequestStage.STARTED, created=110.0, started=111.0)], 30.0
        )
        inflight.answered(
            [StatusAnswer("b", RequestStage.STARTED, created=220.0, started=221.0)], 30.0
        )
        assert inflight.started_at("b") == pytest.approx(21.0)

    def test_the_requests_of_others_tell_nothing_of_the_clocks(self) -> None:
        inflight = InFlight()
        inflight.add("a", 5.0, ours=False)
        inflight.answered(
            [StatusAnswer("a", RequestStage.STARTED, created=1e9, started=1e9 + 2)], 9.0
        )
        assert inflight.started_at("a") == 9.0

    def test_a_request_can_go_back_to_the_queue(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.answered([StatusAnswer("a", RequestStage.STARTED, 0.0, 1.0)], 2.0)
        assert inflight.started_at("a") == pytest.approx(1.0)
        inflight.answered([StatusAnswer("a", RequestStage.QUEUED, 0.0)], 3.0)
        assert inflight.started_at("a") is None

    @pytest.mark.parametrize(
        "answer",
        [
            StatusAnswer("a", RequestStage.ENDED),
            StatusAnswer("a", RequestStage.ENDED, 0.0, None, 3.0),
         StatusAnswer("a", RequestStage.ENDED, 0.0, 3.0, 2.0)],
    )  # fmt: skip
    def test_an_export_without_dates_ended_all_the_same(self, answer: StatusAnswer) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.answered([answer], 4.0)
        assert inflight.model.ended == 1
        assert inflight.model.exports == ()

    def test_an_export_without_its_creation_counts_as_begun_at_once(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.answered([StatusAnswer("a", RequestStage.ENDED, None, 1.0, 2.0)], 4.0)
        assert inflight.model.exports == (Seen(1, 1.0, 1.0, 2.0),)

    def test_a_try_that_came_too_early_is_followed_by_a_question(self) -> None:
        inflight = InFlight()
        inflight.add("a", 0.0, ours=True)
        inflight.model = model_of(0.25, 1)
        found = inflight.next_look(Demand(more_to_request=False, may_fetch=True))
        assert found is not None
        assert found.how is How.FETCH
        inflight.begin_fetches(found.rq_ids, 0.5)
        assert inflight.next_look(Demand(more_to_request=False, may_fetch=True)) is None
        inflight.resolve("a", 1.0, found=False)
        found = inflight.next_look(Demand(more_to_request=False, may_fetch=True))
        assert found is not None
        assert found.how is How.ASK

    def test_a_removed_try_holds_nothing_up(self) -> None:
        inflight = InFlight()
        for number in range(12):
            inflight.add(str(number), 0.0, ours=True)
        inflight.model = model_of(0.25, 2)
        found = inflight.next_look(Demand(more_to_request=True, may_fetch=True))
        assert found is not None
        inflight.begin_fetches(found.rq_ids, 0.5)
        waited_for = inflight.next_look(Demand(more_to_request=True, may_fetch=True))
        inflight.remove(found.rq_ids[0])
        looked_at = inflight.next_look(Demand(more_to_request=True, may_fetch=True))
        assert waited_for is not None
        assert looked_at is not None
        assert looked_at.at < waited_for.at

    def test_what_was_guessed_is_set_right_by_dates(self) -> None:
        inflight = InFlight()
        inflight.model = model_of(1.0, 1, exports=8)
        for number in range(6):
            inflight.add(str(number), 100.0, ours=True)
        # One end by its dates, one that is only known to lie behind: it is taken as predicted.
        inflight.answered([StatusAnswer("0", RequestStage.ENDED, 0.0, 0.0, 1.0)], 101.5)
        inflight.begin_fetches(["1"], 0.5)
        inflight.resolve("1", 105.0, found=True)
        # The third began half a second later than predicted, and so must have the second ended.
        inflight.answered([StatusAnswer("2", RequestStage.STARTED, 0.0, 2.5)], 105.0)
        found = inflight.next_look(Demand(more_to_request=False, may_fetch=False))
        assert found is not None
        assert inflight.started_at("2") == pytest.approx(102.5)


class TestResultPlaces:
    ORIGIN = "https://cvat.example.com"

    def url(self, task_id: int) -> str:
        rq_id = f"action%3Dexport%26target%3Dtask%26target_id%3D{task_id}%26user_id%3D1"
        return f"{self.ORIGIN}/api/tasks/{task_id}/dataset/download?rq_id={rq_id}"

    def rq_id(self, task_id: int) -> str:
        return f"action=export&target=task&target_id={task_id}&user_id=1"

    def test_one_place_tells_that_of_all(self) -> None:
        places = ResultUrlTemplate()
        assert not places.known
        assert places.predict(self.rq_id(7), 7) is None
        places = places.with_url(self.rq_id(3), 3, self.url(3))
        assert places.known
        assert places.predict(self.rq_id(77), 77) == self.url(77)

    def test_what_differs_from_the_predicted_ends_the_prediction(self) -> None:
        places = ResultUrlTemplate().with_url(self.rq_id(3), 3, self.url(3))
        assert places.with_url(self.rq_id(4), 4, self.url(4)) == places
        places = places.with_url(self.rq_id(5), 5, self.url(5) + "&part=2")
        assert not places.known
        assert places.predict(self.rq_id(77), 77) is None
        assert places.with_url(self.rq_id(3), 3, self.url(3)) == places

    def test_a_doubt_lasts_until_a_place_is_named_as_predicted(self) -> None:
        places = ResultUrlTemplate().with_url(self.rq_id(3), 3, self.url(3)).doubted()
        assert not places.known
        assert places.predict(self.rq_id(4), 4) is None
        assert places.with_url(self.rq_id(4), 4, "/elsewhere").reliable is False
        places = places.with_url(self.rq_id(4), 4, self.url(4))
        assert places.predict(self.rq_id(5), 5) == self.url(5)

    def test_many_doubts_in_a_row_end_the_prediction(self) -> None:
        places = ResultUrlTemplate().with_url(self.rq_id(3), 3, self.url(3))
        assert places.confirmed() is places
        for number in range(20):
            places = places.doubted().with_url(self.rq_id(4), 4, self.url(4))
            if number % 4 == 3:
                places = places.confirmed()
        assert places.known, "never many in a row"
        for _ in range(9):
            places = places.doubted().with_url(self.rq_id(4), 4, self.url(4))
        assert not places.known
        assert not places.reliable

    def test_a_place_without_the_request_tells_nothing(self) -> None:
        places = ResultUrlTemplate().with_url("a-b", 3, f"{self.ORIGIN}/results/123.zip")
        assert not places.known

    @given(
        st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=12),
        st.integers(1, 10**6),
        st.integers(1, 10**6),
    )
    def test_other_forms_of_ids_are_found_too(self, word: str, one: int, other: int) -> None:
        def place(task_id: int) -> str:
            return f"{self.ORIGIN}/tasks/{task_id}/result?id={word}-{task_id}&x=1"

        places = ResultUrlTemplate().with_url(f"{word}-{one}", one, place(one))
        predicted = places.predict(f"{word}-{other}", other)
        assert predicted in (place(other), None)

"""Check how dates tell the result of a request from an earlier one of the same id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.requests import ServerRequest
from asynccvat.core.scheduling.result_dates import EarlierResults, ResultAge, ResultDates

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def shown(seconds: float) -> datetime:
    """A moment as an HTTP header shows it."""
    return after(seconds).replace(microsecond=0)


def earlier(*finished: float | None, listed: bool = True) -> EarlierResults:
    """Earlier results of the id "one", finished at these moments, as the server lists them."""
    results = EarlierResults()
    if listed:
        results.note_list(
            ServerRequest(
                id="one",
                status="finished",
                finished_date=None if seconds is None else after(seconds),
            )
            for seconds in finished
        )
    return results


def dates(requested: float | None, modified: float | None, sent: float | None) -> ResultDates:
    return ResultDates(
        *(None if seconds is None else shown(seconds) for seconds in (requested, modified, sent))
    )


@pytest.mark.parametrize(
    ("given_dates", "results", "age"),
    [
        pytest.param(dates(5, 6, 7), earlier(), ResultAge.NEW, id="later"),
        pytest.param(dates(5, 5, 5), earlier(), ResultAge.NEW, id="same-second"),
        pytest.param(dates(5, 5, 5), earlier(-3600), ResultAge.NEW, id="earlier-is-old"),
        pytest.param(dates(5, 4, 7), earlier(), ResultAge.OLD, id="older"),
        pytest.param(dates(5, 4, 3), earlier(), ResultAge.OLD, id="older-and-impossible"),
        pytest.param(dates(5, 5, 7), earlier(4.9), ResultAge.UNSURE, id="earlier-is-young"),
        pytest.param(dates(5, 9, 9), earlier(-4), ResultAge.UNSURE, id="clocks-may-differ"),
        pytest.param(dates(5, 5, 7), earlier(None), ResultAge.UNSURE, id="earlier-without-date"),
        pytest.param(dates(5, 5, 7), earlier(listed=False), ResultAge.UNSURE, id="no-list"),
        pytest.param(dates(5, 6, 7), earlier(listed=False), ResultAge.UNSURE, id="no-list-next"),
        pytest.param(dates(5, 7, 7), earlier(listed=False), ResultAge.NEW, id="no-list-later"),
        pytest.param(dates(5, 9, 7), earlier(), ResultAge.UNKNOWN, id="from-the-future"),
        pytest.param(dates(None, 6, 7), earlier(), ResultAge.UNKNOWN, id="no-request-date"),
        pytest.param(dates(5, None, 7), earlier(), ResultAge.UNKNOWN, id="no-last-modified"),
        pytest.param(dates(5, 6, None), earlier(), ResultAge.UNKNOWN, id="no-download-date"),
    ],
)
def test_the_age_of_a_result(
    given_dates: ResultDates, results: EarlierResults, age: ResultAge
) -> None:
    assert given_dates.age(results, "one") is age


def test_an_id_that_was_requested_twice_in_a_run_has_an_earlier_result() -> None:
    results = earlier()
    results.note_request("one")
    assert dates(5, 5, 6).age(results, "one") is ResultAge.NEW
    results.note_request("one")
    assert dates(5, 5, 6).age(results, "one") is ResultAge.UNSURE
    assert dates(5, 5, 6).age(results, "two") is ResultAge.NEW


@pytest.mark.parametrize(
    ("given_dates", "agree"),
    [
        (dates(5, 5, 5), True),
        (dates(5, 4, 5), False),
        (dates(5, 9, 6), False),
        (dates(None, 5, 5), False),
        (dates(5, None, 5), False),
        (dates(5, 5, None), False),
    ],
)
def test_dates_that_agree(given_dates: ResultDates, agree: bool) -> None:
    assert given_dates.agree is agree


age_of_earlier = st.floats(0, 7200)
until_read = st.floats(0, 120)


@given(age_of_earlier, until_read, st.floats(-3600, 3600))
def test_an_earlier_result_is_never_new_if_the_list_shows_it(
    age: float, wait: float, proxy: float
) -> None:
    """Whatever the clock of the proxy that writes `Date` says."""
    given_dates = dates(proxy, -age, wait + proxy)
    assert given_dates.age(earlier(-age), "one") is not ResultAge.NEW


@given(age_of_earlier, until_read, st.floats(-0.99, 0.99), st.floats(0, 0.999))
def test_an_earlier_result_is_never_new_without_a_list(
    age: float, wait: float, proxy: float, moment: float
) -> None:
    given_dates = dates(moment + proxy, moment - age, moment + wait + proxy)
    assert given_dates.age(earlier(listed=False), "one") is not ResultAge.NEW


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 0.999), st.floats(12, 7200))
def test_a_new_result_is_recognized(export: float, wait: float, moment: float, age: float) -> None:
    given_dates = dates(moment, moment + export, moment + export + wait)
    assert given_dates.age(earlier(-age), "one") is ResultAge.NEW
    assert given_dates.agree

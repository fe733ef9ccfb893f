"""Check when the rounds of a watch are, and what its options refuse."""

from __future__ import annotations

from typing import Any

import pytest

from asynccvat.core.options.watch import WatchOptions
from asynccvat.core.watching.schedule import is_time_for_all, rounds_until_retry, wait_after
from asynccvat.errors import ConfigError

MINUTE = WatchOptions(every=60)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 54.0), (0.5, 60.0), (1.0, 66.0)])
def test_waits_differ_by_a_tenth(chance: float, seconds: float) -> None:
    assert wait_after(MINUTE, 0, chance) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("every", "failures", "seconds"),
    [(60, 1, 120), (60, 2, 240), (60, 5, 900), (60, 1000, 900), (7200, 3, 7200)],
)
def test_waits_double_after_errors_up_to_a_bound(
    every: float, failures: int, seconds: float
) -> None:
    assert wait_after(WatchOptions(every=every), failures, 0.5) == pytest.approx(seconds)


def test_a_failed_task_is_tried_again_after_ever_more_rounds() -> None:
    assert [rounds_until_retry(times) for times in (1, 2, 3, 6, 7, 100)] == [1, 2, 4, 32, 32, 32]


def test_all_tasks_are_listed_after_their_time() -> None:
    options = WatchOptions(full_every=100)
    assert not is_time_for_all(options, 1099.0, 1000.0)
    assert is_time_for_all(options, 1100.0, 1000.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every": 0}, "every must be a positive number, not 0"),
        ({"full_every": -1.0}, "full_every must be"),
        ({"every": "5m"}, "every must be a positive number, not '5m'"),
        ({"changes_at_once": True}, "changes_at_once must be"),
        ({"changes_at_once": 1.5}, "changes_at_once must be a whole number"),
    ],
)
def test_options_are_positive_numbers(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WatchOptions(**given)

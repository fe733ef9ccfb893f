"""Which states of a task's annotations a mirror has kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.states import (
    AnnotationState,
    KeptVersion,
    annotation_states,
    date_of_version,
    in_order,
    kept_version,
    place_of,
    read_moment,
    state_at,
)
from asynccvat.errors import ConfigError

ANNOTATIONS = "annotations.json"


def day(number: int) -> str:
    return f"2026-01-{number:02}T08:00:00.000000Z"


def versions(*given: tuple[int, Sequence[str]], current: int = 20) -> list[KeptVersion]:
    kept = [kept_version(day(number), files, 100.0 * number) for number, files in given]
    now = KeptVersion(None, day(current), {ANNOTATIONS, "task.json"}, math.inf)
    return in_order(kept, now)


def since(states: Sequence[AnnotationState]) -> list[str]:
    return [one.since[8:10] for one in states]


def test_each_version_with_annotations_begins_a_state() -> None:
    states = annotation_states(versions((5, [ANNOTATIONS]), (1, [ANNOTATIONS, "task.json"])))
    assert since(states) == ["01", "05", "20"]
    assert [one.version for one in states] == [day(1), day(5), None]


def test_annotations_that_stayed_are_one_state() -> None:
    kept = versions((1, ["task.json"]), (2, ["jobs.json"]), (3, [ANNOTATIONS]), (4, ["task.json"]))
    states = annotation_states(kept)
    assert since(states) == ["01", "04"]
    assert [one.version for one in states] == [day(3), None]
    assert place_of("task.json", kept, 1) == 3
    assert place_of("labels.json", kept, 0) is None


def test_a_state_whose_file_was_edited_and_replaced_is_lost() -> None:
    kept = versions((1, ["task.json"]), (2, [ANNOTATIONS]))
    states = annotation_states(kept, edited_at=[101.0])
    assert [(one.since[8:10], one.is_known) for one in states] == [
        ("01", False),
        ("02", True),
        ("20", True),
    ]
    with pytest.raises(ConfigError, match="are lost: their file was edited in the mirror"):
        state_at(states, read_moment("2026-01-01"), 7)
    assert state_at(states, read_moment("2026-01-02"), 7).version == day(2)
    assert all(one.is_known for one in annotation_states(kept, edited_at=[5.0, 900.0]))


def test_the_state_of_a_day_is_the_last_one_of_that_day() -> None:
    states = annotation_states(versions((1, [ANNOTATIONS]), (5, [ANNOTATIONS])))
    for text, expected in (
        ("2026-01-01", day(1)),
        ("2026-01-04", day(1)),
        ("2026-01-05", day(5)),
        ("2026-01-05T07:00", day(1)),
        ("2026-01-05T10:00+03:00", day(1)),
        ("2026-12-01", None),
    ):
        assert state_at(states, read_moment(text), 7).version == expected


def test_a_day_before_the_first_state_is_refused_with_the_oldest() -> None:
    states = annotation_states(versions((1, [ANNOTATIONS])))
    with pytest.raises(ConfigError, match="of task 7 are kept from before 2025-12-31T23:59:59Z"):
        state_at(states, read_moment("2025-12-31"), 7)
    with pytest.raises(ConfigError, match=r"of task 7 are kept .*Z\. `asynccvat log`"):
        state_at([], read_moment("2025-12-31"), 7)


def test_a_task_without_annotations_has_no_state() -> None:
    assert annotation_states([KeptVersion(None, day(1), {"task.json"}, math.inf)]) == []


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9999-12-31T24:00", "2026"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no date\. Write a day like 2026-11-01"):
        read_moment(text)


def test_a_second_means_its_end_so_that_shown_dates_can_be_given_back() -> None:
    assert read_moment("2026-01-01T08:00:05Z").microsecond == 999_999
    assert read_moment("2026-01-01T08:00:05+01:00").microsecond == 999_999
    assert read_moment("2026-01-01T08:00:05.25Z").microsecond == 250_000
    assert read_moment("2026-01-01T08:00").microsecond == 0


def test_the_last_day_of_the_calendar_is_a_date() -> None:
    assert read_moment("9999-12-31").year == 9999


def test_versions_of_one_date_are_ordered_by_their_numbers() -> None:
    names = [f"{day(1)}-10", day(1), f"{day(1)}-2", "2026-01-01T075959.000000Z", "unknown"]
    kept = in_order(
        [kept_version(name, [], 0.0) for name in names], KeptVersion(None, day(2), [], math.inf)
    )
    assert [one.name for one in kept] == [names[4], names[3], names[1], names[2], names[0], None]
    assert [one.date for one in kept[:3]] == [
        "unknown",
        "2026-01-01T07:59:59Z",
        "2026-01-01T08:00:00Z",
    ]


def test_a_date_without_a_zone_is_utc() -> None:
    assert date_of_version("2026-01-01T08:00:00-3") == (datetime(2026, 1, 1, 8, tzinfo=UTC), 3)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_the_state_of_each_version_is_that_of_the_next_file(
    has: list[bool], data: st.DataObject
) -> None:
    kept = versions(*((n + 1, [ANNOTATIONS] if one else []) for n, one in enumerate(has)))
    asked = data.draw(st.integers(0, len(has) - 1))
    found = state_at(annotation_states(kept), read_moment(day(asked + 1)), 7)
    following = [n for n in range(asked, len(has)) if has[n]]
    assert found.version == (day(following[0] + 1) if following else None)

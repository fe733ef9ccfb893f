"""Why tasks failed, in words that hold for all of them."""

from __future__ import annotations

import pytest

from asynccvat.core.causes import cause_key, common_cause, shared_words


@pytest.mark.parametrize(
    ("message", "common"),
    [
        ("task 57: the archive is damaged", "the archive is damaged"),
        (
            "the server could not export task 57: killed",
            "the server could not export the task: killed",
        ),
        ("cannot write 'data/task57': disk full", "cannot write '...': disk full"),
        ("cannot write data/task57/a.jpg: disk full", "cannot write .../a.jpg: disk full"),
        ("street is empty", "... is empty"),
        ("member 57 of 570 is damaged", "member ... of 570 is damaged"),
        ("http://10.0.0.57:57/api/tasks/57 is gone", "http://10.0.0.57:57/api/tasks/... is gone"),
        ("https://street.example.com answered 400", "https://street.example.com answered 400"),
    ],
)
def test_what_is_a_tasks_own_is_left_out(message: str, common: str) -> None:
    own = ("data/task57", "street")
    assert common_cause(message, target="task", id_=57, own=own) == common


def test_a_short_name_is_left_out_as_a_word_alone() -> None:
    message = "cannot read 'a': a is a folder, http://a answered"
    common = "cannot read '...': ... is ... folder, http://a answered"
    assert common_cause(message, target="task", id_=0, own=("a",)) == common


def test_a_target_without_id_and_name_keeps_its_message() -> None:
    assert common_cause("no 0 here", target="task", id_=0, own=("", None)) == "no 0 here"


def test_messages_that_differ_in_numbers_have_one_cause() -> None:
    first, second = (cause_key("X", "task", f"took {n} s") for n in ("1.5", "20:00"))
    assert first == second
    assert first != cause_key("Y", "task", "took 1.5 s")


@pytest.mark.parametrize(
    ("messages", "shared"),
    [
        (["it has 3 issues"], "it has 3 issues"),
        (["task 7 of 9 is there. Stop."] * 2, "task 7 of 9 is there. Stop."),
        (["it is task 7, of 9.", "it is task 8, of 9."], "it is task ..., of 9."),
        (["a 1.5 b", "a 2 b"], "a ... b"),
        (["it is task ... now", "it is task 8 now"], "it is task ... now"),
        (["a1b", "a#b"], "a1b"),
    ],
)
def test_numbers_that_differ_are_left_out(messages: list[str], shared: str) -> None:
    assert shared_words(messages) == shared

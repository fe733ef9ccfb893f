"""Check how the arguments of a command are made of a change."""

from __future__ import annotations

import pytest

from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.watching.command_line import CommandTemplate, environment_for
from asynccvat.core.watching.rounds import TaskChange, change_of
from asynccvat.errors import ConfigError

HOSTILE = """a b; rm -rf $HOME "x' {path} `id`"""
CHANGE = TaskChange(task_id=7, name=HOSTILE, action=Action.FETCHED, path="/data/task7")


def test_values_stay_within_their_arguments() -> None:
    template = CommandTemplate.parse("""echo '{name}' "x {task_id}" --to={path} {action}""")
    assert template.arguments_for(CHANGE) == (
        "echo",
        HOSTILE,
        "x 7",
        "--to=/data/task7",
        "fetched",
    )


def test_braces_without_a_word_stay() -> None:
    template = CommandTemplate.parse("""curl -d '{"id": {task_id}}' x""")
    assert template.arguments_for(CHANGE)[2] == '{"id": 7}'


def test_the_environment_has_the_values_too() -> None:
    assert environment_for(CHANGE) == {
        "ASYNCCVAT_PATH": "/data/task7",
        "ASYNCCVAT_TASK_ID": "7",
        "ASYNCCVAT_NAME": HOSTILE,
        "ASYNCCVAT_ACTION": "fetched",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("echo 'x", r"cannot split .* into arguments: no closing quotation\. Quote it"),
        (
            "echo {pth}",
            r"cannot use the command 'echo \{pth\}': there is no \{pth\}. Use \{path\}, ",
        ),
        ("{path}/run", "may not depend on the change"),
    ],
)
def test_commands_that_cannot_work_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CommandTemplate.parse(text)


def test_outcomes_that_change_nothing_on_disk_are_no_changes() -> None:
    outcome = TaskOutcome(task_id=1, name="n", action=Action.KEPT, reason="unchanged")
    assert change_of(outcome, "/data/task1") is None


def test_a_fetched_task_is_a_change() -> None:
    outcome = TaskOutcome(task_id=7, name=HOSTILE, action=Action.FETCHED, reason="new")
    assert change_of(outcome, "/data/task7") == TaskChange(
        task_id=7, name=HOSTILE, action=Action.FETCHED, path="/data/task7", reason="new"
    )

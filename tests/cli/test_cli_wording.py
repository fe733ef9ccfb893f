"""The words of usage errors and summaries."""

from __future__ import annotations

import pytest

from asynccvat import Action, RunReport, TaskOutcome, cli, errors
from asynccvat.cli import output


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("Missing argument 'DEST'.", "Missing argument 'DEST'."),
        ("No such command 'x'. Did you mean 'y'?", "No such command 'x'. Did you mean 'y'?"),
        ("No such option: -x (Possible options: -y)", "No such option: -x (Possible options: -y)."),
        (
            "Invalid value for '--status': Value error,\n 'x' is not one of 'y'.",
            "Invalid value for --status: 'x' is not one of 'y'.",
        ),
        (
            "Invalid value for --retries: Input should be a valid integer, unable to parse",
            "Invalid value for --retries: give a whole number.",
        ),
        (
            "Invalid value for --retries: Input should be greater than or equal to 0",
            "Invalid value for --retries: give 0 or more.",
        ),
        (
            "Invalid value for --bwlimit: 'x' will not do",
            "Invalid value for --bwlimit: 'x' will not do.",
        ),
    ],
)
def test_usage_errors_are_one_sentence_in_one_style(message: str, sentence: str) -> None:
    assert cli.as_sentence(message) == sentence


def test_a_run_stopped_by_an_error_was_not_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = RunReport(interrupted=True, stopped_by=errors.ConfigError("no such format"))
    output.summary(stopped, "data")
    assert capsys.readouterr().out.startswith("Stopped after 0.0 s: 0 tasks (none done yet)")


@pytest.mark.parametrize(
    ("actions", "start"),
    [
        ((Action.KEPT, Action.SKIPPED), "Done in 0.0 s, nothing to do: 2 tasks "),
        ((Action.KEPT, Action.FETCHED), "Done in 0.0 s: 2 tasks "),
    ],
)
def test_a_run_with_nothing_to_do_says_so(
    capsys: pytest.CaptureFixture[str], actions: tuple[Action, ...], start: str
) -> None:
    outcomes = tuple(
        TaskOutcome(task_id=number, action=action, reason="unchanged")
        for number, action in enumerate(actions)
    )
    output.summary(RunReport(outcomes=outcomes), "data")
    assert capsys.readouterr().out.startswith(start)

"""The words of usage errors and summaries."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from asynccvat import Action, RunReport, TaskOutcome, cli, errors
from asynccvat.cli import usage
from asynccvat.cli.summary import write_summary


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("No such command 'x'. Did you mean 'y'?", "there is no command 'x'. Did you mean 'y'?"),
        ("Option '--name' requires an argument.", "--name has no value. Give one after it."),
        (
            "Invalid value for '--status': Value error,\n 'x' is not one of 'y', 'z'.",
            "--status 'x' is not accepted. Give y or z.",
        ),
        (
            "Invalid value for '--images / --no-images': it is given twice",
            "--images is given twice.",
        ),
        # As older versions of typer say it.
        (
            "Invalid value for --retries: Input should be a valid integer, unable to parse",
            "--retries: give a whole number.",
        ),
        (
            "Invalid value for --retries: Input should be greater than or equal to 0",
            "--retries: give 0 or more.",
        ),
        ("Invalid value for --bwlimit: 'x' will not do", "--bwlimit 'x' will not do."),
        ("Invalid value for --out-dir: name a folder", "--out-dir: name a folder."),
    ],
)
def test_usage_errors_are_one_sentence_in_one_style(message: str, sentence: str) -> None:
    assert usage.as_sentence(message) == sentence


def test_a_run_stopped_by_an_error_was_not_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = RunReport(interrupted=True, stopped_by=errors.ConfigError("no such format"))
    write_summary(stopped, "data")
    assert capsys.readouterr().out.startswith("Stopped after 0.0 s: 0 tasks (none done yet)")


def test_a_run_that_a_guard_refused_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    write_summary(RunReport(guard="nothing is deleted"), "data")
    assert capsys.readouterr().out.startswith("Refused after 0.0 s: 0 tasks (none done)")


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
    write_summary(RunReport(outcomes=outcomes), "data")
    assert capsys.readouterr().out.startswith(start)


def test_a_run_has_something_to_do_if_a_guard_refused_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = TaskOutcome(task_id=1, action=Action.KEPT, reason="absent")
    write_summary(RunReport(outcomes=(kept,), guard="nothing is removed"), "data")
    assert capsys.readouterr().out.startswith("Done in 0.0 s: 1 task (1 unchanged)")


def test_a_shell_may_complete_a_command_with_a_repeated_option() -> None:
    command: Any = get_command(cli.app)
    arguments = ["list-tasks", "--name", "a", "--name", "b", "--sta"]
    context = command.make_context("asynccvat", arguments, resilient_parsing=True)
    child = command.commands["list-tasks"]
    assert child.make_context("list-tasks", arguments[1:-1], parent=context, resilient_parsing=True)


def test_the_help_shows_no_range_as_a_formula() -> None:
    runner = CliRunner()
    for command in ("mirror", "upload", "simulate", "verify"):
        shown = runner.invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert " N " in shown
        assert not re.search(r"x[<>]=|<=x", shown), command
    assert "at most 128" in runner.invoke(cli.app, ["mirror", "-h"], env={"COLUMNS": "200"}).output

"""The summary of a run with failures: causes, and commands that retry them as they are printed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Shell

from asynccvat import errors
from asynccvat.cli.summary import failure_lines, write_summary
from asynccvat.cli.typed import TypedCommand
from asynccvat.core.outcomes import Action, FailedOutcome, RunReport, TaskOutcome
from asynccvat.core.selections.id_lists import MOST_WRITTEN
from asynccvat.core.targets import TargetKind
from asynccvat.events import Planned, TaskDone, TaskStarted, TransferFinished, TransferStarted
from asynccvat.progress import RunProgress
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

VALUED = frozenset(
    {"-t", "--task-id", "--format", "-f", "--url", "--token", "-p", "--password", "--report-json"}
)
KNOWN = VALUED | {"--images", "-v", "-q", "--prune", "--failed-from", "--project-id", "--pair"}


def typed(line: str, *, known: frozenset[str] = KNOWN) -> TypedCommand:
    return TypedCommand(tuple(shlex.split(line)), VALUED, known)


def failed(
    task_id: int, message: str = "no data", target: TargetKind = TargetKind.TASK
) -> FailedOutcome:
    error = errors.ExportFailedError(message)
    return FailedOutcome(
        task_id=task_id, target=target, action=Action.FAILED, reason="new", error=error
    )


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "retried"),
    [
        ("mirror data/", "asynccvat mirror data/ -t 4,9"),
        ("mirror 'my data' -f 'COCO 1.0'", "asynccvat mirror 'my data' -f 'COCO 1.0' -t 4,9"),
        ("mirror d -t 1 --task-id=2,3 -t4", "asynccvat mirror d -t 4,9"),
        ("mirror d -vqt5 --images", "asynccvat mirror d -v -q --images -t 4,9"),
        ("mirror d --prune --images", "asynccvat mirror d --images -t 4,9"),
        ("--url http://me:pw@host mirror d", "asynccvat --url http://host mirror d -t 4,9"),
        ("mirror d --token abc -p pw -ppw", "asynccvat mirror d -t 4,9"),
        ("mirror d -t", "asynccvat mirror d -t 4,9"),
        ("mirror d --report-json r.json -t 1", "asynccvat mirror d -t 4,9"),
    ],
)
def test_a_retry_is_the_command_with_other_targets(line: str, retried: str) -> None:
    assert typed(line).retrying([4, 9]) == retried


def test_many_ids_that_follow_each_other_are_a_range() -> None:
    ids = [777, *range(1, 501)]
    assert typed("mirror d").retrying(ids) == "asynccvat mirror d -t 1-500,777"
    assert typed("mirror d").retrying(ids, "--project-id") is None


def test_words_after_two_dashes_stay_as_they_are() -> None:
    command = typed("mirror -- -t 5")
    assert command.repeated() == "asynccvat mirror -- -t 5"


def test_secrets_are_in_no_command_and_no_representation() -> None:
    command = typed("mirror d --token abc", known=KNOWN)
    assert command.lacks_secrets
    assert "abc" not in command.repeated() + repr(command)
    assert not typed("mirror d").lacks_secrets


@pytest.mark.parametrize(
    ("line", "ids", "known"),
    [
        ("mirror d", [], KNOWN),
        ("mirror d", list(range(1, 3 * MOST_WRITTEN, 2)), KNOWN),
        ("create d", [4], KNOWN - {"-t"}),
        ("upload --pair 4=a.json", [4], KNOWN),
    ],
)
def test_what_no_list_of_ids_chooses_has_no_retry_by_ids(
    line: str, ids: list[int], known: frozenset[str]
) -> None:
    assert typed(line, known=known).retrying(ids) is None


def test_a_report_chooses_what_failed_where_the_command_takes_one() -> None:
    command = typed("mirror d -t 1 --report-json r.json")
    retried = "asynccvat mirror d --report-json r.json --failed-from 'my r.json'"
    assert command.retrying_report(Path("my r.json")) == retried
    assert typed("create d", known=frozenset()).retrying_report(Path("r.json")) is None


# --- the lines ------------------------------------------------------------------------------------


def lines(
    *outcomes: TaskOutcome, line: str = "mirror d", report_file: Path | None = None
) -> list[str]:
    return list(failure_lines(outcomes, typed(line), report_file))


def test_failures_are_grouped_by_cause_each_with_its_command() -> None:
    outcomes = [failed(number) for number in range(1, 8)]
    assert lines(*outcomes, failed(9, "task 9: gone"), report_file=Path("r.json")) == [
        "8 failed, by cause:",
        "  7 tasks (1, 2, 3, 4, 5, ...): no data.",
        "    asynccvat mirror d -t 1,2,3,4,5,6,7",
        "  task 9: gone.",
        "    asynccvat mirror d -t 9",
        "To retry what failed:",
        "    asynccvat mirror d --failed-from r.json",
    ]


def test_one_cause_needs_one_command() -> None:
    assert lines(failed(4), failed(5)) == [
        "2 failed, by cause:",
        "  2 tasks (4, 5): no data.",
        "    asynccvat mirror d -t 4,5",
    ]
    assert lines() == []


def test_where_ids_do_not_help_the_command_is_run_again() -> None:
    jobs = [failed(number, target=TargetKind.JOB) for number in (1, 2)]
    assert lines(*jobs, line="mirror d --token abc")[1:] == [
        "  2 jobs (1, 2): no data.",
        "To retry what failed:",
        "    asynccvat mirror d",
        "Passwords, tokens and headers are left out: add them again.",
    ]
    assert lines(failed(4), line="mirror d --token abc")[-2:] == [
        "    asynccvat mirror d -t 4",
        "Passwords, tokens and headers are left out: add them again.",
    ]
    projects = [failed(number, target=TargetKind.PROJECT) for number in (1, 2)]
    assert lines(*projects)[2] == "    asynccvat mirror d --project-id 1,2"


def test_all_that_failed_is_one_list_of_ids_where_there_is_no_report() -> None:
    outcomes = [failed(5), failed(9, "task 9: gone"), failed(4)]
    assert lines(*outcomes, line="mirror d --all")[-1] == "    asynccvat mirror d -t 4,5,9"
    files = [failed(0), failed(0, "gone")]
    assert (
        lines(*outcomes, *files, line="mirror d --images")[-1] == "    asynccvat mirror d --images"
    )
    mixed = [failed(4), failed(5, "gone", TargetKind.PROJECT)]
    assert lines(*mixed)[-1] == "    asynccvat mirror d"


def test_a_destination_that_remembers_its_projects_is_not_given_others() -> None:
    remembers = typed("backup d --projects", known=KNOWN | {"--change"})
    assert remembers.retrying([2, 3], "--project-id") is None
    assert remembers.retrying([2, 3]) == "asynccvat backup d --projects -t 2,3"


def test_causes_beyond_ten_are_counted() -> None:
    shown = lines(*(failed(number, "no " + "x" * number) for number in range(1, 15)))
    assert "  4 more, by 4 other causes" in shown
    assert sum(line.startswith("  task") for line in shown) == 10


# --- what the time went to ------------------------------------------------------------------------


def test_a_long_run_says_what_its_time_went_to_and_what_was_slow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = RunProgress(0.0)
    done = TaskOutcome(task_id=7, name="street\x1b[2J", action=Action.FETCHED, reason="new")
    for at, event in (
        (2.0, Planned(fetch=1, keep=0, skip=0, move=0, remove=0, refuse=0)),
        (2.0, TaskStarted(7, "street")),
        (2.0, TransferStarted(7, 100, 0)),
        (17.0, TransferFinished(7)),
        (20.0, TaskDone(done)),
    ):
        progress.apply(event, at)
    write_summary(RunReport(outcomes=(done,), seconds=20.0), "d", progress=progress)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Time: 75% the network, 15% the disk, 10% reading lists.",
        "Slowest:",
        "  18 s, 90%, mostly downloading: task 7 'street\N{REPLACEMENT CHARACTER}[2J'",
    ]
    write_summary(RunReport(outcomes=(done,), seconds=4.0), "d", progress=progress)
    assert len(capsys.readouterr().out.splitlines()) == 1


# --- in a shell -----------------------------------------------------------------------------------


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may break it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=3, frames=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def test_the_printed_command_retries_just_what_failed(shell: Shell, own: SimulatedServer) -> None:
    own.faults.add(*(Fault(export="fail", task_id=number) for number in (2, 3)))
    ended = shell("mirror", "my data", "--format", "COCO 1.0", "-t", "1,2,3", "--no-fsync")
    assert ended.code == 1
    _, *printed = ended.out.splitlines()
    assert printed[0] == "2 failed, by cause:"
    assert printed[1].startswith("  2 tasks (2, 3): ")
    command = printed[2].strip()
    assert command == "asynccvat mirror 'my data' --format 'COCO 1.0' --no-fsync -t 2,3"
    again = shell(*shlex.split(command)[1:], "--json")
    assert again.code == 0
    assert sorted(task["task_id"] for task in again.json["tasks"]) == [2, 3]


def retried(shell: Shell, *arguments: str) -> str:
    """Run a command that fails, then the last command of its summary as a shell would."""
    ended = shell(*arguments)
    assert ended.code == 1, ended.out
    command = ended.out.splitlines()[-1].strip()
    assert shell(*shlex.split(command)[1:]).code == 0, command
    return command


def test_projects_that_could_not_be_backed_up_are_retried(
    shell: Shell, own: SimulatedServer
) -> None:
    own.faults.add(Fault(path="/api/projects/1/backup/export", status=400))
    command = retried(shell, "backup", "backups", "--projects", "--no-fsync")
    assert shell("backup", "backups", "--projects").err.startswith(
        f"backups/ holds backups of projects of {own.url}: all projects\n"
    )
    assert command == "asynccvat backup backups --projects --no-fsync"


def test_exports_to_a_bucket_are_retried(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    (tmp_path / "bucket").mkdir()
    own.add_cloud_storage(tmp_path / "bucket")
    own.faults.add(*(Fault(export="fail", task_id=number) for number in (2, 3)))
    command = retried(shell, "export-to-cloud", "--storage", "1", "--project-id", "1")
    assert command == "asynccvat export-to-cloud --storage 1 --project-id 1 -t 2,3"
    assert len(list((tmp_path / "bucket").iterdir())) == 3

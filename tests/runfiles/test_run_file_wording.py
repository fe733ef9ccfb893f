"""The messages of a run file's steps name its keys."""

from __future__ import annotations

import pytest

from asynccvat.core.outcomes import Action, FailedOutcome, RunReport, TaskOutcome
from asynccvat.errors import AnnotationLossError, ServerError
from asynccvat.events import Retrying, RunFinished, ServerPaused, TaskDone, Warned
from asynccvat.runfiles.declarations import DOWNLOAD, MIRROR, UPLOAD
from asynccvat.runfiles.wording import in_keys, reworded_event, reworded_plan


@pytest.mark.parametrize(
    ("task", "text", "words"),
    [
        (MIRROR, "add --change to go on.", "add 'change: true' to go on."),
        (MIRROR, "with --format 'A 1.0' or 'B'.", "with 'format: A 1.0' or 'B'."),
        (MIRROR, "Use --format CVAT to keep", "Use 'format: CVAT' to keep"),
        (MIRROR, "--history 30d keeps it", "'history: 30d' keeps it"),
        (MIRROR, "which --max-time allows", "which 'max_time' allows"),
        (MIRROR, "Raise --max-size if", "Raise 'max_size' if"),
        (MIRROR, "--project-id, or --everything for", "'project_id', or 'everything: true' for"),
        (
            UPLOAD,
            "with --backup-dir, or give --no-backup",
            "with 'backup_dir', or give 'no_backup: true'",
        ),
        (UPLOAD, "(--no-fsync) Give --lossy.", "(--no-fsync) Give 'lossy: true'."),
        (UPLOAD, "--format CVAT", "'dataset_format: CVAT'"),
        (UPLOAD, "--overwrite 3 times", "'overwrite: true' 3 times"),
        (DOWNLOAD, "Use another --folder-prefix.", "Use another 'folder_prefix'."),
        # Commands are typed, and what a step has no key for can only be given to a command.
        (UPLOAD, "Run `asynccvat upload --undo -t 1 --overwrite`, or", None),
        (DOWNLOAD, "Raise --max-size, or see --report-json.", None),
        (MIRROR, "a file named x--change and --change-all", None),
    ],
)
def test_flags_become_the_keys_of_the_step(task: str, text: str, words: str | None) -> None:
    assert in_keys(text, task) == (words or text)


def test_so_they_do_in_events_and_reports() -> None:
    error = AnnotationLossError("task 1: it has 1 track. Give --lossy.", task_id=1)
    failed = FailedOutcome(task_id=1, action=Action.FAILED, reason="loss", error=error)
    warned = TaskOutcome(
        task_id=2, action=Action.UPLOADED, reason="edited", warnings=("see --overwrite",)
    )
    stop = ServerError("it is down (--backup-dir)", status=500)
    report = RunReport(
        outcomes=(failed, warned), stopped_by=stop, guard="--lossy", warnings=("--mode",)
    )
    made = reworded_event(RunFinished(report), UPLOAD)
    assert isinstance(made, RunFinished)
    assert made.report.failures[0].error is error
    assert str(error) == "task 1: it has 1 track. Give 'lossy: true'."
    assert made.report.outcomes[1].warnings == ("see 'overwrite: true'",)
    assert str(made.report.stopped_by) == "it is down ('backup_dir')"
    assert (made.report.guard, made.report.warnings) == ("'lossy: true'", ("'mode'",))
    done = reworded_event(TaskDone(warned), UPLOAD)
    assert isinstance(done, TaskDone)
    assert done.outcome == made.report.outcomes[1]
    assert reworded_event(Warned("--mode"), UPLOAD) == Warned("'mode'")
    retrying = Retrying(1, "import", "--lossy", 1.0)
    assert reworded_event(retrying, UPLOAD) == Retrying(1, "import", "'lossy: true'", 1.0)
    untold = ServerPaused(1.0)
    assert reworded_event(untold, UPLOAD) is untold


def test_so_they_do_in_plans() -> None:
    plan = {
        "guard": "raise --max-delete",
        "warnings": ["use --prune"],
        "steps": [{"name": "--adopt", "detail": "use --adopt"}, {"error": "give --force"}],
    }
    assert reworded_plan(plan, MIRROR) == {
        "guard": "raise 'max_delete'",
        "warnings": ["use 'prune: true'"],
        "steps": [
            {"name": "--adopt", "detail": "use 'adopt: true'"},
            {"error": "give 'force: true'"},
        ],
    }

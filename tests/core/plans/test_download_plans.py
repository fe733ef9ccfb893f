"""What a download does about the folder of a task."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from asynccvat.core.plans.download import Choice, Download, DownloadPlan, choose

CVAT = "CVAT for images 1.1"
EXPORT = ("annotations.xml", "images/a.jpg")


@pytest.mark.parametrize(
    ("present", "skip_existing", "replace", "choice"),
    [
        ((), False, False, Choice.FETCH),
        ((), True, True, Choice.FETCH),
        (EXPORT, True, False, Choice.SKIP),
        (EXPORT, True, True, Choice.SKIP),
        (EXPORT, False, True, Choice.FETCH),
        (EXPORT, False, False, Choice.REFUSE),
        (("notes.txt",), True, True, Choice.REFUSE),
        (("notes.txt",), False, True, Choice.REFUSE),
    ],
)
def test_only_an_export_is_skipped_or_replaced(
    present: tuple[str, ...], skip_existing: bool, replace: bool, choice: Choice
) -> None:
    assert choose(present, CVAT, skip_existing=skip_existing, replace=replace) is choice


def test_a_plan_counts_its_steps_and_says_why() -> None:
    plan = DownloadPlan(
        tuple(Download(choice, number, PurePath("x")) for number, choice in enumerate(Choice, 1))
    )
    assert plan.counts == {"fetch": 1, "skip": 1, "refuse": 1}
    assert [step["reason"] for step in plan.to_json()["steps"]] == [
        "asked for",
        "existing",
        "foreign",
    ]

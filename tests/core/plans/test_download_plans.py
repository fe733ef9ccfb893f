"""Check download plans: what is done with each folder."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from asynccvat.core.plans.download import DownloadChoice, DownloadPlan, PlannedDownload, choose_step

CVAT = "CVAT for images 1.1"
EXPORT = ("annotations.xml", "images/a.jpg")


@pytest.mark.parametrize(
    ("present", "skip_existing", "replace", "choice"),
    [
        ((), False, False, DownloadChoice.FETCH),
        ((), True, True, DownloadChoice.FETCH),
        (EXPORT, True, False, DownloadChoice.SKIP),
        (EXPORT, True, True, DownloadChoice.SKIP),
        (EXPORT, False, True, DownloadChoice.FETCH),
        (EXPORT, False, False, DownloadChoice.REFUSE),
        (("notes.txt",), True, True, DownloadChoice.REFUSE),
        (("notes.txt",), False, True, DownloadChoice.REFUSE),
    ],
)
def test_only_an_export_is_skipped_or_replaced(
    present: tuple[str, ...], skip_existing: bool, replace: bool, choice: DownloadChoice
) -> None:
    assert choose_step(present, CVAT, skip_existing=skip_existing, replace=replace) is choice


def test_a_plan_counts_its_steps_and_says_why() -> None:
    plan = DownloadPlan(
        tuple(
            PlannedDownload(choice, number, PurePath("x"))
            for number, choice in enumerate(DownloadChoice, 1)
        )
    )
    assert plan.counts == {"fetch": 1, "skip": 1, "refuse": 1}
    assert [step["reason"] for step in plan.to_json()["steps"]] == [
        "asked for",
        "existing",
        "foreign",
    ]

"""Large values show their size in one line, not all that they hold."""

from __future__ import annotations

from asynccvat.core.models import TaskListing
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.core.plans.verify import VerifyReport


def test_a_listing_shows_how_many_tasks_it_holds_and_lacks() -> None:
    shown = repr(TaskListing((), complete=False, missing=(7, 8)))
    assert shown == "TaskListing(0 tasks, complete=False, missing=2)"


def test_plans_show_how_many_steps_of_each_kind_they_have() -> None:
    assert repr(DownloadPlan(())).startswith("DownloadPlan(")
    assert repr(UploadPlan(())).startswith("UploadPlan(")


def test_a_report_of_verify_shows_its_numbers() -> None:
    shown = repr(VerifyReport(tasks=3, files=12, seconds=1.26))
    assert shown.startswith("VerifyReport(ok=")
    assert "tasks=3, files=12, problems=0, seconds=1.3" in shown

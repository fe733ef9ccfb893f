"""Build a deletion of a run file, and decide whether it may be carried out.

A run file can be run again, for example by a timer, when its filter finds other tasks. So a
deletion names its targets by their ids, or has the plan of a dry run. It says `yes` and its number,
and is not carried out after a step that failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asynccvat.commands.delete.plan_file import read_plan
from asynccvat.core.options.delete import DeleteOptions, check_selection
from asynccvat.core.plans.delete import check_same_target
from asynccvat.core.selections.id_lists import required
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import ConfigError, EarlierStepError, Problem
from asynccvat.runfiles.building.context import StepContext, path_of
from asynccvat.runfiles.declarations import DELETE
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.reports import StepReport
from asynccvat.runfiles.steps import DeletionStep, RunFile, StepHead
from asynccvat.runfiles.wording import in_keys


def delete(context: StepContext, head: StepHead, section: Section) -> DeletionStep | None:
    """Build a deletion; its keys are the options of the command."""
    selection, places = context.selected(section)
    options = context.options(DeleteOptions, head, section, "require_backup", "log")
    if selection is None or selection == Selection() or options is None:
        return None
    try:
        check_selection(selection, options)
    except ConfigError as error:
        context.reader.report_at(head.place, in_keys(error.message, DELETE))
        return None
    plan = None
    if "plan" in section.values:
        try:
            plan = read_plan(path_of(section.values["plan"]))
            check_same_target(plan, options.target)
        except ConfigError as error:
            context.reader.report(section.entries["plan"].value, in_keys(error.message, DELETE))
            return None
    return DeletionStep(
        **head.fields(places.found),
        selection=selection,
        options=options,
        expect=section.values.get("expect"),
        confirmed=section.values.get("yes", False),
        plan=plan,
    )


def unconfirmed(file: RunFile) -> Iterator[Problem]:
    """Yield why deletions of a file must not be carried out. A dry run needs none of it."""
    for step in file.steps:
        if isinstance(step, DeletionStep):
            yield from (Problem(str(step.place), problem) for problem in _unconfirmed(step))


def _unconfirmed(step: DeletionStep) -> Iterator[str]:
    if step.expect is None or not step.confirmed:
        yield (
            "a step that deletes needs 'yes: true', and 'expect' with the number that `asynccvat "
            "run FILE --dry-run` shows"
        )
    key, ids = "task_id", step.selection.task_ids
    if step.options.projects:
        key, ids = "project_id", step.selection.project_ids
    if step.plan is None and not (ids and len(required(ids)) == len(set(ids))):
        yield (
            "this deletion would find others when the file is run again. Name the "
            f"{step.options.target.plural} by {key!r}, or give 'plan' with the file that "
            "`asynccvat delete --plan FILE` writes"
        )


def refusal(step: object, earlier: Iterable[StepReport]) -> EarlierStepError | None:
    """Return why a step is not carried out after others, None if it is."""
    if not isinstance(step, DeletionStep):
        return None
    failed = [report.step.number for report in earlier if not report.ok]
    if not failed:
        return None
    return EarlierStepError(
        f"step {step.number} deletes nothing: step {failed[0]} did not succeed, and a deletion may "
        "rely on it. Run the file again.",
        step="delete",
    )

"""Take tasks of another dimension than the export format's out of a mirror's plan.

CVAT exports a task of images in a format of point clouds, and the reverse, without any annotation:
the export succeeds and is empty. The server's list of formats has the dimension of each.
"""

from __future__ import annotations

from dataclasses import replace

from asynccvat.core.models import Format, Formats, Task
from asynccvat.core.plans.mirror import Fetch, Keep, MirrorStep, Plan, Reason, Refuse, Skip
from asynccvat.core.specs import ExportSpec

_NAMED_FORMATS = 3
_WAY_OUT = "Fetch it into a folder of its own"


def needs_formats(plan: Plan) -> bool:
    """Whether the server's formats decide about a step of the plan."""
    return any(step.task.dimension is not None for step in plan.of(Fetch))


def other_dimension(
    task: Task, spec: ExportSpec, formats: Formats, *, way_out: str = _WAY_OUT
) -> str | None:
    """Return why an export of a task would hold no annotation; None if its dimension fits.

    Args:
        task: The task. One whose dimension is unknown fits.
        spec: How it is exported.
        formats: The server's formats. One that is unknown fits.
        way_out: What the user can do instead; the option with a format follows.
    """
    format_name = spec.for_mode(task.mode).format
    found = next((one for one in formats.exporters if one.name == format_name), None)
    if found is None or None in (found.dimension, task.dimension):
        return None
    if found.dimension == task.dimension:
        return None
    fitting = [one.name for one in formats.exporters if _is_usable(one, task)]
    instead = "The server has no format for it."
    if fitting:
        named = " or ".join(repr(name) for name in fitting[:_NAMED_FORMATS])
        instead = f"{way_out}, with --format {named}."
    return (
        f"the {spec.target} is {task.dimension}, and {format_name!r} holds the annotations of "
        f"{found.dimension} tasks only. {instead}"
    )


def _is_usable(exporter: Format, task: Task) -> bool:
    return exporter.enabled and exporter.dimension == task.dimension


def without_other_dimensions(
    plan: Plan, spec: ExportSpec, formats: Formats, *, named: bool
) -> Plan:
    """Return a plan that exports only tasks of the format's dimension.

    Args:
        plan: The plan.
        spec: How it is exported.
        formats: The server's formats.
        named: Whether the user named the tasks. They are refused then, and skipped otherwise.
    """

    def checked(step: MirrorStep) -> MirrorStep:
        if not isinstance(step, Fetch):
            return step
        why = other_dimension(step.task, spec, formats)
        return step if why is None else _instead(step, why, named=named)

    return replace(plan, steps=tuple([checked(step) for step in plan.steps]))


def _instead(step: Fetch, why: str, *, named: bool) -> MirrorStep:
    if named:
        return Refuse(step.task_id, step.name, step.folder, Reason.DIMENSION, why)
    if step.previous is None:
        return Skip(step.task_id, step.name, step.folder, Reason.DIMENSION, why)
    return Keep(step.task_id, step.name, step.previous.folder, Reason.DIMENSION, why)

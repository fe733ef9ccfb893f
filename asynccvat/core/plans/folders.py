"""Choose the folder of each target of a mirror: by the prefix and the id, or by a layout.

`core.folder_layouts` makes names by a layout, `core.plans.targets` by a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asynccvat.core.folder_layouts import (
    NAME,
    ORGANIZATION,
    PROJECT,
    PROJECT_ID,
    SUBSET,
    TASK_ID,
    FolderLayout,
    FolderNames,
)
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.targets import JobAsTask, folder_name
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.targets import TargetKind


@dataclass(frozen=True, slots=True)
class FolderContext:
    """What the names of folders are made of, apart from the tasks.

    Attributes:
        projects: The names of projects, by id.
        organization: The organization of the mirror: its slug, "" for the personal workspace, None
            for everything visible.
        stays: Whether each target that has a folder keeps it, whatever its name: in a repair.
    """

    projects: Mapping[int, str] = field(default_factory=dict)
    organization: str | None = None
    stays: bool = False


def folders_of(
    listing: TaskListing,
    receipts: Mapping[int, ReceiptHead],
    target: TargetKind,
    options: MirrorOptions,
    context: FolderContext | None = None,
) -> dict[int, str]:
    """Return the folder of each listed target, by its id.

    Args:
        listing: The targets.
        receipts: The receipts, by id. With a layout, a target keeps its folder if that fits, and
            gets none that another one has.
        target: What the targets are.
        options: Prefix and layout.
        context: What else a layout needs to know.
    """
    context = FolderContext() if context is None else context
    if options.layout is None:
        folders = {task.id: folder_name(target, options.prefix, task) for task in listing.tasks}
    else:
        held = {task_id: head.folder for task_id, head in receipts.items()}
        layout = FolderLayout.parse(options.layout, target)
        names = FolderNames(layout, held)
        folders = {
            task.id: held[task.id]
            if task.id in held and PROJECT in layout.fields and _is_unknown(task, context)
            else names.name(task.id, _values(task, context))
            for task in listing.tasks
        }
    if context.stays:
        folders |= {one: receipts[one].folder for one in folders if one in receipts}
    return folders


def _is_unknown(task: Task, context: FolderContext) -> bool:
    """Whether the server did not tell the name of the task's project. So its folder stays."""
    return task.project_id is not None and task.project_id not in context.projects


def _values(task: Task, context: FolderContext) -> dict[str, str | None]:
    """Return the values of the fields of a target."""
    project = task.project_id
    organization = context.organization
    if organization is None and task.organization_id is not None:
        organization = f"organization{task.organization_id}"
    return {
        TASK_ID: str(task.task_id) if isinstance(task, JobAsTask) else None,
        NAME: task.name,
        PROJECT: None if project is None else context.projects.get(project, f"project{project}"),
        PROJECT_ID: None if project is None else str(project),
        SUBSET: task.subset,
        ORGANIZATION: organization,
    }

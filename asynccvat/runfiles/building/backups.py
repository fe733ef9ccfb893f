"""Build backups, restores and copies."""

from __future__ import annotations

from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.runfiles.building.context import NamedPositions, StepContext, path_of
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.steps import (
    AnnotationsStep,
    BackupStep,
    CopyStep,
    RestoreStep,
    StepHead,
)


def backup(context: StepContext, head: StepHead, section: Section) -> BackupStep | None:
    """Build a backup; its keys are the options of the command."""
    values = section.values
    selection, places = context.selected(section)
    if selection is None or "dest" not in values:
        return None
    options = context.options(BackupOptions, head, section)
    if options is None:
        return None
    return BackupStep(
        **head.fields(places.found),
        dest=path_of(values["dest"]),
        selection=selection,
        options=options,
    )


def restore(
    context: StepContext, head: StepHead, section: Section
) -> RestoreStep | AnnotationsStep | None:
    """Build a restore; its keys are the options of the command."""
    values, places = section.values, NamedPositions()
    if values.get("annotations", False):
        return _annotations(context, head, section)
    for key in ("overwrite", "backup_dir"):
        if key in section.entries:
            context.reader.report(
                section.entries[key].key,
                f"{key!r} is for annotations that are put back into a task, and a restore "
                "replaces nothing: remove it, or give 'annotations: true'",
            )
            return None
    tasks = places.ids(section, "task_id")
    of_projects = places.ids(section, "project_id")
    places.found = {}  # ids of another server perhaps, which this one need not have
    context.remember(places, section, "project")
    projects = bool(of_projects) or values.get("projects", False)
    for key, others in (("task_id", projects), ("project", projects)):
        if key in section.entries and others:
            context.reader.report(
                section.entries[key].value,
                f"{key!r} is for backups of tasks, and 'projects' or 'project_id' takes those "
                "of projects: remove one of them",
            )
            return None
    if "src" not in values:
        return None
    options = context.options(RestoreOptions, head, section, "journal")
    if options is None:
        return None
    return RestoreStep(
        **head.fields(places.found),
        source=path_of(values["src"]),
        ids=(tasks or of_projects) or None,
        projects=projects,
        at=values.get("at"),
        project=values.get("project"),
        options=options,
    )


def _annotations(context: StepContext, head: StepHead, section: Section) -> AnnotationsStep | None:
    """Build a restore of annotations alone."""
    values, places = section.values, NamedPositions()
    for key in ("projects", "project_id", "project"):
        if key in section.entries:
            context.reader.report(
                section.entries[key].key,
                f"'annotations: true' is for the tasks of 'task_id': remove {key!r}",
            )
            return None
    tasks = places.ids(section, "task_id")
    for key, why in (
        ("task_id", "it names the tasks that get their annotations back"),
        ("backup_dir", "it keeps the annotations that are replaced"),
    ):
        if key not in section.entries:
            context.reader.report(
                section.entries["annotations"].key,
                f"'annotations: true' needs {key!r}: {why}",
            )
            return None
    if "src" not in values or not tasks:
        return None
    options = context.options(RestoreOptions, head, section, "journal", "backup_dir")
    if options is None:
        return None
    return AnnotationsStep(
        **head.fields(places.found),
        source=path_of(values["src"]),
        task_ids=tasks,
        at=values.get("at"),
        options=options,
    )


def copy(context: StepContext, head: StepHead, section: Section) -> CopyStep | None:
    """Build a copy; its keys are the options of the command."""
    values = section.values
    selection, places = context.selected(section)
    if head.server:
        context.reader.report_at(
            head.place, "a copy names its servers by 'from' and 'to': remove 'server'"
        )
        return None
    if selection is None or not {"from", "to"} <= values.keys():
        return None
    options = context.options(CopyOptions, head, section, "state")
    if options is None:
        return None
    return CopyStep(
        **head.fields(places.found),
        source=values["from"],
        target=values["to"],
        source_organization=values.get("from_org"),
        target_organization=values.get("to_org"),
        selection=selection,
        options=options,
    )

"""Build creations of tasks and imports of datasets."""

from __future__ import annotations

from asynccvat.core.options.create import CreateOptions
from asynccvat.core.options.restore import ImportOptions
from asynccvat.runfiles.building.context import NamedPositions, StepContext, path_of
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.steps import CreationStep, DatasetStep, StepHead


def create(context: StepContext, head: StepHead, section: Section) -> CreationStep | None:
    """Build a creation of tasks; its keys are the options of the command."""
    values, places = section.values, NamedPositions()
    context.remember(places, section, "project")
    for key in {"src", "labels", "order"} & values.keys():
        context.check_present(
            path_of(values[key]), context.reader.place(section.entries[key].value)
        )
    if "src" not in values:
        return None
    options = context.options(CreateOptions, head, section, "journal")
    if options is None:
        return None
    labels, order = values.get("labels"), values.get("order")
    return CreationStep(
        **head.fields(places.found),
        source=path_of(values["src"]),
        project=values.get("project"),
        labels=None if labels is None else path_of(labels),
        labels_from=values.get("labels_from"),
        order=None if order is None else path_of(order),
        options=options,
    )


def import_dataset(context: StepContext, head: StepHead, section: Section) -> DatasetStep | None:
    """Build an import of datasets; its keys are the options of the command."""
    values, places = section.values, NamedPositions()
    context.remember(places, section, "project")
    context.remember(places, section, "format")
    files = values.get("files", [])
    for text, place in files:
        context.check_present(path_of(text), place)
    if not files or not {"project", "format"} <= values.keys():
        return None
    options = context.options(ImportOptions, head, section, "journal")
    if options is None:
        return None
    return DatasetStep(
        **head.fields(places.found),
        project=values["project"],
        files=tuple(path_of(text) for text, _ in files),
        format=values["format"],
        options=options,
    )

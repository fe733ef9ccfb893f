"""Make tasks and labels in a project of a dataset, as a worker does that imports it.

`formats.dataset_reader` reads a dataset, `import_queue` runs the requests.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from asynccvat.simulator.formats.backup_reader import NewNumbers
from asynccvat.simulator.formats.collector import ImporterError
from asynccvat.simulator.formats.dataset_reader import read_dataset
from asynccvat.simulator.queues.requests import DatasetRequest
from asynccvat.simulator.world.relabel import relabel
from asynccvat.simulator.world.world import World

NO_PROJECT: Final = (
    "cvat.apps.engine.models.Project.DoesNotExist: Project matching query does not exist.\n"
)
"""CVAT's message for a request whose project was deleted."""


def read_project_dataset(request: DatasetRequest, world: World) -> None:
    """Read the uploaded dataset; nothing of the world changes.

    Raises:
        ImporterError: It is no dataset of the format, or the project is gone.
    """
    project = world.projects.get(request.target.project_id or 0)
    if project is None:
        raise ImporterError(NO_PROJECT)
    numbers = NewNumbers(world.label_ids, world.attribute_ids, world.annotation_ids)
    request.dataset = read_dataset(
        request.upload.path, request.format_name, project.labels, numbers
    )


def make_imported(request: DatasetRequest, world: World) -> str | None:
    """Make the labels that the project lacks, and a task for each subset.

    Returns:
        A message if the project was deleted in the meantime.
    """
    project, dataset = world.projects.get(request.target.project_id or 0), request.dataset
    if project is None or dataset is None:
        return NO_PROJECT
    known = {label.name for label in project.labels}
    added = tuple(
        dataclasses.replace(label, project_id=project.id)
        for label in dataset.labels
        if label.name not in known
    )
    if added:
        project = world.change_project(project.id, labels=(*project.labels, *added))
    for subset in dataset.subsets:
        task = world.add_task(
            subset.name,
            project_id=project.id,
            frames=None,
            organization_id=project.organization_id,
            owner=request.owner,
            subset=subset.name,
        )
        world.fill_task(task.id, subset.media)
        world.annotate_task(task.id, relabel(subset.annotations, project.labels))
    return None

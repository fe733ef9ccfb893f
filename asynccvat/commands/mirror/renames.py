"""Ask the server what the folders of a layout need: names of projects, and what was only renamed.

`core.plans.folders` makes the names, and `core.plans.renames` compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.core.folder_layouts import NAME, PROJECT, PROJECT_ID, FolderLayout
from asynccvat.core.models import TaskListing
from asynccvat.core.plans.folders import FolderContext
from asynccvat.core.plans.mirror import Move, Plan
from asynccvat.core.plans.renames import perhaps_renamed
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.settling import Settled
from asynccvat.core.selections.selection import ProjectSelection
from asynccvat.core.targets import TargetKind
from asynccvat.transfer.content_fingerprints import ContentFingerprints

# Moved tasks of which is asked what they depend on. A call for each takes a server about 40 ms. For
# more, it is less work to fetch those again that are renamed some day.
_MOST_ASKED_FOR = 1000


async def folder_context(
    client: CvatClient, listing: TaskListing, settled: Settled, *, stays: bool
) -> FolderContext:
    """Ask for the names of projects, if the layout has them.

    Args:
        client: The server.
        listing: What is mirrored.
        settled: What the run works with.
        stays: Whether folders that are there keep their names.
    """
    layout = settled.options.layout
    projects: dict[int, str] = {}
    if layout is not None and PROJECT in FolderLayout.parse(layout, settled.spec.target).fields:
        ids = sorted({task.project_id for task in listing.tasks if task.project_id is not None})
        if ids:
            # Without a warning if the user may see the tasks, and not their projects.
            with warnings_to(lambda _: None):
                found = await internals(client).list_projects(ProjectSelection(project_ids=ids))
            projects = {project.id: project.name for project in found.items}
    return FolderContext(projects, client.organization, stays)


def follows_names(settled: Settled) -> bool:
    """Whether the names of tasks or projects move folders.

    As JSON, a renamed task is read again anyway.
    """
    layout, spec = settled.options.layout, settled.spec
    if layout is None or spec.target is not TargetKind.TASK or spec.is_json:
        return False
    return bool(FolderLayout.parse(layout).fields & {NAME, PROJECT, PROJECT_ID})


async def renamed_on_server(
    client: CvatClient,
    listing: TaskListing,
    heads: Mapping[int, ReceiptHead],
    settled: Settled,
    folders: Mapping[int, str],
) -> frozenset[int]:
    """Return the tasks that have changed in nothing except their names and projects."""
    if not follows_names(settled) or settled.options.force:
        return frozenset()
    tasks = await in_thread(perhaps_renamed, listing, heads, settled.spec, folders)
    return await ContentFingerprints(client).unchanged(tasks, heads) if tasks else frozenset()


class Renames:
    """What a run notes, so that a later one knows what was only renamed.

    Attributes:
        fingerprints: Tells what exports depend on.
    """

    def __init__(self, client: CvatClient) -> None:
        """Ask a client's server."""
        self.fingerprints = ContentFingerprints(client)

    async def contents_of_moved(self, plan: Plan) -> Mapping[int, str]:
        """Ask for what moved folders depend on whose receipts do not tell it, if these are few."""
        unknown = {move.task_id for move in plan.of(Move) if move.previous.content is None}
        if not unknown or len(unknown) > _MOST_ASKED_FOR:
            return {}
        tasks = [task for task in plan.listing.tasks if task.id in unknown]
        return await self.fingerprints.of_folders(tasks)

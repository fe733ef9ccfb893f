"""Find the target's project for each project of the source, and make those that are missing.

A project is found by the journal, then by its name. Its labels have to fit those of the tasks:
`core.backups.labels` judges, `core.labels` makes them portable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from asynccvat.client import CvatClient, internals
from asynccvat.commands.copy.state import CopyState
from asynccvat.core.backups.labels import BackupLabel, label_problems
from asynccvat.core.labels import portable_labels
from asynccvat.core.models import Project, Task
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.plans.copy_steps import ProjectMatch
from asynccvat.core.records.copies import CopyLedger, ProjectPair
from asynccvat.core.selections.selection import ProjectSelection
from asynccvat.core.texts import first_few
from asynccvat.errors import (
    AuthenticationError,
    GatewayError,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
)


async def match_projects(
    source: CvatClient,
    target: CvatClient,
    ledger: CopyLedger,
    due: Sequence[Task],
    options: CopyOptions,
) -> dict[int | None, ProjectMatch]:
    """Find the target's project for each project of some tasks.

    Args:
        source: The source.
        target: The target.
        ledger: What the journal says.
        due: The tasks that are to be copied.
        options: Which project takes all of them, if one does.

    Raises:
        ConfigError: There is no project of the name that the options give.
        AsyncCvatError: A server cannot be asked.
    """
    known = ledger.projects
    taken = set(known.values())

    async def match(project_id: int) -> ProjectMatch:
        try:
            if one is not None:
                return await _fitting(source, target, project_id, one)
            return await _match(source, target, known, taken, project_id)
        except (NotFoundError, PermissionDeniedError) as error:
            return ProjectMatch(
                problem=f"the target's project for its project {project_id} cannot be found: "
                f"{str(error).rstrip('.')}"
            )

    wanted = sorted({task.project_id for task in due if task.project_id is not None})
    outside = any(task.project_id is None for task in due)
    one: Project | None = None
    if options.into_project is not None:
        one = await internals(target).find_project(options.into_project, side="--to")
    found: dict[int | None, ProjectMatch] = {}
    if outside:
        found[None] = ProjectMatch() if one is None else ProjectMatch(one.id)
    for project_id in wanted:
        found[project_id] = await match(project_id)
        into = found[project_id].into
        if one is None and into is not None and known.get(project_id) != into:
            # A second project of this name is another one.
            taken.add(into)
    return found


async def make_projects(
    target: CvatClient, state: CopyState, matches: Mapping[int | None, ProjectMatch]
) -> dict[int | None, ProjectMatch]:
    """Make the projects that are missing, each once, and note which takes which tasks.

    A project that a killed run has made is found by its name in the next plan. One that the target
    refuses to make keeps no other from being made.

    Raises:
        PermissionDeniedError: The user may not make projects.
        AsyncCvatError: The server cannot be asked.
    """
    made = dict(matches)
    for project_id, match in matches.items():
        try:
            taken = state.ledger.projects.values()
            into = await _make(target, match, taken) if match.is_made else match.into
        except (AuthenticationError, GatewayError, PermissionDeniedError):
            raise  # the next one would be refused, too
        except ResponseError as error:
            why = f"the target did not make project {match.name!r}: {str(error).rstrip('.')}"
            made[project_id] = ProjectMatch(problem=why)
            continue
        if into is None or match.problem or project_id is None:
            continue
        made[project_id] = ProjectMatch(into)
        if state.ledger.projects.get(project_id) != into:
            await state.note(ProjectPair(project_id, into))
    return made


async def _make(target: CvatClient, match: ProjectMatch, taken: Collection[int]) -> int:
    async def find_made() -> Project | None:
        return next(iter(await _named(target, match.name, taken)), None)

    labels = portable_labels(match.labels)
    made = await internals(target).creations.project(match.name, labels, find_made=find_made)
    return made.id


async def _match(
    source: CvatClient,
    target: CvatClient,
    known: Mapping[int, int],
    taken: Collection[int],
    project_id: int,
) -> ProjectMatch:
    """Find the target's project by the journal, then by its name.

    Args:
        source: The source.
        target: The target.
        known: What the journal says.
        taken: Projects of the target that are those of other projects of the source.
        project_id: The project at the source.
    """
    project = await source.project(project_id)
    if project_id in known:
        try:
            into = await target.project(known[project_id])
            return await _fitting(source, target, project_id, into)
        except NotFoundError:
            pass  # it was deleted since: look for its name, as at first
    named = await _named(target, project.name, taken)
    if len(named) > 1:
        ids = first_few([one.id for one in named])
        return ProjectMatch(
            problem=f"the target has {len(named)} projects named {project.name!r}: {ids}. Name "
            "one with --into-project"
        )
    if named:
        return await _fitting(source, target, project_id, named[0])
    labels = await internals(source).creations.labels(project_id=project_id)
    return ProjectMatch(name=project.name, labels=labels)


async def _fitting(
    source: CvatClient, target: CvatClient, project_id: int, into: Project
) -> ProjectMatch:
    """Check that a project of the target has the labels of one of the source."""
    problems = label_problems(await _labels(source, project_id), await _labels(target, into.id))
    if not problems:
        return ProjectMatch(into.id)
    return ProjectMatch(
        into.id,
        problem=f"project {into.id} of the target does not fit: {first_few(problems, 3)}. Change "
        "its labels, or name another one with --into-project",
    )


async def _labels(client: CvatClient, project_id: int) -> tuple[BackupLabel, ...]:
    return await internals(client).restores.labels(project_id)


async def _named(target: CvatClient, name: str, taken: Collection[int]) -> list[Project]:
    """Return the target's projects of a name that are not those of other projects."""
    by_name = msgspec.json.encode({"==": [{"var": "name"}, name]}).decode()
    listed = await target.projects(ProjectSelection(filter=by_name))
    return [one for one in listed if one.name == name and one.id not in taken]

"""Find the project of new tasks, or make it, and read the labels that new ones have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.create.journal import CreateJournal
from asynccvat.core.labels import Label, labels_in, lacking, portable_labels
from asynccvat.core.models import Project, User
from asynccvat.core.records.creations import ProjectAsked, ProjectMade
from asynccvat.core.selections.selection import ProjectSelection
from asynccvat.core.texts import first_few
from asynccvat.errors import ConfigError, RequestUncertainError

_STRUCTURED = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class CreateTarget:
    """Where tasks are created.

    Attributes:
        project_id: The project, None for none, or while it is not made.
        labels: The labels of tasks outside projects, or of the project to make.
        new_name: The name of the project to make. None if there is nothing to make.
        shown: What messages call it.
    """

    project_id: int | None
    labels: Sequence[Label]
    new_name: str | None
    shown: str


async def find_target(
    client: CvatClient,
    project: int | str | None,
    labels: Path | Sequence[Any] | None,
    labels_from: int | str | None,
    journal: CreateJournal,
) -> CreateTarget:
    """Find where tasks are created. Makes nothing.

    Args:
        client: The server.
        project: The project, by its id or name. None for no project.
        labels: A file with labels, or the labels themselves.
        labels_from: The project whose labels are taken, by its id or name.
        journal: Tells which project of the name an earlier run made.

    Raises:
        ConfigError: The arguments contradict each other, a name is not unique, or labels lack.
        NotFoundError: There is no project of that id.
    """
    if labels is not None and labels_from is not None:
        raise ConfigError("labels are given twice. Remove --labels or --labels-from.")
    wanted: Sequence[Label] = ()
    if labels is not None:
        wanted = await in_thread(_read_labels, labels)
    elif labels_from is not None:
        source = await _existing(client, labels_from, journal)
        if source is None:
            raise _no_project(str(labels_from), "--labels-from")
        wanted = portable_labels(await internals(client).creations.labels(project_id=source.id))
    if project is None:
        if not wanted:
            raise ConfigError(
                "tasks need labels. Give --project for those of a project, or --labels."
            )
        return CreateTarget(None, wanted, None, "outside projects")
    found = await _existing(client, project, journal)
    if found is not None:
        await _check_labels(client, found, wanted)
        return CreateTarget(found.id, (), None, f"project {found.id}")
    if not wanted:
        raise _no_project(str(project), "--project")
    name = str(project).strip()  # CVAT cuts spaces off, too
    return CreateTarget(None, wanted, name, f"project {name!r}")


async def make_project(
    client: CvatClient, target: CreateTarget, user: User, journal: CreateJournal
) -> CreateTarget:
    """Make the project of a target, at most once. Returns the target with its id.

    Raises:
        RequestUncertainError: It is unknown which project an earlier call made.
        AsyncCvatError: The server refuses it, or cannot be reached.
    """
    name = target.new_name
    assert name is not None, "there is a project to make"
    known = journal.state.projects.get(name)

    async def find_made() -> Project | None:
        after_id = journal.state.projects[name][0]
        found = [
            one
            for one in await _named(client, name)
            if one.id > after_id and (one.owner is None or one.owner.id == user.id)
        ]
        if len(found) > 1:
            raise RequestUncertainError(
                f"cannot tell which project {name!r} an earlier call made: "
                f"{first_few([one.id for one in found])}. Give the id of one with --project.",
                step="create",
            )
        return found[0] if found else None

    made = None
    if known is not None and known[1] is None:
        made = await find_made()
    if made is None:
        listed = await client.projects()
        await journal.note(ProjectAsked(name, max((one.id for one in listed), default=0)))
        calls = internals(client).creations
        made = await calls.project(name, target.labels, find_made=find_made)
    await journal.note(ProjectMade(name, made.id))
    return CreateTarget(made.id, (), None, f"project {made.id}")


async def _existing(
    client: CvatClient, project: int | str, journal: CreateJournal
) -> Project | None:
    """Return a project by its id or name. None if none has the name.

    Raises:
        ConfigError: Several have the name, and no earlier run made one of them.
        NotFoundError: None has the id.
    """
    text = str(project).strip()
    if not text:
        raise ConfigError("the project's name is empty. Give an id or a name.")
    if text.isascii() and text.isdecimal():
        return await client.project(int(text))
    found = await _named(client, text)
    ours = [one for one in found if one.id == journal.state.projects.get(text, (0, None))[1]]
    if len(found) > 1 and not ours:
        raise ConfigError(
            f"{len(found)} projects are named {text!r}: {first_few([one.id for one in found])}. "
            "Give the id of one."
        )
    return next(iter(ours or found), None)


async def _named(client: CvatClient, name: str) -> list[Project]:
    by_name = msgspec.json.encode({"==": [{"var": "name"}, name]}).decode()
    listed = await client.projects(ProjectSelection(filter=by_name))
    return [one for one in listed if one.name == name]


async def _check_labels(client: CvatClient, project: Project, wanted: Sequence[Label]) -> None:
    """Check that a project has the labels that were given.

    Raises:
        ConfigError: It lacks some.
    """
    if not wanted:
        return
    missing = lacking(wanted, await internals(client).creations.labels(project_id=project.id))
    if missing:
        raise ConfigError(
            f"project {project.id} ({project.name!r}) lacks labels that were given: "
            f"{first_few(missing)}. Add them in CVAT, or remove --labels and --labels-from."
        )


def _read_labels(labels: Path | Sequence[Any]) -> tuple[Label, ...]:
    """Return labels, from a file of JSON, YAML or a name a line.

    Raises:
        ConfigError: It cannot be read, or holds no labels.
    """
    if not isinstance(labels, Path):
        return labels_in(labels, "labels")
    source = repr(str(labels))
    try:
        text = labels.read_text("utf-8-sig")
        if labels.suffix.lower() not in _STRUCTURED and not text.lstrip().startswith(("[", "{")):
            return labels_in([line for line in text.splitlines() if line.strip()], source)
        return labels_in(yaml.safe_load(text), source)
    except OSError as error:
        raise ConfigError(
            f"cannot read labels from {source}: {error.strerror}. Name another file."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0]
        raise ConfigError(f"cannot read labels from {source}: {why}. Correct the file.") from error


def _no_project(name: str, flag: str) -> ConfigError:
    also = ", or give --labels, and it is made" if flag == "--project" else ""
    return ConfigError(
        f"there is no project {name!r} that this user may see. `asynccvat list-projects` lists them"
        f"{also}."
    )

"""Understand addresses of CVAT's pages where a command expects an id or a folder."""

from __future__ import annotations

import re
from typing import Any

import typer

from asynccvat.cli.id_sources import expanded

_ADDRESS = re.compile(r"\s*(https?:/|[^/\s]+/(tasks|projects|jobs)/[0-9])", re.IGNORECASE)
_OF_TASKS = {"task_id": "--task-id", "task_ids": "--task-id", "tasks": "ID"}
_OF_PROJECTS = {
    "project_id": "--project-id",
    "project_ids": "--project-id",
    "project": "--project",
}


def take_ids(given: dict[str, Any]) -> tuple[str, ...]:
    """Replace files of ids by the ids in them, and addresses by the ids that they show.

    Returns:
        The servers of the addresses.

    Raises:
        typer.BadParameter: An address shows no such id, or a file cannot be read.
    """
    servers: list[str] = []
    for name, values in given.items():
        option = _OF_TASKS.get(name) or _OF_PROJECTS.get(name)
        if option is not None and isinstance(values, list | tuple):
            kind = "task" if name in _OF_TASKS else "project"
            texts = expanded(values, option) if option != "--project" else values
            given[name] = [_id(text, kind, option, servers) for text in texts]
    return tuple(servers)


def _id(text: str, kind: str, option: str, servers: list[str]) -> str:
    if not _ADDRESS.match(text):
        return text
    from asynccvat.errors import ConfigError  # noqa: PLC0415 - `--help` stays light
    from asynccvat.settings import PageUrl  # noqa: PLC0415 - the same

    try:
        page = PageUrl.parse(text)
    except ConfigError as error:
        raise typer.BadParameter(error.message, param_hint=option) from error
    found = page.task_id if kind == "task" else page.project_id
    if found is None:
        raise typer.BadParameter(
            f"{text!r} shows no {kind}. Give its id, or an address that ends in /{kind}s/147.",
            param_hint=option,
        )
    servers.append(page.server.written)
    return str(found)


def refuse_as_path(text: str, name: str) -> None:
    """Refuse an address where a folder or file is expected: a folder `https:` would be made.

    Raises:
        typer.BadParameter: The text is an address.
    """
    if not re.match(r"\s*https?:/", text, re.IGNORECASE):
        return
    from asynccvat.errors import ConfigError  # noqa: PLC0415 - `--help` stays light
    from asynccvat.settings import PageUrl  # noqa: PLC0415 - the same

    hint = "Name a folder or file here, and give the server with --url."
    try:
        page = PageUrl.parse(text)
    except ConfigError:
        page = None
    if page is not None:
        ids = f" -t {page.task_id}" if page.task_id is not None else ""
        ids = ids or (f" --project-id {page.project_id}" if page.project_id is not None else "")
        hint = f"Name a folder or file here, and add --url {page.server.address}{ids}."
    # One with a password in it is not repeated.
    shown = "it" if "@" in text else repr(text)
    raise typer.BadParameter(f"{shown} is an address, not a path. {hint}", param_hint=name)

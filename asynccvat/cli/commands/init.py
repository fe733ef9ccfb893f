"""`asynccvat init`: write a settings file for a destination."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import credentials, output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import DEFAULT_FORMAT
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import Project

_MOST_SHOWN = 20
"""The most projects to choose from. They fit a screen."""


@command
def init(
    shared: SharedOptions,
    *,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The folder that will hold the mirror.")
    ],
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            metavar="NAME|ID",
            help="The project to mirror, by its exact name or its id.",
        ),
    ] = None,
    project_id: Annotated[
        int | None,
        typer.Option("--project-id", min=1, metavar="ID", help="The same by its id alone."),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help=f"The format of the first mirror; by default {DEFAULT_FORMAT!r}.",
        ),
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option("--images/--no-images", help="Whether the first mirror fetches images."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            metavar="PATH",
            help="How the first mirror names its folders, like '{project}/task{id}-{name}'.",
        ),
    ] = None,
) -> int:
    """Write a settings file with comments into DEST: the server, the organization, a project.

    Commands that are given DEST read it, so DEST tells which server and project it is for. It holds
    no secret. A terminal asks for what is not given.

    For example:

    asynccvat init data/

    asynccvat init data/ --project "Street signs" --format "COCO 1.0" --images
    """
    settings = credentials.complete(shared.settings())
    if project is None and project_id is None:
        project_id = settings.project_id
    if credentials.on_a_terminal():
        if project is None and project_id is None:
            project_id = _asked_for_project(queries.ask(settings, lambda client: client.projects()))
        if format_ is None:
            answer = credentials.ask(f"Format, see 'asynccvat formats' [{DEFAULT_FORMAT}]: ")
            format_ = answer or None
        if images is None:
            images = credentials.ask("Fetch the images, too? [y/N] ").lower() in ("y", "yes")

    async def write(client: CvatClient) -> tuple[Path, str]:
        path, choices = await asynccvat.write_settings(
            client,
            destination,
            project=project,
            project_id=project_id,
            format=format_,
            images=bool(images),
            layout=layout,
        )
        return path, choices.mirror_command(destination)

    path, next_command = queries.ask(settings, write)
    output.write(str(path))
    output.remark(printable(f"Next: {next_command}"))
    return ExitCode.DONE


def _asked_for_project(projects: tuple[Project, ...]) -> int | None:
    """Ask for one of the projects; return its id, None for all of them.

    Raises:
        ConfigError: The answer is neither a project's id nor the name of one alone.
    """
    if not projects:
        return None
    for project in projects[:_MOST_SHOWN]:
        output.remark(printable(f"{project.id} {project.name}"))
    if len(projects) > _MOST_SHOWN:
        output.remark(f"{len(projects) - _MOST_SHOWN} more: asynccvat list-projects")
    answer = credentials.ask("Id or name of the project to mirror (Enter for all): ")
    if not answer:
        return None
    named = [one.id for one in projects if answer == str(one.id)]
    named = named or [one.id for one in projects if answer == one.name]
    if len(named) != 1:
        problem = "there are several projects" if named else "there is no project"
        raise asynccvat.ConfigError(f"{problem} {answer!r} of yours. Give the id of one of them.")
    return named[0]

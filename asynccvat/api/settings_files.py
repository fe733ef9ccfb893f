"""Write settings files: `write_settings`. `core.settings_text` has their content."""

from __future__ import annotations

from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.api.arguments import PathText, check_client, checked_path
from asynccvat.api.logins import certificates_of
from asynccvat.client import CvatClient
from asynccvat.client.client import internals
from asynccvat.core.folder_layouts import check_layout
from asynccvat.core.format_names import means_json
from asynccvat.core.settings_text import SettingsChoices
from asynccvat.core.specs import CVAT_JSON
from asynccvat.errors import ConfigError
from asynccvat.settings.destinations import write_settings_file


async def write_settings(
    client: CvatClient,
    folder: PathText,
    *,
    project: str | None = None,
    project_id: int | None = None,
    format: str | None = None,  # noqa: A002 - the word of the options
    images: bool = False,
    layout: str | None = None,
) -> tuple[Path, SettingsChoices]:
    """Write a settings file with comments into a folder, for commands that are given this folder.

    It names the client's server, organization and certificates, and holds no secret. Server,
    project, format and layout are checked before.

    Args:
        client: The server.
        folder: The folder. It is made if it is missing.
        project: The project to mirror, by its exact name or its id; None for all.
        project_id: The same by its id alone. Only one of the two can be given.
        format: The format of the first mirror, for the comments; a short name will do.
        images: Whether the first mirror fetches images, for the comments.
        layout: How the first mirror names its folders, for the comments.

    Returns:
        The file, and what it says.

    Raises:
        ConfigError: There is such a file, or it cannot be written; the format is unknown; no
            project has the name, or several have; the layout cannot be used.
        NotFoundError: There is no such project.
        AsyncCvatError: The server cannot be reached, or refuses the user.
    """
    check_client(client)
    path = checked_path(folder)
    if project is not None and project_id is not None:
        raise ConfigError("--project contradicts --project-id. Give one of them.")
    if layout is not None:
        check_layout(layout, plural=None)
    await client.check_version()
    await client.user()
    named = project if project_id is None else project_id
    found = None if named is None else await internals(client).find_project(named)
    exact = None
    if format is not None:
        exact = CVAT_JSON if means_json(format) else await internals(client).exporter(format)
    choices = SettingsChoices(
        url=client.origin,
        organization=client.organization,
        project_id=None if found is None else found.id,
        project_name="" if found is None else found.name,
        format=exact,
        images=images,
        layout=layout,
        **certificates_of(client),
    )
    return await in_thread(write_settings_file, path, choices, str(folder)), choices

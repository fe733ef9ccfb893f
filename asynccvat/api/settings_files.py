"""Write settings files: `write_settings`. `core.settings_text` has their content."""

from __future__ import annotations

from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.api.arguments import PathText, check_client, checked_path
from asynccvat.api.logins import certificates_of
from asynccvat.client import CvatClient
from asynccvat.client.client import internals
from asynccvat.core.format_names import means_json
from asynccvat.core.settings_text import SettingsChoices
from asynccvat.core.specs import CVAT_JSON
from asynccvat.settings.destinations import write_settings_file


async def write_settings(
    client: CvatClient,
    folder: PathText,
    *,
    project_id: int | None = None,
    format: str | None = None,  # noqa: A002 - the word of the options
    images: bool = False,
) -> tuple[Path, SettingsChoices]:
    """Write a settings file with comments into a folder, for commands that are given this folder.

    It names the client's server, organization and certificates, and holds no secret. Server,
    project and format are checked before.

    Args:
        client: The server.
        folder: The folder. It is made if it is missing.
        project_id: The project to mirror, None for all.
        format: The format of the first mirror, for the comments; a short name will do.
        images: Whether the first mirror fetches images, for the comments.

    Returns:
        The file, and what it says.

    Raises:
        ConfigError: There is such a file, or it cannot be written; the format is unknown.
        NotFoundError: There is no such project.
        AsyncCvatError: The server cannot be reached, or refuses the user.
    """
    check_client(client)
    path = checked_path(folder)
    await client.check_version()
    await client.user()
    project = None if project_id is None else await client.project(project_id)
    exact = None
    if format is not None:
        exact = CVAT_JSON if means_json(format) else await internals(client).exporter(format)
    choices = SettingsChoices(
        url=client.origin,
        organization=client.organization,
        project_id=project_id,
        project_name="" if project is None else project.name,
        format=exact,
        images=images,
        **certificates_of(client),
    )
    return await in_thread(write_settings_file, path, choices, str(folder)), choices

"""Answer from the cache what completion needs of a server, and ask the server at most briefly.

Nothing here asks for a password or unlocks a keyring, and nothing raises.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from asynccvat.cli.completion import cache
from asynccvat.cli.completion.cache import Answers
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.settings import Settings

SECONDS = 2.0
"""The longest wait for a server."""

_FOLDERS = ("destination", "in_dir", "source")
"""The parameters of commands that name the folder to work on."""


def answers_for(context: Any, what: str) -> Answers:
    """Return what the server of a command line answered last, asked again if that is old.

    Args:
        context: The context of the command that is being completed.
        what: `formats` or `projects`.
    """
    from asynccvat.errors import ConfigError  # noqa: PLC0415 - the start-up of commands stays light
    from asynccvat.settings import CONFIG_VARIABLE  # noqa: PLC0415 - the same

    given = given_options(context)
    if given.password_stdin or not _all_files(given.config, os.environ.get(CONFIG_VARIABLE)):
        return Answers()
    try:
        settings = given.settings_for(
            {}, given.password, destination=_destination(context), keyring=False
        )
    except ConfigError:
        return Answers()
    path = cache.path_for(settings)
    if path is None:
        return Answers()
    known = cache.read(path)
    if _may_ask(settings) and known.needs(what, time.time()):
        known = _asked(settings, known, what)
        cache.write(path, known)
    return known


def _may_ask(settings: Settings) -> bool:
    """Whether the server can be asked without a question to the user, and without a wait."""
    connection = settings.connection
    bundle = None if isinstance(settings.verify, bool) else settings.verify
    files = (bundle, connection.client_cert, connection.client_key)
    return (settings.token is not None or settings.password is not None) and _all_files(*files)


def _all_files(*paths: str | Path | None) -> bool:
    """Whether all the paths that are given can be read without a wait. A pipe cannot."""
    found = (Path(path).expanduser() for path in paths if path)
    return all(path.is_file() or path.is_dir() for path in found)


def _destination(context: Any) -> Path | None:
    """Return the folder that the command is given, None if there is none yet."""
    for name in _FOLDERS:
        given = context.params.get(name)
        if isinstance(given, str | Path) and (folder := Path(given).expanduser()).is_dir():
            return folder
    return None


def given_options(context: Any) -> SharedOptions:
    """Return the shared options of a command line, before its command and after it."""
    merged = SharedOptions()
    for one in (context.find_root(), context):
        values = {item.name: one.params.get(item.name) for item in fields(SharedOptions)}
        given: dict[str, Any] = {
            name: value for name, value in values.items() if value or value == ""
        }
        merged = merged.overridden_by(SharedOptions(**given))
    return merged


def _asked(settings: Settings, known: Answers, what: str) -> Answers:
    """Return the answers with a new one; with the time of the failure if there is none."""
    now = time.time()
    known.failed = now
    if _is_found(settings.address):
        with suppress(Exception):  # a server may fail in any way
            setattr(known, what, asyncio.run(asyncio.wait_for(_ask(settings, what), SECONDS)))
            known.asked[what] = now
            known.failed = 0.0
    return known


async def _ask(settings: Settings, what: str) -> Any:
    from asynccvat import CvatClient, RetryPolicy  # noqa: PLC0415 - aiohttp takes long to load

    arguments: dict[str, Any] = dict(settings.client_arguments)
    patience = RetryPolicy(attempts=0)
    async with CvatClient(**arguments, policy=patience, connect_timeout=SECONDS) as client:
        return await (_formats(client) if what == "formats" else _projects(client))


async def _formats(client: CvatClient) -> list[str]:
    return cache.format_names(await client.formats())


async def _projects(client: CvatClient) -> dict[int, str]:
    return {project.id: project.name for project in await client.projects()}


def _is_found(address: str) -> bool:
    """Return whether a server's name is resolved in time.

    Python waits for a look-up before it exits, however long it takes. A daemon thread is left.
    """
    parts = urlsplit(address)
    found: list[bool] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(parts.hostname, parts.port or 443)
        except OSError:
            return
        found.append(True)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(SECONDS / 2)
    return bool(found)

"""Accounts of a run file: each server and user of its steps, with one client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.errors import AsyncCvatError, ConfigError, Problem, RunFileError
from asynccvat.runfiles.steps import CopyStep, RunFile, RunFileStep
from asynccvat.settings import Settings, load_settings
from asynccvat.settings.sides import load_side

SettingsOf = Callable[[RunFileStep], Settings]
"""Returns the server and the credentials for a step. It may block."""


@dataclass(slots=True, eq=False)
class Account:
    """A user on a server.

    Attributes:
        client: The client, opened.
        project_id: The project that the settings name; None for none.
        steps: The steps of this account.
        gone: The error after which no further step can succeed; None without one.
    """

    client: CvatClient
    project_id: int | None
    steps: list[RunFileStep] = field(default_factory=list)
    gone: AsyncCvatError | None = None


def settings_of(step: RunFileStep) -> Settings:
    """Combine the settings of a step, the environment, a settings file and a profile.

    Raises:
        ConfigError: A setting is missing or cannot be used.
    """
    return load_settings(named=step.server)


def target_of(step: CopyStep) -> CvatClient:
    """Return a client of the side that a copy goes to, not opened. Blocks while files are read.

    Raises:
        ConfigError: The side does not exist, or a setting is missing or cannot be used.
    """
    return _client(load_side(step.target, "'to'", organization=step.target_organization))


def _settings(step: RunFileStep, settings: SettingsOf | None) -> Settings:
    """Return the settings of a step. A copy names both of its servers itself."""
    if isinstance(step, CopyStep):
        target_of(step)  # which checks them
        return load_side(step.source, "'from'", organization=step.source_organization)
    return (settings or settings_of)(step)


@asynccontextmanager
async def accounts(file: RunFile, settings: SettingsOf | None) -> AsyncIterator[list[Account]]:
    """Open the accounts of all steps, in the order of the steps. Steps may share one.

    Raises:
        RunFileError: The server or the credentials of a step are missing.
    """
    known: dict[object, Account] = {}
    problems: list[Problem] = []
    async with AsyncExitStack() as entered:
        for step in file.steps:
            try:
                found = await in_thread(_settings, step, settings)
                key = (
                    *(found.url, found.username, found.password, found.token),
                    *(found.organization, found.verify, found.project_id, found.connection),
                )
                if key not in known:
                    client = await entered.enter_async_context(_client(found))
                    known[key] = Account(client, found.project_id)
                known[key].steps.append(step)
            except ConfigError as error:
                problems.append(Problem(str(step.place), error.message, error))
        if problems:
            raise RunFileError(problems)
        yield list(known.values())


def _client(settings: Settings) -> CvatClient:
    if settings.task_id is not None:
        raise ConfigError(
            f"the server's address names task {settings.task_id}: give {settings.url} alone, and "
            "name the task in the step"
        )
    if settings.username is None and settings.token is None:
        raise ConfigError(
            f"no credentials are given for {settings.url}: write `username:` and `password:`, or "
            "`token:`, below `server:`, or set CVAT_ACCESS_TOKEN, or CVAT_USERNAME and "
            "CVAT_PASSWORD"
        )
    return CvatClient(**settings.client_arguments)

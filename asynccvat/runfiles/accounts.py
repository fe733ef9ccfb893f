"""The servers that a run file's steps work on, one client for each and everything known of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.errors import AsyncCvatError, ConfigError, Problem, RunFileError
from asynccvat.runfiles.steps import RunFile, Step
from asynccvat.settings import Settings, load_settings

SettingsOf = Callable[[Step], Settings]
"""Says which server a step is for, and as whom; it may block."""


@dataclass(slots=True, eq=False)
class Account:
    """A user of a server.

    Attributes:
        client: Entered.
        project_id: The project that the settings name, None for none.
        steps: What is done there.
        gone: Why nothing more can be, None while it can.
    """

    client: CvatClient
    project_id: int | None
    steps: list[Step] = field(default_factory=list)
    gone: AsyncCvatError | None = None


def settings_of(step: Step) -> Settings:
    """Settings as the step itself, the environment, a settings file or a profile have them.

    Raises:
        ConfigError: Something is missing or cannot be used.
    """
    return load_settings(named=step.server)


@asynccontextmanager
async def accounts(file: RunFile, settings: SettingsOf | None) -> AsyncIterator[list[Account]]:
    """The accounts of all steps, in the order of the steps; steps may share one.

    Raises:
        RunFileError: A step does not say which server, or as whom.
    """
    known: dict[object, Account] = {}
    problems: list[Problem] = []
    async with AsyncExitStack() as entered:
        for step in file.steps:
            try:
                found = await in_thread(settings or settings_of, step)
                key = (
                    *(found.url, found.username, found.password, found.token),
                    *(found.organization, found.verify, found.project_id),
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
    if settings.username is None and settings.token is None:
        raise ConfigError(
            f"no credentials are given for {settings.url}: write `username:` and `password:`, or "
            "`token:`, below `server:`, or set CVAT_ACCESS_TOKEN, or CVAT_USERNAME and "
            "CVAT_PASSWORD"
        )
    return CvatClient(
        settings.url,
        username=settings.username,
        password=settings.password,
        token=settings.token,
        organization=settings.organization,
        verify=settings.verify,
    )

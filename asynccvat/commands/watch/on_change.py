"""Run a command for each change that a watch made on disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from asynccvat.core.watching.command_line import CommandTemplate, environment_for
from asynccvat.core.watching.rounds import TaskChange
from asynccvat.errors import AsyncCvatError

WEBHOOK_SECRET = "ASYNCCVAT_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable
"""The environment variable that holds the secret of the webhooks."""

_SECONDS_TO_END = 5.0
_STDERR = 2


class CommandFailedError(AsyncCvatError):
    """The command that was run for a change failed, or could not be started."""


class OnChangeCommand:
    """Run a command for each change. Give it to `watch` as `on_change`.

    `{path}`, `{task_id}`, `{name}` and `{action}` in its arguments are replaced; the environment
    has the same values as ASYNCCVAT_PATH, ASYNCCVAT_TASK_ID, ASYNCCVAT_NAME and ASYNCCVAT_ACTION.
    No shell is used: names come from the server. What the command writes goes to stderr.
    """

    def __init__(self, command: str) -> None:
        """Read a command.

        Args:
            command: Program and arguments, quoted as in a POSIX shell.

        Raises:
            ConfigError: It cannot be split into arguments, or has an unknown placeholder.
        """
        self._template = CommandTemplate.parse(command)

    @property
    def program(self) -> str:
        """The name or the path of the program."""
        return self._template.arguments[0]

    async def __call__(self, change: TaskChange) -> None:
        """Run the command for a change, and wait for its end.

        Cancelled, it ends the command and what that started.

        Raises:
            CommandFailedError: The command cannot be started, or its exit code is not 0.
        """
        arguments = self._template.arguments_for(change)
        environment = {**os.environ, **environment_for(change)}
        environment.pop(WEBHOOK_SECRET, None)
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=_STDERR,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise CommandFailedError(f"{arguments[0]!r} cannot be started: {why}") from error
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        if code:
            raise CommandFailedError(f"{arguments[0]!r} {_ended_with(code)}")


def _ended_with(code: int) -> str:
    """Return how a process ended that failed. A negative code is that of a signal."""
    if code > 0:
        return f"exited with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and its children: ask first, then kill."""
    _signal(process, kill=False)
    try:
        async with asyncio.timeout(_SECONDS_TO_END):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        _signal(process, kill=True)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, *, kill: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)

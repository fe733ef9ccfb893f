"""Make the arguments of the command that a watch runs for a change.

The text is split into arguments once, then the values of the change are put in. A name that comes
from the server therefore stays within its argument, and no shell reads it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from asynccvat.core.watching.rounds import TaskChange
from asynccvat.errors import ConfigError

PLACEHOLDERS = ("path", "task_id", "name", "action")
"""What stands in braces for a value of the change."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class CommandTemplate:
    """The arguments of a command, with placeholders."""

    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> CommandTemplate:
        """Split a text into arguments, as a POSIX shell splits it.

        Raises:
            ConfigError: It is empty, has an open quote, or a placeholder that does not exist.
        """
        try:
            arguments = tuple(shlex.split(text))
        except ValueError as error:
            why = str(error).lower().rstrip(".")
            raise ConfigError(
                f"cannot split the command {text!r} into arguments: {why}. "
                "Quote it as a shell would read it."
            ) from None
        if not arguments:
            raise ConfigError("the command is empty. Give one like 'make -C {path}'.")
        if _PLACEHOLDER.search(arguments[0]):
            raise ConfigError(
                f"the program of the command may not depend on the change: {arguments[0]!r}. Name "
                "the program first."
            )
        for argument in arguments:
            for found in _PLACEHOLDER.findall(argument):
                if found not in PLACEHOLDERS:
                    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                    raise ConfigError(
                        f"cannot use the command {text!r}: there is no {{{found}}}. Use {known}."
                    )
        return cls(arguments)

    def arguments_for(self, change: TaskChange) -> tuple[str, ...]:
        """Return the arguments for a change."""
        values = _values(change)
        return tuple(
            _PLACEHOLDER.sub(lambda found: values[found[1]], argument)
            for argument in self.arguments
        )


def environment_for(change: TaskChange) -> Mapping[str, str]:
    """Return the environment variables that hold the values of a change."""
    return {f"ASYNCCVAT_{name.upper()}": value for name, value in _values(change).items()}


def _values(change: TaskChange) -> dict[str, str]:
    return {
        "path": change.path,
        "task_id": str(change.task_id),
        "name": change.name,
        "action": str(change.action),
    }

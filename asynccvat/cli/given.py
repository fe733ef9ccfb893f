"""Tell which command was given with which options, without what must stay secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer

_SECRET = re.compile(r"password|token|header|secret|client-(cert|key)|proxy", re.IGNORECASE)
# The user and password of an address, and its query, which may be signed.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@|(?<=://)([^?\s]*)\?\S*")


@dataclass(frozen=True, slots=True)
class GivenCommand:
    """A command as it was typed.

    Attributes:
        name: The command's name.
        options: Its arguments and options with their values; switches have "yes".
    """

    name: str
    options: tuple[tuple[str, str], ...]


def given_command(ctx: typer.Context) -> GivenCommand:
    """Return the command that runs, with the options that were typed after it."""
    return GivenCommand(ctx.info_name or "", tuple(_options(ctx)))


def _options(ctx: typer.Context) -> Iterator[tuple[str, str]]:
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is None or source.name != "COMMANDLINE":
            continue
        value = ctx.params.get(parameter.name or "")
        flag = max(parameter.opts, key=len)
        if value is False and parameter.secondary_opts:
            flag, value = parameter.secondary_opts[0], True
        if parameter.param_type_name == "argument":
            flag = getattr(parameter, "metavar", None) or flag.upper()
        yield flag, "(not shown)" if _SECRET.search(flag) else _shown(value)


def _shown(value: Any) -> str:
    """Return a value as it is typed, addresses without their credentials."""
    match value:
        case True:
            return "yes"
        case Enum():
            return str(value.value)
        case list() | tuple():
            return ", ".join(map(_shown, value))
        case _:
            return _CREDENTIALS.sub(lambda found: found[1] or "", str(value))

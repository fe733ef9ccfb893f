"""Tell which command was given with which options, without what must stay secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer

from asynccvat.cli.typed import TypedCommand

_SECRET = re.compile(r"password|token|header|secret|client-(cert|key)|proxy", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
# It may be a signature.
_QUERY = re.compile(r"(://[^?\s]*)\?\S*")


@dataclass(frozen=True, slots=True)
class GivenCommand:
    """A command as it was typed.

    Attributes:
        name: The command's name.
        options: Its arguments and options with their values; switches have "yes".
        typed: Its words, secrets included. Nothing shows or stores them.
    """

    name: str
    options: tuple[tuple[str, str], ...]
    typed: TypedCommand | None = None

    @property
    def repeatable(self) -> TypedCommand | None:
        """The command for logs and pages, which show it without secrets.

        None if no command was typed, or with an address that may hold a signature.
        """
        if self.typed is None or any(_QUERY.search(word) for word in self.typed.words):
            return None
        return self.typed


def given_command(ctx: typer.Context, words: tuple[str, ...]) -> GivenCommand:
    """Return the command that runs, with the options that were typed after it.

    Args:
        ctx: The command.
        words: The words after the program's name.
    """
    return GivenCommand(ctx.info_name or "", tuple(_options(ctx)), _typed(ctx, words))


def _typed(ctx: typer.Context, words: tuple[str, ...]) -> TypedCommand:
    contexts = [ctx] if ctx.parent is None else [ctx, ctx.parent]
    options = [one for each in contexts for one in each.command.params]
    flags = {flag: one for one in options for flag in (*one.opts, *one.secondary_opts)}
    valued = {
        flag
        for flag, one in flags.items()
        if one.param_type_name == "option"
        and not getattr(one, "is_flag", False)
        and not getattr(one, "count", False)
    }
    return TypedCommand(words, frozenset(valued), frozenset(flags))


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
            return _QUERY.sub(r"\1", _CREDENTIALS.sub("", str(value)))

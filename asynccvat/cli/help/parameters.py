"""Word the options and arguments of a command for its help and for the command reference."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from asynccvat.cli.help.panels import Entry, Panel, first_sentence

ARGUMENTS, OPTIONS = "Arguments", "Options"
SHARED = "Server and account"
"""The panel of the options that every command has."""

_ENVIRONMENT = re.compile(r" \(environment: [^)]*\)")


def panels_of(parameters: Iterable[Any], *, full: bool) -> list[Panel]:
    """Return the panels of a command's options and arguments.

    Args:
        parameters: They, prepared as for the help.
        full: Whether all that is known of an option is shown, or its first sentence.
    """
    groups: dict[str, list[Entry]] = {ARGUMENTS: [], OPTIONS: []}
    for item in parameters:
        if not getattr(item, "hidden", False):
            groups.setdefault(group_of(item), []).append(_entry(item, full=full))
    return [Panel(title, tuple(entries)) for title, entries in groups.items() if entries]


def group_of(parameter: Any) -> str:
    """Return the title of the panel that a parameter belongs to."""
    if parameter.param_type_name == "argument":
        return ARGUMENTS
    return getattr(parameter, "rich_help_panel", None) or OPTIONS


def default_of(parameter: Any) -> str:
    """Return the default to show, or an empty text if there is none to show."""
    default = getattr(parameter.default, "value", parameter.default)
    if (
        default is None
        or default is False
        or parameter.show_default is False
        or default in ((), [])
    ):
        return ""
    return str(parameter.opts[0]) if default is True else str(default)


def _entry(parameter: Any, *, full: bool) -> Entry:
    text = parameter.help or ""
    default = "" if parameter.required else default_of(parameter)
    if full:
        parts = [text, f"[default: {default}]" if default else ""]
    else:
        text = first_sentence(_ENVIRONMENT.sub("", text))
        parts = [text, f"[{default}]" if default and default not in text else ""]
    names, flag = _names(parameter)
    return Entry(names, " ".join(filter(None, parts)), flag)


def _names(parameter: Any) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar)
        return (name if parameter.required else f"[{name}]"), name
    flag = next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0])
    long = flag
    if parameter.secondary_opts:
        off = str(parameter.secondary_opts[0])
        both = f"--no-{flag.removeprefix('--')}"
        long = f"--[no-]{flag.removeprefix('--')}" if off == both else f"{flag}, {off}"
    names = ", ".join([*(name for name in parameter.opts if name != flag), long])
    takes = "" if parameter.is_flag or parameter.count else f" {parameter.metavar}"
    return names + takes, flag

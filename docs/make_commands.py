"""Write the command reference, docs/commands/reference.md, from the commands themselves.

Run it from anywhere: `python docs/make_commands.py`. `page()` returns the text alone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from asynccvat.cli import app
from asynccvat.cli.exit_codes import MEANINGS

TARGET = Path(__file__).with_name("commands") / "reference.md"

_HEAD = """\
# Command reference

Made by `docs/make_commands.py` from the commands themselves.

Results go to stdout; progress and messages go to stderr. Options may stand in any order.
`asynccvat help COMMAND` shows the same on a terminal; `--help`, or `-h`, the usual options alone.
"""
_WITHOUT_COMMAND = """\
## asynccvat

Without a command, `asynccvat` shows the list of commands. These options need no command; the
[options of every command](#options-of-every-command) may stand before the command, too.
"""
_SHARED = """\
## Options of every command

They may stand before the command or after it; the value after it wins. The environment comes
next, then a settings file, then a saved profile.
"""
_EXIT_CODES = """\
## Exit codes

| code | meaning |
|---|---|
"""
_UNGROUPED = "Options"


def page() -> str:
    """Return the command reference as Markdown."""
    application: Any = get_command(app)
    options = _parameters(application)
    shared = [option for option in options if _group(option) != _UNGROUPED]
    groups = {_group(option) for option in shared}
    parts = [_HEAD]
    rest = [item for item in options if item not in shared and not _is_help(item)]
    parts.append(_WITHOUT_COMMAND + "\n" + "\n".join(_table(rest)) + "\n")
    for words, command in _commands(application, ("asynccvat",)):
        parts.append("\n".join(_section(words, command, groups)))
    parts.append(_SHARED + "\n" + "\n".join(_table(shared)) + "\n")
    codes = (f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    parts.append(_EXIT_CODES + "\n".join(codes) + "\n")
    return "\n".join(parts)


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*words, name), command
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))


def _parameters(command: Any) -> list[Any]:
    """The options and arguments of a command, prepared as for its help."""
    return list(command.get_params(typer.Context(command)))


def _section(words: tuple[str, ...], command: Any, shared: set[str]) -> Iterator[str]:
    text, _, examples = command.help.partition("\n\nFor example:\n\n")
    own = [
        item for item in _parameters(command) if _group(item) not in shared and not _is_help(item)
    ]
    arguments = [item for item in own if item.param_type_name == "argument"]
    usage = [f"[{item.metavar}]" if not item.required else item.metavar for item in arguments]
    yield f"## {' '.join(words[1:])}\n"
    yield from (f"{textwrap.fill(_escaped(part), 100)}\n" for part in text.split("\n\n"))
    yield f"```text\n{' '.join((*words, '[OPTIONS]', *usage))}\n```\n"
    if examples:
        yield "For example:\n"
        yield "```sh\n{}\n```\n".format("\n".join(re.split(r"\n\n", examples)))
    for group in dict.fromkeys(map(_group, own)):
        yield f"**{group}**\n"
        yield from _table([item for item in own if _group(item) == group])
        yield ""


def _table(parameters: list[Any]) -> Iterator[str]:
    yield f"| {parameters[0].param_type_name} | meaning | default |"
    yield "|---|---|---|"
    for item in parameters:
        yield f"| {_name(item)} | {_escaped(item.help or '')} | {_default(item)} |"


def _name(item: Any) -> str:
    """The flags of an option with what they take, or the name of an argument."""
    if item.param_type_name == "argument":
        return f"`{item.metavar}`"
    flags = [f"`{flag}`" for flag in (*item.opts, *item.secondary_opts)]
    if not item.is_flag and not item.count:
        flags[0] = f"`{item.opts[0]} {item.metavar}`"
    return ", ".join(flags).replace("|", "\\|")


def _default(item: Any) -> str:
    default = getattr(item.default, "value", item.default)
    if default is None or default is False or item.show_default is False or default == ():
        return ""
    if default is True:
        return f"`{item.opts[0]}`"
    return f"`{default}`"


def _group(item: Any) -> str:
    if item.param_type_name == "argument":
        return "Arguments"
    return item.rich_help_panel or _UNGROUPED


def _is_help(item: Any) -> bool:
    return "--help" in getattr(item, "opts", ())


def _escaped(text: str) -> str:
    """Text for a cell or a paragraph: no bars, no HTML, JSON and file names as code."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")

"""Draw a command's page of help on stdout: usage, what it does, examples, options in panels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asynccvat.cli import output
from asynccvat.cli.help import panels
from asynccvat.cli.help.panels import Entry, Panel
from asynccvat.cli.help.parameters import OPTIONS, SHARED, panels_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_EXAMPLES = "For example:"
_FIRST_SHARED = ("--url", "--token")
_ROOT_FOOT = (
    "More: 'asynccvat COMMAND --help', 'asynccvat help topics'.",
    (
        "Exit codes: 0 done, 1 some failed, 2 usage, 3 login or permission, 4 server out of reach, "
        "5 refused, 130 interrupted; see 'asynccvat help exit-codes'."
    ),
)


def show(command: Any, context: Any, *, full: bool = False) -> None:
    """Write a command's help to stdout.

    Args:
        command: The command or group.
        context: Its context.
        full: Whether every option is shown with all that is known of it. Otherwise the page has at
            most `panels.MAX_LINES` lines at 80 columns.
    """
    console = output.results()
    width = max(40, min(console.width, panels.MAX_WIDTH))
    parameters = command.get_params(context)
    shown = panels_of(parameters, full=full)
    top = list(_head(command, context, parameters, width))
    foot = [] if full else list(_foot(context, shown, width))
    commands = [_in_lines(panel, width) for panel in _commands(command, context)]
    if not full:
        topics = {SHARED, *panels.NAMED_PANELS}
        if context.parent is None:
            topics.add(OPTIONS)
        shown = panels.shortened([panel for panel in shown if panel.title not in topics])
        used = len(top) + len(foot) + panels.height(commands, width, panels.names_width(commands))
        # typer writes an empty line at the end.
        shown = panels.fitted(shown, width, panels.MAX_LINES - used - 1)
    for line in top:
        console.print(_headed(line), soft_wrap=True)
    draw(console, shown, width)
    draw(console, commands, width)
    for line in foot:
        console.print(line, soft_wrap=True)


def draw(console: Console, shown: list[Panel], width: int) -> None:
    """Write panels to a console, their columns aligned."""
    column = panels.names_width(shown)
    for panel in shown:
        console.print(_drawn(panel, width, column), width=width)


def usage(command: Any, context: Any, parameters: Sequence[Any]) -> str:
    """Return how a command is written: its words, and the arguments that it takes."""
    words = [context.command_path, "[OPTIONS]"]
    for item in parameters:
        if item.param_type_name == "argument":
            name = item.metavar if item.required else f"[{item.metavar}]"
            words.append(name if item.nargs == 1 else f"{name}...")
    if hasattr(command, "commands"):
        words.append("COMMAND" if context.parent is None else "[COMMAND]")
    return f"Usage: {' '.join(words)}"


def _head(command: Any, context: Any, parameters: Sequence[Any], width: int) -> Iterator[str]:
    yield from textwrap.wrap(usage(command, context, parameters), width)
    text, _, examples = (command.help or "").partition(f"\n\n{_EXAMPLES}\n\n")
    for paragraph in filter(None, text.split("\n\n")):
        yield ""
        yield from textwrap.wrap(paragraph, width)
    if examples:
        yield ""
        yield _EXAMPLES
        # A line that is too long stays one line, so that it can be copied.
        yield from (f"  {example}" for example in examples.split("\n\n"))
    yield ""


def _foot(context: Any, shown: Sequence[Panel], width: int) -> Iterator[str]:
    """Yield the lines after the panels: what they leave out, and where that is explained."""
    lines = []
    flags = {panel.title: [item.flag for item in panel.entries] for panel in shown}
    for title, topic in panels.NAMED_PANELS.items():
        if title in flags:
            lines.append(f"{title}: {flags[title][0]} ...; see 'asynccvat help {topic}'.")
    if context.parent is None:
        lines.append(f"Options: {', '.join(flags[OPTIONS])}.")
    if SHARED in flags:
        lines.append(f"{SHARED}: {', '.join(_FIRST_SHARED)} ...; see 'asynccvat help connection'.")
    if context.parent is None:
        lines.extend(_ROOT_FOOT)
    else:
        words = " ".join(context.command_path.split()[1:])
        lines.append(f"Every option in full: 'asynccvat help {words}'.")
    for line in lines:
        yield from textwrap.wrap(line, width, break_on_hyphens=False)


def _commands(group: Any, context: Any) -> list[Panel]:
    """Return the panels of a group's commands; none for a command."""
    found: dict[str, list[Entry]] = {}
    for name, title, text in group.summaries(context) if hasattr(group, "summaries") else ():
        found.setdefault(title, []).append(Entry(name, text, name))
    return [Panel(title, tuple(entries)) for title, entries in found.items()]


def _in_lines(panel: Panel, width: int) -> Panel:
    """Return a panel of commands, each on a line if its first clauses fit."""
    room = width - panels.FRAME - panels.GAP - panels.names_width([panel])
    entries = tuple(replace(item, text=panels.one_line(item.text, room)) for item in panel.entries)
    return replace(panel, entries=entries)


def _headed(line: str) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415 - the start-up of commands stays light

    style = "bold" if line.startswith(("Usage:", _EXAMPLES)) else ""
    return Text(line, style)


def _drawn(panel: Panel, width: int, column: int) -> RenderableType:
    """Return a panel to print. Its lines are wrapped already."""
    from rich.panel import Panel as Frame  # noqa: PLC0415 - the start-up of commands stays light
    from rich.text import Text  # noqa: PLC0415 - the same

    content = Text(no_wrap=True)
    for number, (names, text) in enumerate(panels.lines(panel, width, column)):
        content.append("\n" if number else "")
        content.append(names, "bold cyan")
        content.append(text, "" if names else "dim")
    return Frame(content, title=panel.title, title_align="left", border_style="dim")

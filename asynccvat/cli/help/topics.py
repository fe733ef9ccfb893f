"""The topics of `asynccvat help`: texts for a terminal, with the options that they are about."""

from __future__ import annotations

from typing import Any

from asynccvat.cli import output
from asynccvat.cli.exit_codes import MEANINGS
from asynccvat.cli.help import page
from asynccvat.cli.help.panels import MAX_WIDTH
from asynccvat.cli.help.parameters import SHARED, panels_of

NAMES = {
    "topics": "The list of topics.",
    "completion": "Complete commands, options, formats, projects and profiles with the Tab key.",
    "connection": "The server, the account, and what stands between: proxies, certificates.",
    "environment": "The environment variables that asynccvat reads.",
    "exit-codes": "What the exit code of a command means.",
    "files": "The files that asynccvat reads and writes, and where they are.",
    "formats": "How to name a format.",
    "limits": "What an archive of the server may hold.",
    "output": "Tables, JSON and CSV; columns, order and number of rows; links; colours.",
    "selection": "Choose tasks: by project, id, name, status, user, date.",
}
"""The topics, each with what it is about."""

_OPTIONS_OF = {
    "connection": (None, SHARED),
    "limits": ("mirror", "Limits of archives"),
    "selection": ("mirror", "Selection"),
}
"""By topic, the command and the panel whose options it explains; None for those of all commands."""


def show(name: str, root: Any) -> None:
    """Write a topic to stdout.

    Args:
        name: One of `NAMES`.
        root: The context of the whole command line.
    """
    from rich.markdown import Markdown  # noqa: PLC0415 - the start-up of commands stays light
    from rich.theme import Theme  # noqa: PLC0415 - the same

    console = output.results()
    width = min(console.width, MAX_WIDTH)
    title, _, rest = text(name).partition("\n\n")
    console.print(title.removeprefix("# "), style="bold", end="\n\n")
    # The styles of rich have a black background, also on a light terminal.
    with console.use_theme(Theme({"markdown.code": "bold cyan"})):
        console.print(Markdown(rest, code_theme="ansi_light"), width=width)
    if name in _OPTIONS_OF:
        command_name, title = _OPTIONS_OF[name]
        command = root.command.commands[command_name] if command_name else root.command
        shown = panels_of(command.get_params(root), full=True)
        console.print()
        page.draw(console, [panel for panel in shown if panel.title == title], width)


def text(name: str) -> str:
    """Return a topic as Markdown."""
    if name == "topics":
        others = {other: about for other, about in NAMES.items() if other != name}
        return f"{_read(name)}\n\n{_table('topic', 'about', others)}"
    if name == "exit-codes":
        codes = {str(code.value): meaning for code, meaning in MEANINGS.items()}
        return f"{_read(name)}\n\n{_table('code', 'meaning', codes)}"
    return _read(name)


def _read(name: str) -> str:
    from importlib.resources import files  # noqa: PLC0415 - the start-up of commands stays light

    return (files("asynccvat.cli.help") / "texts" / f"{name}.md").read_text("utf-8")


def _table(left: str, right: str, rows: dict[str, str]) -> str:
    lines = (f"| {key} | {value} |" for key, value in rows.items())
    return "\n".join((f"| {left} | {right} |", "|---|---|", *lines))

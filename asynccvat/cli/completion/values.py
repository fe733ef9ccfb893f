"""Name the values that the Tab key offers for an option, by its flag."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import OptionInfo

Offer = tuple[str, str]
"""A value and what it means."""

Source = Callable[[Any, str], Iterable[Offer]]
"""Offers values for a context and the beginning of a word."""

SECONDS = 10.0
"""The longest time that completion takes, whatever it waits for."""

_MEANING_WIDTH = 60
_HARMLESS = str.maketrans("\\[]", "/()")
_LOST_IN_ZSH = re.compile(r"""[\\"']|  """)
_ACTIVE_IN_QUOTES = re.compile(r"""[\\"'$`!]""")


# The commands that know CVAT's JSON, which no server lists as a format.
_WITH_JSON = ("init", "mirror", "upload", "watch")


def formats(context: Any, begun: str) -> Iterable[Offer]:
    """Offer short names of formats, and for a word that begins none of them the exact names."""
    from asynccvat.cli.completion.answers import answers_for  # noqa: PLC0415 - as below
    from asynccvat.core.format_names import (  # noqa: PLC0415 - the start-up of commands stays light
        KNOWN_FORMATS,
        short_names,
        with_json,
    )

    known = answers_for(context, "formats").formats
    # The first stands for two formats of the server.
    names = KNOWN_FORMATS if known is None else (KNOWN_FORMATS[0], *known)
    short = short_names(names)
    offered = [*(with_json(short) if context.command.name in _WITH_JSON else short).items()]
    if not any(short.startswith(begun) for short, _ in offered):
        return [(name, "") for name in names]
    return offered


def project_ids(context: Any, begun: str) -> Iterable[Offer]:
    """Offer the ids of projects with their names, also after a comma."""
    before, comma, _ = begun.rpartition(",")
    return [
        (f"{before}{comma}{project_id}", name) for project_id, name in _projects(context).items()
    ]


def projects(context: Any, begun: str) -> Iterable[Offer]:
    """Offer the names of projects, and for a number their ids."""
    if begun[:1].isdecimal():
        return project_ids(context, begun)
    return [(name, f"project {project_id}") for project_id, name in _projects(context).items()]


def profiles(context: Any, begun: str) -> Iterable[Offer]:
    """Offer the saved profiles with their servers."""
    del context, begun
    from asynccvat.settings import saved_servers  # noqa: PLC0415 - the start-up stays light

    return saved_servers().items()


def logins(context: Any, begun: str) -> Iterable[Offer]:
    """Offer the saved logins with their servers."""
    del context, begun
    from asynccvat import saved_logins  # noqa: PLC0415 - the start-up stays light

    return [(one.name, one.url) for one in saved_logins().logins]


def _projects(context: Any) -> dict[int, str]:
    from asynccvat.cli.completion.answers import answers_for  # noqa: PLC0415 - asyncio is heavy

    return answers_for(context, "projects").projects or {}


SOURCES: dict[str, Source] = {
    "--format": formats,
    "--from": profiles,
    "--profile": profiles,
    "--project": projects,
    "--project-id": project_ids,
    "--to": profiles,
}
"""What offers the values of an option."""


def with_completion(annotation: Any) -> Any:
    """Let the Tab key complete the values of an option, if it is one of `SOURCES`.

    Args:
        annotation: The type of a parameter, as typer reads it.
    """
    if get_origin(annotation) is Annotated:
        for item in get_args(annotation)[1:]:
            if isinstance(item, OptionInfo) and item.autocompletion is None:
                # In an annotation, the first flag stands where the default would.
                flags = [item.default, *(item.param_decls or ())]
                sources = [SOURCES[flag] for flag in flags if flag in SOURCES]
                item.autocompletion = completing(sources[0]) if sources else None
    return annotation


def completing(source: Source) -> Callable[[typer.Context, str], list[Offer]]:
    """Return a source as typer wants it: one that writes nothing and never fails."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        offered: list[Offer] = []
        with suppress(Exception), redirect_stderr(io.StringIO()), _ended_in_time():
            offered = [
                (inserted, _for_display(meaning))
                for value, meaning in source(ctx, incomplete)
                # A terminal would obey the control characters of a name.
                if value.isprintable() and value.startswith(incomplete)
                for inserted in [_for_shell(value)]
                if inserted is not None
            ]
        return offered

    return complete


@contextmanager
def _ended_in_time() -> Iterator[None]:
    """End what the block waits for after a while: a file on a server that is gone, for example.

    Raises:
        TimeoutError: It took too long.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    rest, interval = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, rest, interval)
        signal.signal(signal.SIGALRM, before)


def _for_display(meaning: str) -> str:
    """Return a meaning in one short line without what a terminal, zsh or rich would obey.

    typer's script for zsh evaluates it, and escapes no backslash in it. typer reads it as markup,
    and breaks long lines, of which fish would offer the second one as a value.
    """
    plain = "".join(character if character.isprintable() else " " for character in meaning)
    return " ".join(plain.translate(_HARMLESS).split())[:_MEANING_WIDTH].rstrip()


def _for_shell(value: str) -> str | None:
    """Return a value as the shell inserts it, None if the shell would change or run a part of it.

    bash quotes nothing itself; zsh and fish do. typer's script for zsh evaluates each value
    before, and escapes no backslash in it.
    """
    shell = os.environ.get("_ASYNCCVAT_COMPLETE")
    if shell == "complete_zsh":
        return None if _LOST_IN_ZSH.search(value) else value
    if shell != "complete_bash":
        return value
    words = os.environ.get("COMP_WORDS", "").rstrip()
    if words.count('"') % 2 or words.count("'") % 2:
        return None if _ACTIVE_IN_QUOTES.search(value) else value
    if shlex.quote(value) == value:
        return value
    return "".join(character if _is_plain(character) else f"\\{character}" for character in value)


def _is_plain(character: str) -> bool:
    return character.isalnum() or character in "-_./:=@%+,"

"""`asynccvat help`: a command with every option, or a topic."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from asynccvat.cli.completion.values import Offer, completing
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.help import page, topics


def _offers(context: Any, begun: str) -> Iterable[Offer]:
    """Offer commands and topics."""
    del begun
    group: Any = context.find_root().command
    for word in context.params.get("words") or ():
        group = getattr(group, "commands", {}).get(word)
    commands = getattr(group, "commands", {})
    yield from ((name, one.help.split("\n")[0]) for name, one in commands.items())
    if not context.params.get("words"):
        yield from topics.NAMES.items()


def help_(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND|TOPIC",
            help="A command or a topic; without it, topics.",
            autocompletion=completing(_offers),
        ),
    ] = None,
) -> None:
    """Explain a command with every option, or a topic.

    For example:

    asynccvat help mirror

    asynccvat help connection

    asynccvat help topics
    """
    named = list(words or ["topics"])
    found = _command(ctx, named)
    if found is not None:
        page.show(*found, full=True)
    elif len(named) == 1 and named[0] in topics.NAMES:
        topics.show(named[0], ctx.find_root())
    else:
        raise _unknown(ctx, named)
    raise typer.Exit(ExitCode.DONE)


def _command(ctx: typer.Context, words: list[str]) -> tuple[Any, Any] | None:
    """Return the command with these names, and a context for its help; None if there is none."""
    context: Any = ctx.find_root()
    command: Any = context.command
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            return None
        context = typer.Context(command, info_name=word, parent=context)
    return command, context


def _unknown(ctx: typer.Context, named: list[str]) -> typer.BadParameter:
    """Return the error for what is neither a command nor a topic."""
    known = [name for name, _ in _offers(ctx.find_root(), "")]
    near = difflib.get_close_matches(named[0], known, n=1)
    hint = f"Did you mean {near[0]}?" if near else "'asynccvat help' lists the topics."
    return typer.BadParameter(
        f"{' '.join(named)!r} is neither a command nor a topic. {hint}",
        param_hint="COMMAND|TOPIC",
    )

"""Make a command of a function: option groups expanded, the shared options added."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import typer

from asynccvat.cli import pasted
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.completion.values import with_completion
from asynccvat.cli.given import given_command
from asynccvat.cli.option_groups import parameters_of, take
from asynccvat.cli.shared_options import SharedOptions


@dataclass(slots=True)
class Invocation:
    """One call of the command line: what `main` still knows after a command failed.

    Attributes:
        shared: The shared options.
        words: What was typed after the program's name.
    """

    shared: SharedOptions = field(default_factory=SharedOptions)
    words: tuple[str, ...] = ()


def command(function: Callable[..., int]) -> Callable[..., None]:
    """Make a command of a function that takes `SharedOptions` first and returns an exit code.

    The function's other parameters are the command's own options. A parameter whose type is a
    dataclass stands for an option for each of its fields. The shared options come last.

    For the callback of a group of commands, the function runs if no command of the group follows.
    One that follows takes over the shared options that stand before it.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    groups = {item.name: item.annotation for item in own if _is_group(item.annotation)}
    options = [
        option
        for item in own
        for option in (parameters_of(groups[item.name]) if item.name in groups else [item])
    ]
    own_names = [item.name for item in options]

    @functools.wraps(function)
    def wrapper(ctx: typer.Context, **given: Any) -> None:
        invocation = ctx.ensure_object(Invocation)
        shared = take(SharedOptions, given)
        invocation.shared = invocation.shared.overridden_by(shared)
        if ctx.invoked_subcommand is not None:
            _refuse_options_of_the_group(ctx, own_names)
            return
        servers = pasted.take_ids(given)
        if servers:
            invocation.shared = replace(invocation.shared, pasted=servers)
        taken = {name: take(group, given) for name, group in groups.items()}
        for name, options in taken.items():
            if isinstance(options, ResultOptions):
                taken[name] = replace(options, command=given_command(ctx, invocation.words))
        raise typer.Exit(function(invocation.shared, **given, **taken))

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    set_signature(wrapper, [context, *options, *parameters_of(SharedOptions)])
    return wrapper


def _is_group(annotation: Any) -> bool:
    return is_dataclass(annotation)


def _refuse_options_of_the_group(ctx: typer.Context, names: list[str]) -> None:
    """Refuse the group's own options before one of its commands, which would ignore them.

    Raises:
        typer.BadParameter: One was given.
    """
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(
                f"it is not for '{ctx.invoked_subcommand}'. Put that command's own options after "
                "it.",
                param_hint=parameter.opts[0],
            )


def set_signature(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Set the signature from which typer reads a command's options; all are keywords."""
    by_keyword = [
        item.replace(
            kind=inspect.Parameter.KEYWORD_ONLY, annotation=with_completion(item.annotation)
        )
        for item in parameters
    ]
    function.__signature__ = inspect.Signature(by_keyword)  # type: ignore[attr-defined]  # a hook
    function.__annotations__ = {item.name: item.annotation for item in by_keyword}

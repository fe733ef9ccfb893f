"""Commands whose options cost nothing where there is nothing to convert.

typer may convert values with pydantic, whose import takes as long as all else that a command line
has to load. It does so for defaults, too, and for text that is to be text; but those are what they
should be from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class _LightOption(TyperOption):
    """An option that takes its default, and text for text, as it is."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        source = ctx.get_parameter_source(self.name or "")
        default = source is not None and source.name == "DEFAULT" and value is self.default
        if default and value is None and self.multiple:
            value = ()
        if self.required or not (default or _is_text(self, value)):
            return super().process_value(ctx, value)
        return value if self.callback is None else self.callback(ctx, self, value)


class _LightArgument(TyperArgument):
    """An argument that takes text for text as it is."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        if self.callback is None and _is_text(self, value):
            return value
        return super().process_value(ctx, value)


def _is_text(parameter: TyperOption | TyperArgument, value: object) -> bool:
    """Whether a value is text, or texts, and meant to be; unknown with some versions of typer."""
    meant = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(value, list | tuple):
        return meant == list[str] and all(isinstance(text, str) for text in value)
    return isinstance(value, str) and meant is str


class LightCommand(TyperCommand):
    """A command with such options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what was given."""
        _lighten(self.get_params(ctx))
        return super().parse_args(ctx, args)


class LightGroup(TyperGroup):
    """A group of commands with such options of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what was given before the command."""
        _lighten(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _lighten(parameters: Iterable[object]) -> None:
    # typer offers no other way to choose the classes of its parameters.
    for parameter in parameters:
        if type(parameter) is TyperOption:
            parameter.__class__ = _LightOption
        elif type(parameter) is TyperArgument:
            parameter.__class__ = _LightArgument

"""Commands whose options cost nothing where nobody gave them.

typer may convert values with pydantic, whose import takes as long as all else that a command line
has to load. It converts defaults, too; but those are of their type from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


class _LightOption(TyperOption):
    """An option that takes its default as it is."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        source = ctx.get_parameter_source(self.name or "")
        given = source is None or source.name != "DEFAULT"
        if given or self.required or value is not self.default:
            return super().process_value(ctx, value)
        if value is None and self.multiple:
            value = ()
        return value if self.callback is None else self.callback(ctx, self, value)


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
    # typer offers no other way to choose the class of its options.
    for parameter in parameters:
        if type(parameter) is TyperOption:
            parameter.__class__ = _LightOption

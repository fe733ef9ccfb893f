"""Commands for typer that start quickly and whose help shows no Python types.

typer converts the values of options with pydantic, defaults and plain texts included. These need
no conversion here, so a command without other values imports no pydantic. That takes
`asynccvat mirror data/ --project-id 5` from 213 to 128 ms of processor time, measured until it
misses the server's address (medians of 15 runs, typer 0.29). `--help` gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class _PlainOption(TyperOption):
    """An option that takes its default, and a text that is to be a text, as they are."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        source = ctx.get_parameter_source(self.name or "")
        default = source is not None and source.name == "DEFAULT" and value is self.default
        if default and value is None and self.multiple:
            value = ()
        if self.required or not (default or _is_text(self, value)):
            return super().process_value(ctx, value)
        return value if self.callback is None else self.callback(ctx, self, value)


class _PlainArgument(TyperArgument):
    """An argument that takes a text that is to be a text as it is."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        if self.callback is None and _is_text(self, value):
            return value
        return super().process_value(ctx, value)

    def display_type_rich(self, ctx: Any) -> str | None:
        """Show no type in the help; the argument's name is enough."""
        del ctx
        return None


def _is_text(parameter: TyperOption | TyperArgument, value: object) -> bool:
    """Whether a value is a text and its parameter takes texts; False where typer does not tell."""
    wanted = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(value, list | tuple):
        return wanted == list[str] and all(isinstance(text, str) for text in value)
    return isinstance(value, str) and wanted is str


class Command(TyperCommand):
    """A command that prepares its options and arguments in this way."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = _reflowed(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, prepared."""
        return _prepared(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands that prepares its options and arguments in this way."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = _reflowed(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, prepared."""
        return _prepared(super().get_params(ctx))


def _reflowed(text: str | None) -> str | None:
    """Join the lines of each paragraph; typer would keep the line breaks of the source."""
    if text is None:
        return None
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _prepared(parameters: Iterable[Any]) -> list[Any]:
    found = list(parameters)
    for item in found:
        # typer offers no other way to choose the classes of its parameters.
        if type(item) is TyperOption:
            item.__class__ = _PlainOption
        elif type(item) is TyperArgument:
            item.__class__ = _PlainArgument
        if isinstance(item, TyperOption) and item.metavar is None:
            item.metavar = _metavar(item)
    return found


def _metavar(option: Any) -> str:
    """What stands for an option's value in the help, instead of a Python type."""
    if option.is_flag or option.count:
        return ""
    # Older versions of typer keep the bounds at the type.
    bounds = getattr(option, "type", option)
    if getattr(bounds, "min", None) is not None or getattr(bounds, "max", None) is not None:
        return "N"
    return str(option.opts[0]).removeprefix("--").replace("-", "_").upper()

"""Make the options of a command from dataclasses, and the dataclasses from what was given.

A dataclass of the engine declares its options at its fields (`core.declarations`); one of the
command line annotates its fields with `typer.Option`. `cli.command` uses both alike.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar, cast, get_type_hints

import typer

from asynccvat.cli import parsing
from asynccvat.core import quantities
from asynccvat.core.declarations import (
    Folder,
    Ids,
    JsonLogic,
    Moment,
    Number,
    Option,
    Quantity,
    Switch,
    Text,
    Texts,
    declared_options,
    make_options,
    opposite_flag,
)

T = TypeVar("T")

# The type checker does not know enumerations whose values are known only at run time.
_make_choices = cast("Callable[[str, list[tuple[str, str]]], type]", StrEnum)

ID_SOURCES = "May be repeated, or a list like 147,200-299; @FILE or - (stdin) holds ids."
"""How ids may be given, for the help of an option that takes them."""


@functools.cache
def parameters_of(group: type) -> tuple[inspect.Parameter, ...]:
    """Return the fields of a dataclass as keyword parameters that typer understands."""
    declared = tuple(_parameter(item) for item in declared_options(group))
    if declared:
        return declared
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        _keyword(item.name, item.default, hints[item.name])
        for item in fields(group)
        if _is_option(item)
    )


def take(group: type[T], given: dict[str, Any]) -> T:
    """Make a dataclass of its options' values, which are removed from `given`.

    Raises:
        typer.BadParameter: A value cannot be read.
        ConfigError: The dataclass refuses a value.
    """
    declared = {item.name: item for item in declared_options(group)}
    if declared:
        values = {name: _value(item, given.pop(_name(item))) for name, item in declared.items()}
    else:
        names = [item.name for item in fields(cast("Any", group)) if _is_option(item)]
        values = {name: given.pop(name) for name in names}
    return make_options(group, values)


def _name(item: Option) -> str:
    """Return the name of an option's parameter.

    The projects of a selection, and whether projects are backed up, have one name in two groups.
    """
    return item.key if isinstance(item.kind, Texts) else item.name


def _is_option(item: Field[Any]) -> bool:
    """Whether a field of a dataclass of the command line is an option: others are keyed so."""
    return "not an option" not in item.metadata


def flags_given(value: object) -> dict[str, str]:
    """Return the flags of the options that differ from their defaults, by their fields."""
    return {
        item.name: item.flag
        for item in declared_options(type(value))
        if item.value_in(value) != item.default
    }


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _parameter(item: Option) -> inspect.Parameter:
    default = item.default
    type_: Any = str if isinstance(default, str) else str | None
    more: dict[str, Any] = {}
    help_ = item.help
    flag = item.flag
    match item.kind:
        case Switch() if default is None:
            type_, flag = bool | None, f"{flag}/{opposite_flag(flag)}"
        case Switch():
            type_, default = bool, False
        case Number(least=least, most=most):
            type_ = int if isinstance(default, int) else int | None
            more = {"min": least, "max": most, "metavar": "N"}
        case Ids():
            type_, more = list[str] | None, {"metavar": "ID"}
            help_ += f" {ID_SOURCES}"
        case Texts(metavar=metavar):
            type_, more = list[str] | None, {"metavar": metavar}
            help_ += " May be repeated."
        case Text(choices=choices) if choices:
            type_ = _make_choices("Choice", [(choice, choice) for choice in choices])
            default = None if default is None else type_(default)
            type_ = type_ | None if default is None else type_
            more = {"metavar": item.key.upper()}
            if not all(choice in help_ for choice in choices):
                help_ = f"{help_.removesuffix('.')}: {', '.join(choices[:-1])} or {choices[-1]}."
        case Quantity(write=write, metavar=metavar):
            default, more = None if default is None else write(default), {"metavar": metavar}
            type_ = str | None if default is None else str
        case (
            Text(metavar=metavar)
            | Folder(metavar=metavar)
            | Moment(metavar=metavar)
            | JsonLogic(metavar=metavar)
        ):
            more = {"metavar": metavar or "NAME"}
    flags = [flag, *([item.short] if item.short else [])]
    option = typer.Option(*flags, help=help_, rich_help_panel=item.group, **more)
    return _keyword(_name(item), default, Annotated[type_, option])


def _value(item: Option, given: Any) -> Any:
    """Return the value of a field for the text of an option."""
    match item.kind:
        case Switch():
            return item.switched(given=given)
        case Ids():
            return parsing.ids(given or (), item.flag) or None
        case Texts():
            return tuple(dict.fromkeys(given or ())) or None
        case Quantity(read=read) if given is not None:
            return parsing.read(read, given, item.flag)
        case JsonLogic() if given is not None:
            return parsing.read(quantities.json_logic, given, item.flag)
        case Moment() if given is not None:
            return parsing.since(given, item.flag, now=datetime.now(UTC))
        case Text() if isinstance(given, StrEnum):
            return given.value
        case _:
            return given

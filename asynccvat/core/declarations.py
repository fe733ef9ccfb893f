"""Declare how users write an option: its flag, its key in a run file, its help.

An option is declared once, at the field of the dataclass that holds its value (`options`,
`selection`). `cli.option_groups` makes the flags of the command line from these declarations,
`runfiles.declarations` the keys of run files and their JSON Schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from asynccvat.core import quantities

T = TypeVar("T")

_METADATA = "asynccvat.option"
_NESTED = "asynccvat.options"

SELECTION = "Selection"
RUNNING = "How it runs"
REPLACING = "Removing and replacing"
LIMITS = "Limits of archives"
WATCHING = "Watching"
"""The groups in which a command's help lists its options."""


@dataclass(frozen=True, slots=True)
class Switch:
    """True or false. The flag takes no value; it sets the opposite of the default.

    With the default None there are two flags, like `--images` and `--no-images`.
    """


def opposite_flag(flag: str) -> str:
    """Return the second flag of a switch: `--no-images`, or `--with-exports`."""
    if flag.startswith("--without-"):
        return f"--with-{flag.removeprefix('--without-')}"
    return f"--no-{flag.removeprefix('--')}"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number.

    Attributes:
        least: The smallest number that is accepted.
        example: A number for error messages.
        most: The largest number that is accepted, None for any.
    """

    least: int
    example: int
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A text.

    Attributes:
        choices: The texts that are accepted; none means any.
        metavar: What stands for the value in the help of the command line.
        may_be_empty: Whether the empty text is accepted.
    """

    choices: tuple[str, ...] = ()
    metavar: str | None = None
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Texts:
    """Several texts; the flag may be repeated.

    Attributes:
        metavar: What stands for one of them in the help of the command line.
        or_ids: Whether each may be an id instead, in run files a number.
    """

    metavar: str = "NAME"
    or_ids: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder."""

    metavar: str = "DIR"


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids of the server; the flag may be repeated, and takes lists like 147,148."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A size, a duration or a share, which users write as text.

    Attributes:
        read: Makes the value from the text. Its `ValueError` says how to write one.
        write: Makes the text from the value.
        metavar: What stands for the value in the help of the command line.
        pattern: Matches the accepted texts, for editors of run files.
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str]
    metavar: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, or an age that is subtracted from the time of reading."""

    metavar: str = "WHEN"


@dataclass(frozen=True, slots=True)
class JsonLogic:
    """A filter of CVAT: JSON logic as text, in run files also as YAML."""

    metavar: str = "JSON"


Kind = Switch | Number | Text | Texts | Folder | Ids | Quantity | Moment | JsonLogic

SIZE = Quantity(
    quantities.size,
    quantities.size_text,
    "SIZE",
    r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?([iI]?[bB])?(/[sS])?\s*$",
)
DURATION = Quantity(
    quantities.duration,
    quantities.duration_text,
    "TIME",
    r"^\s*\d+(\.\d+)?([smhdwSMHDW]\s*)?(\d.*)?$",
)
DURATION_OR_NONE = Quantity(
    quantities.duration_or_none, quantities.duration_text, DURATION.metavar, DURATION.pattern
)
COUNT_OR_TIME = Quantity(
    quantities.count_or_time, str, "N|TIME", r"^\s*0*[1-9]\d*([smhdwSMHDW](\d+[smhdwSMHDW])*)?\s*$"
)
COUNT_OR_SHARE = Quantity(quantities.count_or_share, str, "N|P%", r"^\s*\d+(\.\d+)?\s*%?\s*$")


@dataclass(frozen=True, slots=True)
class Option:
    """How users write the value of a field.

    Attributes:
        name: The field; that of a nested dataclass begins with the field that holds this.
        default: The field's default.
        flag: The option of the command line, like `--max-delete`.
        help: What the value means: sentences with a full stop.
        kind: Which values there are.
        group: The group of the command's help; None lists it without a group.
        short: The short option, like `-t`.
        path: The names of the fields that lead to the value.
    """

    name: str
    default: Any
    flag: str
    help: str
    kind: Kind
    group: str | None
    short: str | None
    path: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key of a run file: the flag's name with underscores."""
        return self.flag.removeprefix("--").replace("-", "_")

    def switched(self, *, given: bool | None) -> bool | None:
        """Return a switch's value: the opposite of the default if the flag was given."""
        return given if self.default is None else bool(self.default) != bool(given)

    def value_in(self, options: object) -> Any:
        """Return the value in a dataclass that declares the option."""
        value: Any = options
        for name in self.path:
            value = getattr(value, name)
        return value


def option(
    default: T,
    flag: str,
    help: str,  # noqa: A002 - the word that typer and argparse use for it
    kind: Kind,
    *,
    group: str | None = RUNNING,
    short: str | None = None,
) -> T:
    """Declare a dataclass field that users can set.

    Args:
        default: The field's default.
        flag: The option of the command line.
        help: What the value means: sentences with a full stop.
        kind: Which values there are.
        group: The group of the command's help.
        short: The short option.
    """
    declaration = {"flag": flag, "help": help, "kind": kind, "group": group, "short": short}
    return field(default=default, metadata={_METADATA: declaration})


def option_group(group: type[T]) -> T:
    """Declare a dataclass field that holds another dataclass with declared fields."""
    return field(default_factory=group, metadata={_NESTED: group})


def declared_options(group: type) -> Iterator[Option]:
    """Yield the declared fields of a dataclass: its own, then inherited ones.

    Those of a nested dataclass stand in the place of its field.
    """
    own = group.__annotations__
    for item in sorted(fields(group), key=lambda item: item.name not in own):
        if _METADATA in item.metadata:
            yield _of_field(item)
        elif _NESTED in item.metadata:
            for nested in declared_options(item.metadata[_NESTED]):
                name, path = f"{item.name}_{nested.name}", (item.name, *nested.path)
                yield replace(nested, name=name, path=path)


def make_options(group: type[T], values: Mapping[str, Any]) -> T:
    """Make a dataclass of the values of its options, by their names."""
    flat = dict(values)
    nested = {
        item.name: make_options(item.metadata[_NESTED], inner)
        for item in fields(cast("Any", group))
        if _NESTED in item.metadata and (inner := _take_nested(item, flat))
    }
    return group(**flat, **nested)


def _take_nested(item: Field[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Take the values of a nested dataclass out of all values."""
    names = [nested.name for nested in declared_options(item.metadata[_NESTED])]
    return {
        name: values.pop(f"{item.name}_{name}") for name in names if f"{item.name}_{name}" in values
    }


def _of_field(item: Field[Any]) -> Option:
    return Option(
        name=item.name, default=item.default, path=(item.name,), **item.metadata[_METADATA]
    )

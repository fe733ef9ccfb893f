"""Declare how users write an option: its flag, its key in a run file, its help.

An option is declared once, at the field of the dataclass that holds its value (`options`,
`selection`). `cli.option_groups` makes the flags of the command line from these declarations,
`runfiles.declarations` the keys of run files and their JSON Schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from asynccvat.core import quantities

T = TypeVar("T")

_METADATA = "asynccvat.option"

SELECTION = "Selection"
RUNNING = "How it runs"
REPLACING = "Removing and replacing"
"""The groups in which a command's help lists its options."""


@dataclass(frozen=True, slots=True)
class Switch:
    """True or false. The flag takes no value; it sets the opposite of the default."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number.

    Attributes:
        least: The smallest number that is accepted.
        example: A number for error messages.
    """

    least: int
    example: int


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


Kind = Switch | Number | Text | Ids | Quantity | Moment | JsonLogic

SIZE = Quantity(
    quantities.size,
    str,
    "SIZE",
    r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?([iI]?[bB])?(/[sS])?\s*$",
)
DURATION = Quantity(
    quantities.duration,
    quantities.duration_text,
    "TIME",
    r"^\s*\d+(\.\d+)?([smhdwSMHDW]\s*)?(\d.*)?$",
)
COUNT_OR_SHARE = Quantity(quantities.count_or_share, str, "N|P%", r"^\s*\d+(\.\d+)?\s*%?\s*$")


@dataclass(frozen=True, slots=True)
class Option:
    """How users write the value of a field.

    Attributes:
        name: The field.
        default: The field's default.
        flag: The option of the command line, like `--max-delete`.
        help: What the value means: sentences with a full stop.
        kind: Which values there are.
        group: The group of the command's help; None lists it without a group.
        short: The short option, like `-t`.
    """

    name: str
    default: Any
    flag: str
    help: str
    kind: Kind
    group: str | None
    short: str | None

    @property
    def key(self) -> str:
        """The key of a run file: the flag's name with underscores."""
        return self.flag.removeprefix("--").replace("-", "_")

    def switched(self, *, given: bool) -> bool:
        """Return a switch's value: the opposite of the default if the flag was given."""
        return bool(self.default) != given


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


def declared_options(group: type) -> Iterator[Option]:
    """Yield the declared fields of a dataclass: its own, then inherited ones."""
    own = group.__annotations__
    for item in sorted(fields(group), key=lambda item: item.name not in own):
        if _METADATA in item.metadata:
            yield _of_field(item)


def _of_field(item: Field[Any]) -> Option:
    return Option(name=item.name, default=item.default, **item.metadata[_METADATA])

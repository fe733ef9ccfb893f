"""The kinds of values in a run file. Each reads a node, and describes itself as JSON Schema.

So what is accepted and what an editor is told come from one declaration. A value that cannot be
read is told to the `Reader`, with its place, and is None from then on.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import yaml

from asynccvat.core import quantities
from asynccvat.core.urls import ServerUrl
from asynccvat.errors import ConfigError
from asynccvat.runfiles.nodes import Entry, Place, Reader, described, tag

Schema = dict[str, Any]
_SCALARS = ("str", "int", "float", "bool", "timestamp")


class Kind(Protocol):
    """A kind of value."""

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""

    def read(self, node: yaml.Node, reader: Reader, name: str) -> Any:
        """The value of a node; None, and told, where it is of another kind."""


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "boolean"}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> bool | None:
        """The value of a node."""
        if tag(node) != "bool":
            reader.tell(node, f"{name!r} must be true or false, not {described(node)}")
            return None
        return bool(reader.value(node))


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int
    example: int = 147

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "integer", "minimum": self.least}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> int | None:
        """The value of a node."""
        value = reader.value(node) if tag(node) == "int" else None
        if value is None or value < self.least:
            quoted = tag(node) == "str" and node.value.isdecimal()
            hint = " (write it without quotes)" if quoted else f" like {self.example}"
            reader.tell(
                node,
                f"{name!r} must be a whole number from {self.least}{hint}, not {described(node)}",
            )
            return None
        return int(value)


@dataclass(frozen=True, slots=True)
class Text:
    """A text; one of `words` where there are any."""

    words: tuple[str, ...] = ()
    may_be_empty: bool = False

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        if self.words:
            return {"enum": list(self.words)}
        return {"type": "string", "minLength": 0 if self.may_be_empty else 1}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> str | None:
        """The value of a node."""
        if tag(node) != "str" or not (node.value or self.may_be_empty):
            what = "an empty text" if tag(node) == "str" else described(node)
            hint = " (put it in quotes)" if tag(node) in _SCALARS[1:] else ""
            reader.tell(node, f"{name!r} must be a text{hint}, not {what}")
            return None
        if self.words and node.value not in self.words:
            near = difflib.get_close_matches(node.value.lower(), self.words, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            reader.tell(
                node,
                f"{name!r} must be one of {', '.join(self.words)}, not {node.value!r}{hint}",
            )
            return None
        return str(node.value)


@dataclass(frozen=True, slots=True)
class Setting:
    """A server's setting, as it was written: a password of digits is no number, nor ever shown."""

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": ["string", "number", "boolean"]}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> str | None:
        """The value of a node."""
        if tag(node) not in _SCALARS:
            reader.tell(node, f"{name!r} must be a single value")
            return None
        return str(node.value)


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address."""

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "string", "pattern": r"^\s*[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\s]+(/api)?/?\s*$"}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> str | None:
        """The value of a node."""
        if tag(node) not in _SCALARS:
            reader.tell(node, f"{name!r} must be a single value")
            return None
        try:
            ServerUrl.parse(str(node.value))
        except ConfigError as error:
            reader.tell(node, f"{name!r}: {error.message}")
            return None
        return str(node.value)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A size, a duration or a share: a text or a number that a function reads.

    Attributes:
        parse: Makes a value of the text. Its `ValueError` says how to write one.
        pattern: Matches the accepted texts, for editors.
    """

    parse: Callable[[str], Any]
    pattern: str

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        text = {"type": "string", "pattern": self.pattern}
        return {"anyOf": [text, {"type": "number", "minimum": 0}]}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> Any:
        """The value of a node."""
        return _parsed(self.parse, node, reader, name, ("str", "int", "float"))


@dataclass(frozen=True, slots=True)
class Date:
    """A date, or an age that is subtracted from the time of reading."""

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"type": "string", "pattern": r"^\s*\d"}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> str | None:
        """The value of a node, as an ISO date and time."""
        parse = partial(quantities.since, now=datetime.now(UTC))
        found: str | None = _parsed(parse, node, reader, name, ("str", "timestamp"))
        return found


def _parsed(
    parse: Callable[[str], Any], node: yaml.Node, reader: Reader, name: str, tags: Collection[str]
) -> Any:
    """What a function makes of a node's text; None, and reported, if it cannot read it."""
    if tag(node) not in tags:
        reader.tell(node, f"{name!r} must be a text, in quotes, not {described(node)}")
        return None
    try:
        return parse(node.value)
    except ValueError as error:
        reader.tell(node, f"{name!r} cannot be {described(node)}: {error}")
        return None


@dataclass(frozen=True, slots=True)
class JsonLogic:
    """A filter of the server's own: JSON logic, as YAML or as the text of it."""

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        return {"anyOf": [{"type": "string", "minLength": 2}, {"type": "object"}]}

    def read(self, node: yaml.Node, reader: Reader, name: str) -> str | None:
        """The value of a node, as JSON."""
        if tag(node) == "str":
            return str(node.value)
        if tag(node) == "map":
            with contextlib.suppress(ValueError, TypeError):
                return json.dumps(reader.value(node))
        reader.tell(
            node,
            f'{name!r} must be JSON logic, like {{"==": [{{"var": "assignee"}}, "ann"]}}, not '
            + described(node),
        )
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that holds something; a single value, too, where `or_one`."""

    of: Kind
    example: str
    or_one: bool = False
    unique: bool = False

    @property
    def schema(self) -> Schema:
        """As JSON Schema."""
        many: Schema = {"type": "array", "items": self.of.schema, "minItems": 1}
        if self.unique:
            many["uniqueItems"] = True
        return {"anyOf": [self.of.schema, many]} if self.or_one else many

    def read(self, node: yaml.Node, reader: Reader, name: str) -> list[tuple[Any, Place]] | None:
        """The values of a node, each with its place."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            if self.or_one and isinstance(node, yaml.ScalarNode):
                value = self.of.read(node, reader, name)
                return None if value is None else [(value, reader.place(node))]
            reader.tell(node, f"{name!r} must be a list like {self.example}, not {described(node)}")
            return None
        found: list[tuple[Any, Place]] = []
        seen: set[Any] = set()
        for item in node.value:
            value = self.of.read(item, reader, name)
            if value is None:
                continue
            if self.unique and value in seen:
                reader.tell(item, f"{value!r} is in {name!r} already: leave one away")
                continue
            found.append((value, reader.place(item)))
            if self.unique:
                seen.add(value)
        return found


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a mapping."""

    kind: Kind
    help: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What a mapping holds.

    Attributes:
        place: Where it begins.
        values: By key; only what is set and could be read.
        entries: By key, what is set, readable or not.
    """

    place: Place
    values: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def all_of(self, key: str) -> list[tuple[Any, Place]]:
        """The items of a list; none where one of them could not be read."""
        items: list[tuple[Any, Place]] = self.values.get(key, [])
        return items if items and len(items) == len(self.entries[key].value.value) else []


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping with certain keys.

    Attributes:
        keys: Those that there are.
        either: Of each of these sets of keys one is needed, or the other.
    """

    keys: Mapping[str, Key]
    either: tuple[tuple[str, ...], ...] = ()

    @property
    def schema(self) -> Schema:
        """As JSON Schema. A null counts as left out, but where a key is required."""
        schema: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {
                    "description": key.help,
                    **(key.kind.schema if key.required else _or_null(key.kind.schema)),
                }
                for name, key in self.keys.items()
            },
        }
        required = [name for name, key in self.keys.items() if key.required]
        if required:
            schema["required"] = required
        if self.either:
            schema["anyOf"] = [
                {
                    "required": list(names),
                    "properties": {name: {"not": {"type": "null"}} for name in names},
                }
                for names in self.either
            ]
        return schema

    def read(self, node: yaml.Node, reader: Reader, name: str) -> Section | None:
        """The section of a node; what cannot be read of it is told and left out."""
        if not isinstance(node, yaml.MappingNode):
            reader.tell(
                node, f"{name!r} must hold keys like {next(iter(self.keys))!r}: {described(node)}"
            )
            return None
        entries = reader.entries(node, self.keys)
        for key in (key for key, item in self.keys.items() if item.required):
            if key not in entries:
                reader.tell(node, f"{key!r} is missing here: {self.keys[key].help}")
        if self.either and not any(entries.keys() >= set(names) for names in self.either):
            ways = " or ".join(" and ".join(map(repr, names)) for names in self.either)
            reader.tell(node, f"{ways} is missing here")
        values = {
            key: value
            for key, entry in entries.items()
            if (value := self.keys[key].kind.read(entry.value, reader, key)) is not None
        }
        return Section(reader.place(node), values, entries)


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}

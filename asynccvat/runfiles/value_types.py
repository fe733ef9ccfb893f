"""Types of values in a run file. Each reads a YAML node and has a JSON Schema.

So the validator and the schema for editors come from one declaration. A value that cannot be read
is reported to the `NodeReader` with its position, and becomes None. `mappings` has the type of a
mapping with keys.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import yaml

from asynccvat.core import quantities
from asynccvat.core.wire.urls import ServerUrl
from asynccvat.errors import ConfigError
from asynccvat.runfiles.nodes import FilePosition, NodeReader, described, tag
from asynccvat.settings.yaml_file import header_lines

Schema = dict[str, Any]
ADDRESS = re.compile(r"^\s*[Hh][Tt][Tt][Pp][Ss]?:/")
"""What addresses begin with. As paths they would be folders named `https:`."""

_SCALARS = ("str", "int", "float", "bool", "timestamp")


class ValueType(Protocol):
    """A type of values."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> Any:
        """Read the value of a node; report it and return None if it is of another type."""


@dataclass(frozen=True, slots=True)
class BooleanType:
    """True or false."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {"type": "boolean"}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> bool | None:
        """Read the value of a node."""
        if tag(node) != "bool":
            reader.report(node, f"{name!r} must be true or false, not {described(node)}")
            return None
        return bool(reader.value(node))


@dataclass(frozen=True, slots=True)
class IntegerType:
    """A whole number."""

    least: int
    example: int = 147
    most: int | None = None

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        most = {} if self.most is None else {"maximum": self.most}
        return {"type": "integer", "minimum": self.least, **most}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> int | None:
        """Read the value of a node."""
        value = reader.value(node) if tag(node) == "int" else None
        if value is None or value < self.least or (self.most is not None and value > self.most):
            quoted = tag(node) == "str" and node.value.isdecimal()
            hint = " (write it without quotes)" if quoted else f" like {self.example}"
            wanted = f"{self.least}" if self.most is None else f"{self.least} to {self.most}"
            reader.report(
                node,
                f"{name!r} must be a whole number from {wanted}{hint}, not {described(node)}",
            )
            return None
        return int(value)


@dataclass(frozen=True, slots=True)
class TextType:
    """A text; if there are `words`, one of them; as a path, no address."""

    words: tuple[str, ...] = ()
    may_be_empty: bool = False
    is_path: bool = False

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        if self.words:
            return {"enum": list(self.words)}
        if self.is_path:
            return {"type": "string", "pattern": r"\S", "not": {"pattern": ADDRESS.pattern}}
        return {"type": "string"} if self.may_be_empty else {"type": "string", "pattern": r"\S"}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | None:
        """Read the value of a node."""
        if tag(node) != "str" or not (node.value.strip() or self.may_be_empty):
            what = "an empty text" if tag(node) == "str" else described(node)
            hint = " (put it in quotes)" if tag(node) in _SCALARS[1:] else ""
            reader.report(node, f"{name!r} must be a text{hint}, not {what}")
            return None
        if self.is_path and ADDRESS.search(node.value):
            # One with a password in it is not repeated.
            shown = "an address" if "@" in node.value else f"the address {node.value!r}"
            reader.report(
                node,
                f"{name!r} must be a path, not {shown}: write the server's "
                "address as 'url' below 'server'",
            )
            return None
        if self.words and node.value not in self.words:
            near = difflib.get_close_matches(node.value.lower(), self.words, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            reader.report(
                node,
                f"{name!r} must be one of {', '.join(self.words)}, not {node.value!r}{hint}",
            )
            return None
        return str(node.value)


@dataclass(frozen=True, slots=True)
class NameType:
    """A name, or an id as a number."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {"anyOf": [TextType().schema, IntegerType(1).schema]}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | int | None:
        """Read the value of a node."""
        if tag(node) == "int":
            return IntegerType(1).read(node, reader, name)
        return TextType().read(node, reader, name)


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A scalar as it was written, for settings: a password may consist of digits.

    Messages never repeat it, since it may be a secret.
    """

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {"type": ["string", "number", "boolean"]}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | None:
        """Read the value of a node."""
        if tag(node) not in _SCALARS:
            reader.report(node, f"{name!r} must be a single value")
            return None
        return str(node.value)


@dataclass(frozen=True, slots=True)
class HeadersType:
    """Headers by their names. Messages never repeat their values, which are secrets."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        }

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | None:
        """Read the value of a node, as lines like `Name: value`."""
        try:
            return header_lines(node, "")
        except ConfigError:
            reader.report(node, f"{name!r} must hold headers like 'X-Api-Key: value'")
            return None


@dataclass(frozen=True, slots=True)
class AddressType:
    """A server's address."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {
            "type": "string",
            "pattern": r"^\s*([Hh][Tt][Tt][Pp][Ss]?://)?[^/?#@\s]+([/?#]\S*)?\s*$",
        }

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | None:
        """Read the value of a node."""
        if tag(node) != "str":
            reader.report(node, f"{name!r} must be an address, not {described(node)}")
            return None
        try:
            ServerUrl.parse(str(node.value))
        except ConfigError as error:
            reader.report(node, f"{name!r}: {error.message}")
            return None
        return str(node.value)


@dataclass(frozen=True, slots=True)
class QuantityType:
    """A size, a duration or a share: a text or a number that a function reads.

    Attributes:
        parse: Makes a value of the text. Its `ValueError` says how to write one.
        pattern: Matches the accepted texts, for editors.
    """

    parse: Callable[[str], Any]
    pattern: str

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        text = {"type": "string", "pattern": self.pattern}
        return {"anyOf": [text, {"type": "number", "minimum": 0}]}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> Any:
        """Read the value of a node."""
        return _parsed(self.parse, node, reader, name, ("str", "int", "float"))


@dataclass(frozen=True, slots=True)
class DateType:
    """A date, or an age that is subtracted from the time of reading."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {"type": "string", "pattern": r"^\s*\d"}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | None:
        """Read the value of a node, as an ISO date and time."""
        parse = partial(quantities.since, now=datetime.now(UTC))
        found: str | None = _parsed(parse, node, reader, name, ("str", "timestamp"))
        return found


def _parsed(
    parse: Callable[[str], Any],
    node: yaml.Node,
    reader: NodeReader,
    name: str,
    tags: Collection[str],
) -> Any:
    """Read a node's text with a function; report it and return None if that fails."""
    if tag(node) not in tags:
        reader.report(node, f"{name!r} must be a text, in quotes, not {described(node)}")
        return None
    try:
        return parse(node.value)
    except ValueError as error:
        reader.report(node, f"{name!r}: {described(node)} {error}")
        return None


@dataclass(frozen=True, slots=True)
class JsonLogicType:
    """A filter of CVAT: JSON logic, written as YAML or as JSON text."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        return {"anyOf": [{"type": "string", "minLength": 2}, {"type": "object"}]}

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> str | None:
        """Read the value of a node, as JSON text."""
        if tag(node) == "str":
            return str(node.value)
        if tag(node) == "map":
            with contextlib.suppress(ValueError, TypeError):
                return json.dumps(reader.value(node))
        reader.report(
            node,
            f'{name!r} must be JSON logic, like {{"==": [{{"var": "assignee"}}, "ann"]}}, not '
            + described(node),
        )
        return None


@dataclass(frozen=True, slots=True)
class ListType:
    """A list of values; with `or_one`, a single value is accepted, too."""

    of: ValueType
    example: str
    or_one: bool = False
    unique: bool = False

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        many: Schema = {"type": "array", "items": self.of.schema, "minItems": 1}
        if self.unique:
            many["uniqueItems"] = True
        return {"anyOf": [self.of.schema, many]} if self.or_one else many

    def read(
        self, node: yaml.Node, reader: NodeReader, name: str
    ) -> list[tuple[Any, FilePosition]] | None:
        """Read the values of a node, each with its position."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            if self.or_one and isinstance(node, yaml.ScalarNode):
                value = self.of.read(node, reader, name)
                return None if value is None else [(value, reader.place(node))]
            reader.report(
                node, f"{name!r} must be a list like {self.example}, not {described(node)}"
            )
            return None
        found: list[tuple[Any, FilePosition]] = []
        seen: set[Any] = set()
        for item in node.value:
            value = self.of.read(item, reader, name)
            if value is None:
                continue
            if self.unique and value in seen:
                reader.report(item, f"{value!r} is in {name!r} twice: remove one of them")
                continue
            found.append((value, reader.place(item)))
            if self.unique:
                seen.add(value)
        return found

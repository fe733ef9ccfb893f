"""Mappings of a run file: which keys they take, and what was read of them.

`value_types` reads the values of the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from asynccvat.runfiles.nodes import FilePosition, MappingEntry, NodeReader, described
from asynccvat.runfiles.value_types import Schema, ValueType


@dataclass(frozen=True, slots=True)
class MappingKey:
    """A key of a mapping."""

    kind: ValueType
    help: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What was read of a mapping.

    Attributes:
        place: Where the mapping begins.
        values: What was read, by key; keys that are absent or unreadable are not in it.
        entries: All keys that are set, readable or not.
    """

    place: FilePosition
    values: Mapping[str, Any] = field(default_factory=dict)
    entries: Mapping[str, MappingEntry] = field(default_factory=dict)

    def all_of(self, key: str) -> list[tuple[Any, FilePosition]]:
        """Return the items of a list; none if one of them could not be read."""
        items: list[tuple[Any, FilePosition]] = self.values.get(key, [])
        return items if items and len(items) == len(self.entries[key].value.value) else []


@dataclass(frozen=True, slots=True)
class MappingType:
    """A mapping with known keys.

    Attributes:
        keys: The keys by their names.
        either: Sets of keys; at least one set must be complete.
    """

    keys: Mapping[str, MappingKey]
    either: tuple[tuple[str, ...], ...] = ()

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type. A null counts as absent, except for required keys."""
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

    def read(self, node: yaml.Node, reader: NodeReader, name: str) -> Section | None:
        """Read a node; report and leave out what cannot be read."""
        if not isinstance(node, yaml.MappingNode):
            reader.report(
                node, f"{name!r} must hold keys like {next(iter(self.keys))!r}: {described(node)}"
            )
            return None
        entries = reader.entries(node, self.keys)
        for key in (key for key, item in self.keys.items() if item.required):
            if key not in entries:
                reader.report(node, f"{key!r} is missing: {self.keys[key].help}")
        if self.either and not any(entries.keys() >= set(names) for names in self.either):
            ways = " or ".join(" and ".join(map(repr, names)) for names in self.either)
            reader.report(node, f"{ways} is missing")
        values = {
            key: value
            for key, entry in entries.items()
            if (value := self.keys[key].kind.read(entry.value, reader, key)) is not None
        }
        return Section(reader.place(node), values, entries)


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}

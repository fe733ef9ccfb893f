"""Read YAML nodes and collect everything that is wrong with them, with positions.

`value_types` reads single values, `mappings` those with keys; `declarations` names the keys.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from asynccvat.errors import Problem

_TAG = "tag:yaml.org,2002:"
_MERGE = "merge"
_WORDS = {"str": "text", "int": "number", "float": "number", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class FilePosition:
    """A position in a file; lines and columns count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """A key of a mapping, and its value."""

    key: yaml.Node
    value: yaml.Node


class NodeReader:
    """Reads the nodes of one file and collects problems.

    Attributes:
        problems: Positions and messages, in the order in which they were found.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._construct = SafeConstructor()
        self.problems: list[tuple[FilePosition, str]] = []

    def place(self, node: yaml.Node) -> FilePosition:
        """Return the position where a node begins."""
        return FilePosition(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def report(self, node: yaml.Node, message: str) -> None:
        """Add a problem with a node."""
        self.report_at(self.place(node), message)

    def report_at(self, place: FilePosition, message: str) -> None:
        """Add a problem at a position."""
        self.problems.append((place, message))

    def in_order(self) -> tuple[Problem, ...]:
        """Return the problems by position, each once: an alias repeats those of its anchor."""
        ordered = sorted(self.problems, key=lambda item: (item[0].line, item[0].column))
        return tuple(dict.fromkeys(Problem(str(place), text) for place, text in ordered))

    def value(self, node: yaml.Node) -> Any:
        """Return the Python value of a node.

        Raises:
            ValueError: The node has no value, or contains itself.
        """
        try:
            return self._construct.construct_document(node)
        except (ConstructorError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def entries(self, node: yaml.MappingNode, known: Collection[str]) -> dict[str, MappingEntry]:
        """Return the entries of a mapping by key, with those merged by `<<`.

        Unknown keys and repeated keys are reported and left out. A null counts as absent.
        """
        seen: set[str] = set()
        merges = False
        for key, _ in node.value:
            if tag(key) == _MERGE:
                merges = True
            elif _name(key) in seen:
                self.report(key, f"{_name(key)!r} is there twice: remove one of them")
            seen.add(_name(key))
        if merges:
            # Other aliases may refer to this mapping, so merge in a copy.
            node = copy.deepcopy(node)
            try:
                self._construct.flatten_mapping(node)
            except ConstructorError:
                self.report(node, "'<<' merges the keys of another mapping, but this is no mapping")
                return {}
        entries: dict[str, MappingEntry] = {}
        for key, value in node.value:
            name = _name(key)
            if name not in known:
                self.report(key, _unknown(name, known))
            elif tag(value) == "null":
                entries.pop(name, None)
            else:
                entries[name] = MappingEntry(key, value)
        return entries


def _name(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else ""


def tag(node: yaml.Node) -> str:
    """Return YAML's type of a node: `str`, `int`, `float`, `bool`, `null`, `seq`, `map`, ..."""
    return str(node.tag).removeprefix(_TAG)


def described(node: yaml.Node) -> str:
    """Describe a node for a message, with the text of a scalar: never use it for secrets."""
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if tag(node) == "null":
        return "nothing"
    return f"the {_WORDS.get(tag(node), tag(node))} {node.value!r}"


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"there is no key {name!r} here; {hint}"

"""A tree of YAML nodes, read with everything that is wrong with it: each problem has its place.

Nothing here knows what a run file holds; `kinds` says what values there are, `steps` which keys.
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
class Place:
    """Where something stands in a file; lines and columns count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, and what it is set to."""

    key: yaml.Node
    value: yaml.Node


class Reader:
    """Reads the nodes of one file, and collects what is wrong with them.

    Attributes:
        problems: In the order in which they were met.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._construct = SafeConstructor()
        self.problems: list[tuple[Place, str]] = []

    def place(self, node: yaml.Node) -> Place:
        """Where a node begins."""
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def tell(self, node: yaml.Node, message: str) -> None:
        """Note that something is wrong with a node."""
        self.tell_at(self.place(node), message)

    def tell_at(self, place: Place, message: str) -> None:
        """Note that something is wrong at a place."""
        self.problems.append((place, message))

    def in_order(self) -> tuple[Problem, ...]:
        """What is wrong, from the file's beginning to its end; a place that two names mean once."""
        ordered = sorted(self.problems, key=lambda item: (item[0].line, item[0].column))
        return tuple(dict.fromkeys(Problem(str(place), text) for place, text in ordered))

    def value(self, node: yaml.Node) -> Any:
        """A node as Python has it.

        Raises:
            ValueError: It has no value, or contains itself.
        """
        try:
            return self._construct.construct_document(node)
        except (ConstructorError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def entries(self, node: yaml.MappingNode, known: Collection[str]) -> dict[str, Entry]:
        """The entries of a mapping by their keys, those that `<<` brings included.

        What is unknown, or there twice, is told and left out; what is null counts as left out.
        """
        seen: set[str] = set()
        merges = False
        for key, _ in node.value:
            if tag(key) == _MERGE:
                merges = True
            elif _name(key) in seen:
                self.tell(key, f"{_name(key)!r} is there already: leave one away")
            seen.add(_name(key))
        if merges:
            # What others refer to as well must stay as it was written.
            node = copy.deepcopy(node)
            try:
                self._construct.flatten_mapping(node)
            except ConstructorError:
                self.tell(node, "'<<' takes over the keys of another mapping, and this is none")
                return {}
        entries: dict[str, Entry] = {}
        for key, value in node.value:
            name = _name(key)
            if name not in known:
                self.tell(key, _unknown(name, known))
            elif tag(value) == "null":
                entries.pop(name, None)
            else:
                entries[name] = Entry(key, value)
        return entries


def _name(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else ""


def tag(node: yaml.Node) -> str:
    """What YAML takes a node for: `str`, `int`, `float`, `bool`, `null`, `seq`, `map`, ..."""
    return str(node.tag).removeprefix(_TAG)


def described(node: yaml.Node) -> str:
    """What a node is, in words; a scalar's text is shown, so never use it of secrets."""
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

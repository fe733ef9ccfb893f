"""The type of ids in a run file: numbers, ranges, lists of both, and files of them.

`core.selections.id_lists` reads the texts, as for the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from asynccvat.core.selections.id_lists import read_ids, written_in
from asynccvat.runfiles.nodes import FilePosition, NodeReader, described, tag
from asynccvat.runfiles.value_types import IntegerType, Schema

_EXAMPLE = "[147, 200-299]"
_PART = r"\d+(\s*-\s*\d+)?"


@dataclass(frozen=True, slots=True)
class IdsType:
    """Ids: `147`, `1-500,777`, `"@ids.txt"`, or a list of such values.

    A range becomes a `range`.
    """

    @property
    def schema(self) -> Schema:
        """The JSON Schema of the type."""
        text = {
            "type": "string",
            # A single number in quotes is refused, as in other places of a run file.
            "pattern": rf"^\s*@.*\S|^(?=.*[-,])\s*{_PART}(\s*,\s*{_PART})*\s*,?\s*$",
        }
        one = [IntegerType(1).schema, text]
        many: Schema = {
            "type": "array",
            "items": {"anyOf": one},
            "minItems": 1,
            "uniqueItems": True,
        }
        return {"anyOf": [*one, many]}

    def read(
        self, node: yaml.Node, reader: NodeReader, name: str
    ) -> list[tuple[int | range, FilePosition]] | None:
        """Read the values of a node, each with its position."""
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not items or isinstance(node, yaml.MappingNode):
            reader.report(node, f"{name!r} must be a list like {_EXAMPLE}, not {described(node)}")
            return None
        found: list[tuple[int | range, FilePosition]] = []
        seen: set[int | range] = set()
        complete = True
        for item in items:
            parts = self._parts(item, reader, name)
            complete = complete and bool(parts)
            for part in parts:
                if part in seen:
                    shown = f"{part[0]}-{part[-1]}" if isinstance(part, range) else part
                    reader.report(item, f"{shown} is in {name!r} twice: remove one of them")
                    continue
                seen.add(part)
                found.append((part, reader.place(item)))
        return found if complete else None

    def _parts(self, node: yaml.Node, reader: NodeReader, name: str) -> list[int | range]:
        """Return the ids and ranges of one value; none if it is reported."""
        text = node.value.strip() if tag(node) == "str" else ""
        try:
            if text.startswith("@"):
                return list(_in_file(Path(text.removeprefix("@")).expanduser()))
            if "-" in text or "," in text:
                return read_ids(text)
        except ValueError as error:
            reader.report(node, f"{name!r}: {error}")
            return []
        number = IntegerType(1).read(node, reader, name)
        return [] if number is None else [number]


def _in_file(path: Path) -> Iterator[int | range]:
    """Yield the ids and ranges in a file, each once.

    Raises:
        ValueError: The file cannot be read, or holds none.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(
            f"{str(path)!r} cannot be read: {error.strerror}. Check the path."
        ) from error
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is no text. Check the path.") from None
    parts = dict.fromkeys(part for text in written_in(content) for part in read_ids(text))
    if not parts:
        raise ValueError(
            f"{str(path)!r} holds no id. Write one a line, or separate them by commas."
        )
    yield from parts

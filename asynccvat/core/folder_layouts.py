"""Name the folders of tasks by a layout, such as `{project}/{subset}/task{id}-{name}`.

Names come from the server, so they are made safe for every platform, as `core.name_mapping` does
it for archives. A folder keeps its name as long as that fits the layout. No two folders are one
where case or Unicode forms do not count, and none lies in another one. `core.plans.folders`
chooses the folders of a mirror.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from string import Formatter

from asynccvat.core.name_mapping import safe_component
from asynccvat.core.paths import NameRules, comparable, why_refused
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

ID = "id"
TASK_ID = "task_id"
NAME = "name"
PROJECT = "project"
PROJECT_ID = "project_id"
SUBSET = "subset"
ORGANIZATION = "organization"

FIELDS: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.TASK: (ID, NAME, PROJECT, PROJECT_ID, SUBSET, ORGANIZATION),
    TargetKind.PROJECT: (ID, NAME, ORGANIZATION),
    TargetKind.JOB: (ID, TASK_ID, NAME, PROJECT, PROJECT_ID, SUBSET, ORGANIZATION),
}
"""The fields of a layout, by what has a folder. Names and subsets of jobs are those of tasks."""

STRICT = NameRules(case_sensitive=False, normalization_sensitive=False, windows_names=False)
"""Names that fit these fit every destination, so a mirror may be copied to any disk."""

_WITHOUT = {
    NAME: "unnamed",
    PROJECT: "no-project",
    PROJECT_ID: "no-project",
    SUBSET: "default",  # as CVAT's exports name it
    ORGANIZATION: "personal",
}
"""What stands for a field that a task does not have."""

_MOST_PARTS = 8
_LONGEST_TEXT = 64  # bytes of a part that are no fields
_LONGEST_PART = 200  # bytes; leaves room for marks within 255
_LONGEST_VALUES = (120, 80, 48, 24, 12)
"""Bytes of one field's value: the first with which a part is short enough."""
_MARK = "~"

Piece = tuple[str, str | None]
"""A text, and the field that follows it."""


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """How the folders of a mirror are named.

    Attributes:
        text: The layout as it was given.
        parts: What each folder of the path is made of, the outermost first.
    """

    text: str
    parts: tuple[tuple[Piece, ...], ...]

    @classmethod
    def parse(cls, text: str, target: TargetKind = TargetKind.TASK) -> FolderLayout:
        """Read a layout.

        Args:
            text: Such as `{project}/task{id}`.
            target: What has a folder.

        Raises:
            ConfigError: It has an unknown field or no `{id}`, or it makes no safe path.
        """
        layout = cls(text, tuple(_parts(text)))
        problem = layout._problem(FIELDS[target])
        if problem is not None:
            raise _unusable(text, problem)
        return layout

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it uses."""
        return frozenset(field for part in self.parts for _, field in part if field is not None)

    def path(self, values: Mapping[str, str | None]) -> str:
        """Return the path of a folder.

        Args:
            values: The value of each field; None or blank if the task has none.
        """
        return "/".join([_rendered(part, values) for part in self.parts])

    def may_have_named(self, folder: str, task_id: int) -> bool:
        """Whether a folder fits the layout with any names of the server.

        Args:
            folder: The path of the folder.
            task_id: The target that it belongs to.
        """
        components = folder.split("/")
        return len(components) == len(self.parts) and all(
            _may_have_made(part, component, str(task_id))
            for part, component in zip(self.parts, components, strict=True)
        )

    def _problem(self, fields: tuple[str, ...]) -> str | None:
        unknown = sorted(self.fields.difference(fields))
        if unknown:
            near = get_close_matches(unknown[0], fields, n=1)
            guess = f" (did you mean {_braced(near[0])}?)" if near else ""
            return (
                f"there is no field {_braced(unknown[0])}{guess}. "
                f"The fields are {', '.join(map(_braced, fields))}"
            )
        if ID not in self.fields:
            return (
                "without {id}, two of the same name would get the same folder. "
                "Add {id}, as in 'task{id}-{name}'"
            )
        if len(self.parts) > _MOST_PARTS:
            return f"it has more than {_MOST_PARTS} folders in each other. Leave some of them out"
        problems = (_problem_of_part(part) for part in self.parts)
        return next((problem for problem in problems if problem is not None), None)


def check_layout(text: str, plural: str | None) -> None:
    """Check a layout before it is known what has a folder.

    Args:
        text: The layout.
        plural: What `--as` says. None if the destination may remember it: then a layout of jobs
            is accepted, which have all fields.

    Raises:
        ConfigError: It cannot be used.
    """
    try:
        FolderLayout.parse(text, TargetKind.of_plural(plural))
    except ConfigError:
        if plural is not None:
            raise
        try:
            FolderLayout.parse(text, TargetKind.JOB)
        except ConfigError:
            pass
        else:
            return
        raise


def _unusable(text: str, problem: str) -> ConfigError:
    return ConfigError(f"the layout {text!r} cannot be used: {problem}.")


def _braced(field: str) -> str:
    return "{" + field + "}"


def _parts(text: str) -> Iterator[tuple[Piece, ...]]:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError:
        raise _unusable(text, "a brace has no partner. Write {{ for a brace in a name") from None
    part: list[Piece] = []
    for literal, field, spec, conversion in pieces:
        if spec or conversion:
            raise _unusable(text, f"{_braced(field or '')} must be a plain name of a field")
        *whole, rest = literal.split("/")
        for one in whole:
            yield (*part, (one, None))
            part = []
        part.append((rest, field))
    yield tuple(part)


def _problem_of_part(part: tuple[Piece, ...]) -> str | None:
    literal = "".join(text for text, _ in part)
    if not literal and all(field is None for _, field in part):
        return (
            "a folder in it has no name. Leave out the slash at its start or end, or a double one"
        )
    if literal.startswith(".") and part[0][0]:
        return "a folder in it starts with a dot. Choose another name"
    named = [field for _, field in part if field is not None]
    if len(set(named)) < len(named):
        return "a folder in it has a field twice, so that its name may be too long. Leave one out"
    # With an x for each field, as its value is made safe when it is known.
    shown = "".join(f"{text}{'' if field is None else 'x'}" for text, field in part)
    if why_refused(shown, STRICT) is not None:
        return (
            f"some disks refuse the name {literal!r}. Leave out backslashes, control characters, "
            'any of <>:"|?*, a dot or blank at the end, and names of devices such as NUL'
        )
    if len(literal.encode()) > _LONGEST_TEXT:
        return f"the text of a folder in it takes more than {_LONGEST_TEXT} bytes. Shorten it"
    return None


def _rendered(part: tuple[Piece, ...], values: Mapping[str, str | None]) -> str:
    """Return one component of a path, safe and not too long."""
    *longer, shortest = _LONGEST_VALUES
    for most in longer:
        component = _with_values(part, values, most)
        if len(component.encode()) <= _LONGEST_PART:
            return component
    return _with_values(part, values, shortest)


def _with_values(part: tuple[Piece, ...], values: Mapping[str, str | None], most: int) -> str:
    """Return one component of a path, whose values take at most so many bytes each."""
    return _safe(
        "".join(
            f"{text}{'' if field is None else _value(field, values, most)}" for text, field in part
        )
    )


def _may_have_made(part: tuple[Piece, ...], component: str, task_id: str) -> bool:
    """Whether one component of a path, marked or not, fits a part with any values."""
    texts = [""]
    for text, field in part:
        texts[-1] += text
        if field == ID:
            texts[-1] += task_id
        elif field is not None:
            texts.append("")
    unmarked = component.replace(f"{_MARK}{task_id}", "").rstrip(_MARK)
    return _has_texts(component, texts) or _has_texts(unmarked, texts)


def _has_texts(component: str, texts: list[str]) -> bool:
    """Whether a component is made of these texts, with something between each two of them."""
    first, *others = texts
    if not others:
        return component == first
    *inner, last = others
    if not (component.startswith(first) and component.endswith(last)):
        return False
    at = len(first)
    for text in inner:
        at = component.find(text, at + 1)
        if at < 0:
            return False
        at += len(text)
    return at < len(component) - len(last)


def _value(field: str, values: Mapping[str, str | None], most: int) -> str:
    given = unicodedata.normalize("NFC", values.get(field) or "").strip()
    encoded = given.encode("utf-8", "surrogatepass")
    if len(encoded) > most:
        given = encoded[:most].decode("utf-8", "ignore").strip()
    return given or _WITHOUT.get(field, "")


def _safe(component: str) -> str:
    safe = safe_component(component, STRICT)
    # A hidden folder is easily overlooked, and one of them is asynccvat's own.
    return f"%2E{safe[1:]}" if safe.startswith(".") else safe


class FolderNames:
    """The folders of one mirror while they are named."""

    def __init__(self, layout: FolderLayout, held: Mapping[int, str]) -> None:
        """Begin with the folders that are there.

        Args:
            layout: The layout.
            held: The folder of each task that has one. A name is not given to another task before
                its owner has moved away, so moves need no order.
        """
        self._layout = layout
        self._held = held
        self._owners: dict[str, int] = {}
        self._above: set[str] = set()
        for task_id, folder in held.items():
            self._take(task_id, folder)

    def name(self, task_id: int, values: Mapping[str, str | None]) -> str:
        """Return the folder of a task, and take its name.

        Args:
            task_id: The task.
            values: The values of its fields.
        """
        wanted = self._layout.path({**values, ID: str(task_id)})
        held = self._held.get(task_id)
        if held is not None and _fits(held, wanted, task_id):
            return held
        parts = wanted.split("/")
        for depth in range(1, len(parts)):
            while self._owner("/".join(parts[:depth])) is not None:
                parts[depth - 1] += _MARK
        while not self._is_free(task_id, "/".join(parts)):
            parts[-1] += f"{_MARK}{task_id}"
        folder = "/".join(parts)
        self._take(task_id, folder)
        return folder

    def _take(self, task_id: int, folder: str) -> None:
        key = comparable(folder, STRICT)
        self._owners.setdefault(key, task_id)
        self._above.update(above(key))

    def _owner(self, folder: str) -> int | None:
        return self._owners.get(comparable(folder, STRICT))

    def _is_free(self, task_id: int, folder: str) -> bool:
        key = comparable(folder, STRICT)
        return self._owners.get(key, task_id) == task_id and key not in self._above


def above(folder: str) -> Iterator[str]:
    """Yield the folders that a folder lies in, the innermost first."""
    while folder := folder.rpartition("/")[0]:
        yield folder


def _fits(held: str, wanted: str, task_id: int) -> bool:
    """Whether a folder has the wanted path, marked or not."""
    have, want = held.split("/"), wanted.split("/")
    if len(have) != len(want):
        return False
    outer = all(
        one.rstrip(_MARK) == other.rstrip(_MARK) and one.startswith(other)
        for one, other in zip(have[:-1], want[:-1], strict=True)
    )
    marks = have[-1].removeprefix(want[-1]) if have[-1].startswith(want[-1]) else None
    return outer and marks is not None and not marks.replace(f"{_MARK}{task_id}", "")

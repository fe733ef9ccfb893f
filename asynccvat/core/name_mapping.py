r"""Map names that a destination refuses to safe ones.

An unsafe character becomes `%` and two hexadecimal digits, as in URLs: `cam1\0001.jpg` becomes
`cam1%5C0001.jpg`. A name that is too long, or that clashes with another, is shortened and marked
with a digest of the original. The receipt holds both names, so the mapping can be undone.

The mapping depends on the set of names alone, not on their order. So each export of a task maps its
names alike. Safe names stay as they are, unless two of them are one name at the destination. Names
that lead outside of the folder are refused.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

from asynccvat.core.paths import (
    OWN_FOLDER,
    NameRules,
    comparable,
    leads_outside,
    safe_member_path,
    twice,
    why_refused,
)

# All that some destination refuses, and the sign that escapes it.
_ESCAPED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\/%<>:\"|?*]")
# A component of a path, with the slashes before it that no name separates.
_COMPONENT = re.compile(r"(?:\A|/)(/*[^/]*)")

_DIGEST_DIGITS = 16
_LONGEST_EXTENSION = 16  # bytes


def map_names(names: Iterable[str], rules: NameRules) -> Mapping[str, str]:
    """Return a safe path for each name of an archive.

    Args:
        names: The members' names. Those of directories end with a slash.
        rules: What the destination can hold.

    Raises:
        UnsafePathError: A name is empty, leads outside of the folder, or comes twice.
    """
    seen: set[str] = set()
    for name in names:
        if leads_outside(name.removesuffix("/")):
            safe_member_path(name, rules)  # which raises
        if name in seen:
            raise twice(name.removesuffix("/"))
        seen.add(name)
    tree = _Tree(rules)
    left = [name for name in sorted(seen) if not tree.add_unchanged(name)]
    for name in left:
        tree.add_mapped(name)
    return tree.paths


class _Tree:
    """The paths of one tree, as the destination compares them.

    Attributes:
        paths: The path of each name.
    """

    def __init__(self, rules: NameRules) -> None:
        self.paths: dict[str, str] = {}
        self._rules = rules
        # The owner of each path: the original name, that of a directory with a slash.
        self._owners: dict[str, str] = {}
        self._directories: dict[str, str] = {"": ""}

    def add_unchanged(self, name: str) -> bool:
        """Add a name as it is. Return False if the destination refuses it, or has another."""
        path = name.removesuffix("/")
        if why_refused(path, self._rules) is not None:
            return False
        places = [f"{parent}/" for parent in _parents(path)] + [name]
        taken = [(comparable(place.removesuffix("/"), self._rules), place) for place in places]
        if any(key == OWN_FOLDER or self._owners.get(key, place) != place for key, place in taken):
            return False
        self._owners.update(taken)
        self._directories.update((place, place.removesuffix("/")) for place in places[:-1])
        self.paths[name] = path
        if name.endswith("/"):
            self._directories[name] = path
        return True

    def add_mapped(self, name: str) -> None:
        """Add a name under a safe path."""
        if name.endswith("/"):
            self.paths[name] = self._directory(name)
            return
        parent, component = _split(name)
        self.paths[name] = self._place(name, self._directory(parent), component)

    def _directory(self, name: str) -> str:
        """Return the path of a directory, and of those above it. The name ends with a slash."""
        path = self._directories.get(name)
        if path is None:
            parent, component = _split(name.removesuffix("/"))
            path = self._place(name, self._directory(parent), component)
            self._directories[name] = path
        return path

    def _place(self, name: str, parent: str, component: str) -> str:
        """Return the first free path for a component, and take it."""
        candidates = self._candidates(name, parent, component)
        path = next(one for one in candidates if comparable(one, self._rules) not in self._owners)
        self._owners[comparable(path, self._rules)] = name
        return path

    def _candidates(self, name: str, parent: str, component: str) -> Iterator[str]:
        rules = self._rules
        above = f"{parent}/" if parent else ""
        if _is_too_deep(above, rules):
            above = ""
        safe = safe_component(component, rules, is_first=not above)
        if why_refused(f"{above}{safe}", rules) is None:
            yield f"{above}{safe}"
        most = rules.component_bytes
        yield from (above + _marked(safe, name, attempt, most) for attempt in itertools.count())


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _split(name: str) -> tuple[str, str]:
    """Return the directory above, with its slash, and the component of a name.

    Slashes that separate nothing belong to the component after them.
    """
    *_, last = _COMPONENT.finditer(name)
    return name[: last.start(1)], last[1]


def _is_too_deep(above: str, rules: NameRules) -> bool:
    """Whether a directory's path leaves no room for a component."""
    return len(above.encode()) + rules.component_bytes > rules.path_bytes


def safe_component(component: str, rules: NameRules, *, is_first: bool = True) -> str:
    """Return a component that is safe apart from its length: itself, or an escaped form.

    Args:
        component: One component of a path. A slash in it is escaped.
        rules: What the destination can hold.
        is_first: Whether it begins the path. Only there a drive, or asynccvat's own folder, counts.
    """
    if _is_safe(component, rules, is_first=is_first):
        return component
    escaped = _ESCAPED.sub(_escape, component) or _escape("/")
    # A dot or a space at the end, the name of a device, '.', or the folder of asynccvat.
    last = escaped[:-1] + _escape(escaped[-1])
    first = _escape(escaped[0]) + escaped[1:]
    both = _escape(escaped[0]) + last[1:]
    forms = (escaped, last, first, both)
    return next(form for form in forms if _is_safe(form, rules, is_first=is_first))


def _is_safe(component: str, rules: NameRules, *, is_first: bool) -> bool:
    """Whether a component is safe, whatever its length."""
    if "/" in component or (is_first and comparable(component, rules) == OWN_FOLDER):
        return False
    unlimited = NameRules(
        windows_names=rules.windows_names, component_bytes=1 << 30, path_bytes=1 << 30
    )
    # A drive counts at the beginning of a path only.
    return why_refused(component if is_first else f"d/{component}", unlimited) is None


def _escape(found: re.Match[str] | str) -> str:
    character = found if isinstance(found, str) else found[0]
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _marked(component: str, name: str, attempt: int, most: int) -> str:
    """Return a component with a digest of its whole name, at most `most` bytes long."""
    stem, dot, extension = component.rpartition(".")
    if not stem or len(extension.encode()) > _LONGEST_EXTENSION:
        stem, dot, extension = component, "", ""
    origin = f"{attempt}/{name}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(origin).hexdigest()[:_DIGEST_DIGITS]
    end = f"~{digest}{dot}{extension}"
    room = most - len(end.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + end

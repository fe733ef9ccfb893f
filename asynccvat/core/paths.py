"""Check names before they are written: members of archives, and folders of tasks.

Names are checked as strings, without the disk. `NameRules` say what a destination can hold; the
store finds that out by trial. The store and `archives.extractor` open files without following
links.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from asynccvat.errors import ConfigError, UnsafePathError

OWN_FOLDER = ".asynccvat"
"""The folder in a destination that belongs to asynccvat."""

# Refused for every destination: control characters (C0, DEL, C1), lone surrogates, backslashes,
# empty, "." and ".." components, and drive letters. One search is enough for an ordinary name.
_NEVER = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|(?:\A|/)\.{0,2}(?:/|\Z)|\A[A-Za-z]:",
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DRIVE = re.compile(r"\A[A-Za-z]:")
_SEPARATOR = re.compile(r"[/\\]")
_NOT_IN_NAMES = re.compile(r"[^\w.-]+", re.ASCII)

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS_CHARACTERS = re.compile(r'[<>:"|?*]')
_WINDOWS_DEVICE = re.compile(
    r"\A(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|COM[0-9\xb9\xb2\xb3]|LPT[0-9\xb9\xb2\xb3])"
    r" *(?:[.:]|\Z)",
    re.IGNORECASE,
)

# Default_Ignorable_Code_Point of Unicode 15 (DerivedCoreProperties.txt), beyond ASCII: HFS+ and the
# folders of ext4 and F2FS that fold case compare names without them.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

_BYTES_PER_CHARACTER = 4  # the most that UTF-8 takes
_LONGEST_TASK_FOLDER = 200  # bytes; leaves room for the suffixes of staging within 255
_LONGEST_SHOWN = 120  # characters

# CVAT renames no image of a task.
_MAKE_AGAIN = "Make the task again in CVAT, from images with other names."


@dataclass(frozen=True, kw_only=True, slots=True)
class NameRules:
    """What names a destination can hold.

    The defaults are those of ext4 and XFS.

    Attributes:
        case_sensitive: Whether `a` and `A` are two files.
        normalization_sensitive: Whether a name in NFC and the same in NFD are two files.
        windows_names: Whether names are possible that Windows forbids: `CON`, a trailing dot or
            space, any of `<>:"|?*`.
        component_bytes: The longest single name, in bytes of UTF-8.
        path_bytes: The longest relative path, in bytes of UTF-8.
    """

    case_sensitive: bool = True
    normalization_sensitive: bool = True
    windows_names: bool = True
    component_bytes: int = 255
    path_bytes: int = 3072


def safe_member_path(name: str, rules: NameRules) -> str:
    """Return a member's name as a relative path that is safe to write.

    The one trailing slash that marks a directory is taken off; nothing else changes.

    Args:
        name: The member's name, decoded.
        rules: What the destination can hold.

    Raises:
        UnsafePathError: The destination cannot hold the name, or it could lead outside the folder,
            or mean something else on another platform: it is empty or absolute, or has a drive, a
            backslash, a control character, a lone surrogate, or an empty, `.` or `..` component.
    """
    path = name.removesuffix("/")
    why = why_refused(path, rules)
    if why is not None:
        raise _unsafe(name, why, may_be_mapped=not leads_outside(path))
    return path


def why_refused(path: str, rules: NameRules) -> str | None:
    """Return why a path without its trailing slash is refused, None if it is safe."""
    if _NEVER.search(path):
        return _why_never_safe(path)
    why = None
    if len(path) * _BYTES_PER_CHARACTER > rules.component_bytes:
        why = _why_too_long(path, rules)
    if why is None and not rules.windows_names:
        found = map(_why_not_on_windows, path.split("/"))
        why = next((one for one in found if one is not None), None)
    return why


def leads_outside(path: str) -> bool:
    """Whether a path is empty, or has a '..' component on some platform."""
    return not path or ".." in _SEPARATOR.split(path)


def in_short(name: str) -> str:
    """Return a name quoted for a message; only the start of a long one."""
    return repr(name) if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]!r}..."


def _unsafe(name: str, what: str, *, may_be_mapped: bool = True) -> UnsafePathError:
    way_out = (
        "Use `mirror --names map` to write it under a safe name." if may_be_mapped else _MAKE_AGAIN
    )
    return UnsafePathError(f"member {in_short(name)} is refused: {what}. {way_out}", member=name)


def _why_never_safe(path: str) -> str:
    if not path:
        return "its name is empty"
    if _CONTROL.search(path):
        return "its name holds a control character"
    if _SURROGATE.search(path):
        return "its name holds a lone surrogate, which is no character"
    if "\\" in path:
        return "its name holds a backslash, which separates folders on some platforms"
    if path.startswith("/"):
        return "its name is an absolute path and would lead outside the folder"
    if _DRIVE.search(path):
        return "its name starts with a drive letter and would lead outside the folder"
    if ".." in path.split("/"):
        return "its name has a '..' component and would lead outside the folder"
    return "its name has an empty or '.' component"


def _why_too_long(path: str, rules: NameRules) -> str | None:
    encoded = path.encode()
    if len(encoded) > rules.path_bytes:
        return f"its path takes {len(encoded)} bytes, the destination holds {rules.path_bytes}"
    longest = max(map(len, encoded.split(b"/")))
    if longest > rules.component_bytes:
        return (
            f"one of its components takes {longest} bytes, "
            f"the destination holds {rules.component_bytes}"
        )
    return None


def _why_not_on_windows(component: str) -> str | None:
    if _WINDOWS_CHARACTERS.search(component):
        return 'the destination cannot hold names with any of <>:"|?*'
    if component.endswith((".", " ")):
        return "the destination cannot hold names that end in a dot or a space"
    if _WINDOWS_DEVICE.search(component):
        return f"{in_short(component)} is the name of a device at the destination"
    return None


class NameSet:
    """The names of one tree; refuses a name that clashes with another at the destination.

    A million names take seconds, and memory for a few dictionaries of strings.
    """

    def __init__(self, rules: NameRules) -> None:
        """Start with an empty tree.

        Args:
            rules: Which names are the same at the destination.
        """
        self._rules = rules
        self._files: dict[str, str] = {}
        self._directories: dict[str, str] = {}
        self._listed_directories: set[str] = set()
        # Directories that were checked already, so that their files need not check them again.
        self._known_parents: set[str] = {""}

    def add(self, path: str, is_directory: bool) -> None:
        """Add a member's path, as `safe_member_path` returned it.

        The directories above it are added, too. Each of them may still be added once as a member.

        Raises:
            UnsafePathError: The name is there already; it is both a file and a directory; it would
                be the same file as another name at the destination; or it is `.asynccvat`, which
                would make the folder a separate destination.
        """
        parent = path.rpartition("/")[0]
        if parent not in self._known_parents:
            self._add_parents(path, parent)
        key = comparable(path, self._rules)
        if key == OWN_FOLDER:
            raise _own(path)
        if is_directory:
            if key in self._listed_directories:
                raise _clash(path, self._directories[key])
            self._add_directory(path, path, key)
            self._listed_directories.add(key)
            return
        other = self._files.get(key)
        if other is not None:
            raise _clash(path, other)
        if key in self._directories:
            raise _unsafe(path, f"a file, where {in_short(self._directories[key])} is a directory")
        self._files[key] = path

    def _add_parents(self, path: str, parent: str) -> None:
        while parent not in self._known_parents:
            key = comparable(parent, self._rules)
            if key == OWN_FOLDER:
                raise _own(path)
            self._add_directory(path, parent, key)
            parent = parent.rpartition("/")[0]

    def _add_directory(self, path: str, directory: str, key: str) -> None:
        if key in self._files:
            raise _unsafe(path, f"a directory, where {in_short(self._files[key])} is a file")
        other = self._directories.setdefault(key, directory)
        if other != directory:
            raise _clash(directory, other)
        self._known_parents.add(directory)


def comparable(path: str, rules: NameRules) -> str:
    """Return the form of a path in which it is compared, at least as coarse as file systems.

    Some file systems compare by upper case and some by lower case. For some, the dotted and the
    dotless i of Turkish equal the ASCII i.
    """
    folds_case = not rules.case_sensitive
    folds_normalization = not rules.normalization_sensitive
    if path.isascii():
        return path.lower() if folds_case else path
    if folds_case or folds_normalization:
        path = _IGNORED.sub("", path)
    if folds_normalization:
        path = unicodedata.normalize("NFD", path)
    if folds_case:
        path = path.upper().casefold().replace("i\u0307", "i")
    # Folding the case can leave a form that is not normalized.
    return unicodedata.normalize("NFD", path) if folds_normalization else path


def _own(path: str) -> UnsafePathError:
    return _unsafe(path, f"{OWN_FOLDER!r} is the folder that asynccvat keeps for itself")


def _clash(path: str, other: str) -> UnsafePathError:
    if path == other:
        return twice(path)
    return _unsafe(path, f"at the destination it is the same file name as {in_short(other)}")


def twice(path: str) -> UnsafePathError:
    """Return the error for a name that an archive holds twice."""
    what = "the archive holds it twice, and only one could be kept"
    return _unsafe(path, what, may_be_mapped=False)


def server_folder_name(origin: str, organization: str | None) -> str:
    """Return the name of the folder for what concerns one server and organization.

    Args:
        origin: Scheme, host and port of the server.
        organization: The organization, "" for the personal workspace, None for everything visible.
    """
    name = _NOT_IN_NAMES.sub("-", origin)
    return name if organization is None else f"{name}@{_NOT_IN_NAMES.sub('-', organization)}"


def task_folder_name(prefix: str, task_id: int) -> str:
    """Return the name of a task's folder: the prefix, then the id.

    Args:
        prefix: What `--folder-prefix` says, such as `task`; may be empty.
        task_id: The task's id at the server, from 1.

    Raises:
        ConfigError: The prefix (or the id) does not make a plain folder name, or one that
            asynccvat keeps for itself.
    """
    problem = _prefix_problem(prefix)
    if problem is not None:
        raise ConfigError(f"the folder prefix {prefix!r} cannot be used: {problem}; choose another")
    if task_id < 1:
        raise ConfigError(f"{task_id} is no task id: ids start at 1")
    return f"{prefix}{task_id}"


@lru_cache(maxsize=16)
def _prefix_problem(prefix: str) -> str | None:
    if "/" in prefix or "\\" in prefix:
        return "it holds a path separator"
    if ".." in prefix:
        return "it holds '..'"
    if _CONTROL.search(prefix):
        return "it holds a control character"
    if _SURROGATE.search(prefix):
        return "it holds a lone surrogate, which is no character"
    if _DRIVE.search(prefix):
        return "it starts with a drive letter"
    if prefix.casefold().startswith(OWN_FOLDER):
        return f"names that start with {OWN_FOLDER!r} are asynccvat's own"
    if len(prefix.encode()) > _LONGEST_TASK_FOLDER:
        return f"it takes more than {_LONGEST_TASK_FOLDER} bytes"
    return None

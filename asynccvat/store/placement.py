"""Where a destination may be: refuse places in which a mirror would be a danger to others.

Only a new destination is checked. One that exists already keeps its place. `opening` makes folders.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.errors import ConfigError

if sys.platform != "win32":
    import pwd

_JOURNALS = frozenset({"restores", "imports", "creations"})
"""Folders of journals. They must never be removed by hand."""

_OF_USE = _JOURNALS | {"receipts", "archives", "history", "kept", "replaced", "backups"}
"""What holds something that is lost with an own folder, unless it is empty."""


def check_place(path: Path, doing: str = "mirror to") -> None:
    """Refuse a place in which no destination may be made.

    Args:
        path: The place.
        doing: What is done to it, for messages.

    Raises:
        ConfigError: A link leads nowhere; or it is the root of the file system, a home directory
            or around one, inside another destination or around one.
        OSError: As the system says.
    """
    check_links(path)
    place = path.resolve()
    if os.path.lexists(place / OWN_FOLDER):
        return
    if place == place.parent:
        raise ConfigError(
            f"cannot {doing} {str(path)!r}: it is the root of the file system. Name a folder in it."
        )
    if place in _homes():
        raise ConfigError(
            f"cannot {doing} {str(path)!r}: it is a home directory. Name a folder in it, such as "
            f"{place / 'cvat'}."
        )
    if any(place in home.parents for home in _homes()):
        raise ConfigError(
            f"cannot {doing} {str(path)!r}: home directories are in it. Name a folder of its own."
        )
    for outer in place.parents:
        if is_destination(outer):
            advice = "Name a folder outside of it."
            if _is_unused(outer / OWN_FOLDER):
                advice += f" Or remove {str(outer / OWN_FOLDER)!r}: no task and no backup is there."
            raise ConfigError(
                f"cannot {doing} {str(path)!r}: it lies in another destination, {str(outer)!r}. "
                f"{advice}"
            )
    for inner in _folders_in(place):
        if is_destination(inner):
            raise ConfigError(
                f"cannot {doing} {str(path)!r}: it holds another destination, {str(inner)!r}. "
                "Name a folder that holds none."
            )


def is_destination(place: Path) -> bool:
    """Whether a folder has an own folder with more in it than journals of restores and the like."""
    own = place / OWN_FOLDER
    if not own.is_dir():
        return False
    try:
        names = {each.name for each in own.iterdir()}
    except PermissionError:
        return True  # of another user: it counts as what it may be
    return not names or not names <= _JOURNALS


def _is_unused(own: Path) -> bool:
    """Whether nothing is lost if an own folder is removed."""
    try:
        return not any(any((own / name).iterdir()) for name in _OF_USE if (own / name).is_dir())
    except PermissionError:
        return False  # of another user


def check_links(path: Path) -> None:
    """Refuse a path on which a link leads nowhere, such as to a disk that is not mounted.

    Raises:
        ConfigError: There is such a link.
        OSError: As the system says.
    """
    for place in (path.absolute(), *path.absolute().parents):
        if place.is_symlink() and not place.exists():
            raise ConfigError(
                f"cannot use {str(path)!r}: {str(place)!r} is a link to {str(place.readlink())!r}, "
                "which is not there. Mount or create that, or name another folder."
            )


def _homes() -> set[Path]:
    """Return the user's home directories: that of the environment, and that of the system."""
    homes = [os.environ.get("HOME")]
    if sys.platform != "win32":
        with contextlib.suppress(KeyError):  # the system need not know the user
            homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    return {Path(home).resolve() for home in homes if home}


def _folders_in(path: Path) -> Iterator[Path]:
    if path.is_dir():
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)

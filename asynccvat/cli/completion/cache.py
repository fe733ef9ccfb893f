"""Keep the last answers of servers that completion needs: names of formats, ids of projects.

A file for each server, organization, and user or token, in the user's cache folder, readable by
this user only. It holds no tokens and no passwords. What cannot be read or written is ignored:
completion must not fail.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asynccvat.models import Formats
    from asynccvat.settings import Settings

FRESH_SECONDS = 600.0
"""An answer this old is asked for again."""

PAUSE_SECONDS = 60.0
"""A server that did not answer is not asked again for this time."""

_VERSION = 1


@dataclass(slots=True)
class Answers:
    """What a server answered last.

    Attributes:
        formats: The names of its formats; None if it was never asked.
        projects: The ids and names of the projects that the user may see; None likewise.
        asked: When each of them was asked for, and with what is missing in the others: seconds
            since 1970.
        failed: When it last did not answer.
    """

    formats: list[str] | None = None
    projects: dict[int, str] | None = None
    asked: dict[str, float] = field(default_factory=dict)
    failed: float = 0.0

    def needs(self, what: str, now: float) -> bool:
        """Return whether the server is to be asked for something: it is old, or missing.

        Args:
            what: `formats` or `projects`.
            now: Seconds since 1970.
        """
        if abs(now - self.failed) < PAUSE_SECONDS:
            return False
        # A clock that was set back makes no answer young for ever.
        return abs(now - self.asked.get(what, 0.0)) > FRESH_SECONDS


def path_for(settings: Settings) -> Path | None:
    """Return the file for what a user sees of a server, None if it is not known who that is.

    Each token has its own file: it may be another user's than the token before it.
    """
    import platformdirs  # noqa: PLC0415 - the start-up of commands stays light

    token = settings.fingerprint
    if token is None and settings.username is None:
        return None
    key = json.dumps([settings.address, settings.organization, settings.username, token])
    name = sha256(key.encode()).hexdigest()[:20]
    return platformdirs.user_cache_path("asynccvat") / "completion" / f"{name}.json"


def remember(settings: Settings, what: str, value: Any) -> None:
    """Keep what a command has just heard from its server.

    Args:
        settings: The server and the user.
        what: `formats` or `projects`.
        value: The names of the formats, or the names of the projects by their ids.
    """
    path = path_for(settings)
    if path is None:  # the terminal asked who the user is
        return
    known = read(path)
    setattr(known, what, value)
    known.asked[what] = time.time()
    write(path, known)


def format_names(formats: Formats) -> list[str]:
    """Return the names of a server's formats, each once."""
    names = [item.name for item in (*formats.exporters, *formats.importers) if item.enabled]
    return list(dict.fromkeys(names))


def read(path: Path) -> Answers:
    """Read the last answers; none if there is no such file, or another program wrote it."""
    try:
        document: Any = json.loads(path.read_text("utf-8"))
        if document["version"] != _VERSION:
            return Answers()
        formats, projects = document["formats"], document["projects"]
        return Answers(
            None if formats is None else [str(name) for name in formats],
            None if projects is None else {int(key): str(name) for key, name in projects.items()},
            {str(what): float(when) for what, when in document["asked"].items()},
            float(document["failed"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Answers()


def write(path: Path, answers: Answers) -> None:
    """Replace the file in one step. What cannot be written is left out."""
    document = {
        "version": _VERSION,
        "formats": answers.formats,
        "projects": answers.projects,
        "asked": answers.asked,
        "failed": answers.failed,
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                json.dump(document, file)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

"""Cloud storages: buckets that lie in folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asynccvat.simulator.world.users import ADMIN, User


@dataclass(frozen=True, slots=True)
class CloudStorage:
    """A bucket that users may export to.

    Attributes:
        id: Its id.
        name: The name that users see.
        folder: The folder that holds its objects.
        created: When it was registered.
        owner: Who registered it.
        available: Whether the server reaches it.
    """

    id: int
    name: str
    folder: Path
    created: datetime
    owner: User = ADMIN
    available: bool = True

    def objects(self) -> dict[str, int]:
        """Return the size of each object, by its key."""
        return {
            path.relative_to(self.folder).as_posix(): path.stat().st_size
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def write(self, key: str, content: bytes) -> None:
        """Write an object. One of that key is replaced."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

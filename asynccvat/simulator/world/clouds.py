"""Cloud storages as values: here each is a folder, whose files are the objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs

from asynccvat.simulator.world.users import User


@dataclass(frozen=True, slots=True)
class CloudStorage:
    """A bucket that is attached to the server.

    Attributes:
        folder: The folder that stands for the bucket.
        resource: The name of the bucket.
    """

    id: int
    folder: Path
    resource: str
    display_name: str
    owner: User
    created_date: datetime
    updated_date: datetime
    description: str = ""
    provider_type: str = "AWS_S3_BUCKET"
    credentials_type: str = "KEY_SECRET_KEY_PAIR"
    specific_attributes: str = ""
    organization_id: int | None = None

    @property
    def prefix(self) -> str:
        """What the keys of listed objects begin with, "" for no such limit."""
        return parse_qs(self.specific_attributes).get("prefix", [""])[0]

    def path(self, key: str) -> Path:
        """Return the file of an object.

        Raises:
            ValueError: The key is no path within the bucket.
        """
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise ValueError(f"{key!r} is no key of an object")
        return self.folder.joinpath(*parts)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the objects that begin with `prefix`, in order."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        keys = (path.relative_to(self.folder).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix))


@dataclass(frozen=True, slots=True)
class CloudObject:
    """Where an export is written: an object of a cloud storage; None: the server names it."""

    storage: CloudStorage
    key: str | None

"""What the server is asked to make of a target: an export or a backup, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

CVAT = "CVAT"
"""CVAT's own XML, in the flavour that loses least of a task."""


CVAT_IMAGES = "CVAT for images 1.1"


CVAT_VIDEO = "CVAT for video 1.1"


CVAT_JSON = "CVAT JSON"
"""The answers of CVAT's API, without an export. For mirrors of tasks alone."""


COCO = "COCO 1.0"


CONVERSIONS = (CVAT, CVAT_IMAGES, CVAT_VIDEO, COCO)
"""The formats that mirrors make without exports: all files of such an export are known exactly."""


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """How tasks are exported.

    Attributes:
        format: The exporter's exact name, case included. `CVAT` takes `CVAT for video 1.1` for
            videos, which are annotated with tracks, and `CVAT for images 1.1` for all other tasks.
            `CVAT JSON` takes what CVAT's API says, without an export.
        images: Whether the archive holds the images, too. With `CVAT JSON`, they are fetched
            without an export.
        target: What is exported: tasks, projects or jobs.
        frames: Whether `CVAT JSON` has the names and sizes of frames, too. It has no meaning for
            other formats.

    Raises:
        ConfigError: No format is named.
    """

    format: str = CVAT
    images: bool = False
    target: TargetKind = TargetKind.TASK
    frames: bool = True

    noun: ClassVar[str] = "export"
    """What the server makes, for messages."""
    verb: ClassVar[str] = "export"
    """What the server is asked to do, for messages."""
    resource: ClassVar[str] = "dataset"
    """The part of CVAT's paths that tells exports from backups."""

    def __post_init__(self) -> None:
        given: object = self.format
        if not isinstance(given, str) or not given.strip():
            raise ConfigError(
                f"{self.format!r} is not the name of a format. Give an exporter's exact name, like "
                "'CVAT for images 1.1'."
            )
        if not isinstance(self.images, bool):
            raise ConfigError(f"images must be True or False, not {self.images!r}")
        if not isinstance(self.frames, bool):
            raise ConfigError(f"frames must be True or False, not {self.frames!r}")
        object.__setattr__(self, "target", checked_target(self.target))

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the call that requests an export."""
        # Without a location, a task whose default target is a bucket never gets a result_url.
        images = "true" if self.images else "false"
        return {"format": self.format, "save_images": images, "location": "local"}

    @property
    def operation_type(self) -> str:
        """The type of such a request in the server's list of requests."""
        return "export:dataset" if self.images else "export:annotations"

    @property
    def is_json(self) -> bool:
        """Whether the files come from calls that answer with JSON, and nothing is exported."""
        return self.format == CVAT_JSON

    @property
    def exporters(self) -> tuple[str, ...]:
        """The names of the server's exporters that it can mean."""
        return (CVAT_IMAGES, CVAT_VIDEO) if self.format == CVAT else (self.format,)

    def for_mode(self, mode: str | None) -> ExportSpec:
        """Return the spec with the name of one exporter, for tasks of a mode."""
        if self.format != CVAT:
            return self
        name = CVAT_VIDEO if mode == "interpolation" else CVAT_IMAGES
        return ExportSpec(name, self.images, self.target)

    @classmethod
    def of(cls, spec: ExportSpec | str | None) -> ExportSpec:
        """Return a spec for a format's name, the default one for None, or the spec itself.

        Raises:
            ConfigError: The name is empty.
            TypeError: It is neither of these.
        """
        if spec is None:
            return cls()
        if isinstance(spec, str):
            return cls(spec)
        given: object = spec
        if not isinstance(given, ExportSpec):
            raise TypeError(f"a spec is an ExportSpec or a format's name, not {spec!r}")
        return spec


@dataclass(frozen=True, slots=True)
class BackupSpec:
    """How tasks or projects are backed up.

    Attributes:
        lightweight: Whether media that lie in a cloud storage are left out. Such a backup cannot
            be restored without that storage.
        target: What is backed up: tasks or projects. CVAT has no backups of jobs.

    Raises:
        ConfigError: The target is a job.
    """

    lightweight: bool = False
    target: TargetKind = TargetKind.TASK

    noun: ClassVar[str] = "backup"
    verb: ClassVar[str] = "back up"
    resource: ClassVar[str] = "backup"
    format: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not isinstance(self.lightweight, bool):
            raise ConfigError(f"lightweight must be True or False, not {self.lightweight!r}")
        object.__setattr__(self, "target", checked_target(self.target))
        if self.target is TargetKind.JOB:
            raise ConfigError("CVAT cannot back up single jobs. Back up their tasks instead.")

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the call that requests a backup."""
        # For media in a cloud storage, CVAT's own default is a lightweight backup.
        lightweight = "true" if self.lightweight else "false"
        return {"location": "local", "lightweight": lightweight}

    @property
    def operation_type(self) -> str:
        """The type of such a request in the server's list of requests."""
        return "export:backup"

    def for_mode(self, mode: str | None) -> BackupSpec:
        """Return the spec itself: a backup is the same for images and videos."""
        del mode
        return self


@dataclass(frozen=True, slots=True)
class BucketKey:
    """Where in a cloud storage the server writes an archive.

    Attributes:
        storage_id: The storage.
        key: The object's key.
    """

    storage_id: int
    key: str

    @property
    def query(self) -> dict[str, str]:
        """The parameters that send a result there instead of to a download."""
        return {
            "location": "cloud_storage",
            "cloud_storage_id": str(self.storage_id),
            "filename": self.key,
        }


RequestSpec = ExportSpec | BackupSpec
"""What the server is asked to make of a target."""


def checked_target(given: str) -> TargetKind:
    """Return the kind of target that a value names.

    Raises:
        ConfigError: It names none.
    """
    try:
        return TargetKind(given)
    except ValueError:
        raise ConfigError(
            f"target must be {', '.join(TargetKind)}, not {given!r}. Take a TargetKind."
        ) from None

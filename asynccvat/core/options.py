"""How a mirror or an upload works, as one frozen value: limits, guards and habits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.errors import ConfigError

DEFAULT_EXPORT_TIMEOUT = 4.25 * 3600
"""Seconds; past CVAT's own limit of 4 hours, so that the server gives up first."""


class ImportMode(StrEnum):
    """What becomes of the annotations that a task has already."""

    REPLACE = "replace"
    """They go: what every CVAT does."""
    APPEND = "append"
    """They stay: only where the server has it (`import_mode`, since 2026)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOptions:
    """Options of `mirror`, `open_mirror` and `plan`.

    Attributes:
        folder_prefix: A task's folder is this and the task's id.
        keep_archive: Keep each archive as it came, in `.asynccvat/archives/`; a mirror's only.
        concurrency: Exports in flight; None learns how many the server runs at once.
        transfers: Archives read at once.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        retries: How often one step of one task is tried again. Calls are tried again by the
            client's own `RetryPolicy`.
        export_timeout: Seconds that one export may run, counted from its start; the time in the
            server's queue is unlimited.
        force: Fetch every task, changed or not.
        reuse: Take over members that are here already, after reading them again.
        refresh: Export annotations alone where a task's images did not change, and leave those
            where they are, after reading them again; needs `reuse`.
        trust_receipts: Skip the look at the files of unchanged tasks.
        prune: Remove the folders of tasks that are gone from the server.
        max_delete: How many folders `prune` may remove: a number, or a share like `"10%"`.
        adopt: Take over folders that no receipt speaks of; what they held goes to `kept/`.
        durable: Sync to disk before a folder counts as done.
        break_lock: Take a lock over whose owner cannot be asked.
        limits: Bounds on archives.
    """

    folder_prefix: str = "task"
    keep_archive: bool = False
    concurrency: int | None = None
    transfers: int = 8
    bandwidth: int | None = None
    retries: int = 5
    export_timeout: float = DEFAULT_EXPORT_TIMEOUT
    force: bool = False
    reuse: bool = True
    refresh: bool = True
    trust_receipts: bool = False
    prune: bool = False
    max_delete: int | str = "10%"
    adopt: bool = False
    durable: bool = True
    break_lock: bool = False
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)

    def __post_init__(self) -> None:
        _check(self, {"concurrency": 1, "transfers": 1, "bandwidth": 1, "retries": 0})
        if not self.export_timeout > 0:
            raise ConfigError(f"export_timeout must be positive, not {self.export_timeout}")
        self.deletions_allowed(0)

    def deletions_allowed(self, folders: int) -> int:
        """How many of so many mirrored folders one run may remove.

        Raises:
            ConfigError: `max_delete` is neither a number nor a percentage.
        """
        text = str(self.max_delete).strip()
        try:
            if text.endswith("%"):
                share = float(text[:-1])
                if 0 <= share <= 100:
                    # At least one: a small mirror must be able to follow its server at all.
                    return max(1, int(folders * share / 100)) if share else 0
            elif int(text) >= 0:
                return int(text)
        except ValueError:
            pass
        raise ConfigError(f"max_delete must be a number or a percentage like 10%, not {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """Options of `upload`, `open_upload` and `plan_upload`.

    Attributes:
        folder_prefix: A task's folder is this and the task's id, where no receipt says otherwise.
        mode: `"replace"`, what every CVAT does, or `"append"`, which newer ones can.
        only_if_unchanged: Upload to tasks only that are as they were mirrored.
        force: Upload also what was found in a mirror and is as it was mirrored.
        concurrency: Imports in flight; None learns how many the server runs at once.
        transfers: Large files sent at once.
        retries: How often one step of one task is tried again, where that is known to be safe.
        import_timeout: Seconds that one import may run, counted from its start; the time in the
            server's queue is unlimited.
        durable: Sync receipts to disk before an upload counts as done.
        break_lock: Take a mirror's lock over whose owner cannot be asked.
    """

    folder_prefix: str = "task"
    mode: str = ImportMode.REPLACE.value
    only_if_unchanged: bool = False
    force: bool = False
    concurrency: int | None = None
    transfers: int = 4
    retries: int = 5
    import_timeout: float = DEFAULT_EXPORT_TIMEOUT
    durable: bool = True
    break_lock: bool = False

    def __post_init__(self) -> None:
        _check(self, {"concurrency": 1, "transfers": 1, "retries": 0})
        if not self.import_timeout > 0:
            raise ConfigError(f"import_timeout must be positive, not {self.import_timeout}")
        if self.mode not in tuple(ImportMode):
            raise ConfigError(f"mode must be {' or '.join(ImportMode)}, not {self.mode!r}")


def _check(options: MirrorOptions | UploadOptions, least: Mapping[str, int]) -> None:
    """Refuse values of another type than their option's, and numbers that are too small.

    Raises:
        ConfigError: There is one.
    """
    for option in fields(options):
        _check_kind(option.name, getattr(options, option.name), type(option.default))
    for name, at_least in least.items():
        value = getattr(options, name)
        if value is not None and value < at_least:
            raise ConfigError(f"{name} must be at least {at_least}, not {value}")


def _check_kind(name: str, value: object, default: type) -> None:
    """Refuse a value of another type than the option's, before it fails somewhere deep inside.

    Raises:
        ConfigError: It is of another type.
    """
    number = isinstance(value, int) and not isinstance(value, bool)
    fits: bool
    if name == "limits":
        fits, kind = isinstance(value, ArchiveLimits), "ArchiveLimits"
    elif name == "max_delete":
        fits, kind = number or isinstance(value, str), "a number or a percentage like 10%"
    elif name in ("concurrency", "bandwidth"):
        fits, kind = number or value is None, "a whole number or None"
    elif default is bool:
        fits, kind = isinstance(value, bool), "True or False"
    elif default is str:
        fits, kind = isinstance(value, str), "a text"
    elif default is float:
        fits, kind = number or isinstance(value, float), "a number of seconds"
    else:
        fits, kind = number, "a whole number"
    if not fits:
        raise ConfigError(f"{name} must be {kind}, not {value!r}")

"""The options of a watch, apart from those of its mirrors."""

from __future__ import annotations

from dataclasses import dataclass, fields

from asynccvat.core.declarations import DURATION, WATCHING, Number, option
from asynccvat.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """Options of `watch`.

    Attributes:
        every: Seconds from the end of a round to the next one, up to a tenth more or less.
        full_every: Seconds after which a round lists all tasks, rather than the newest ones.
        changes_at_once: Calls of `on_change` at once.
        change_timeout: Seconds that one call of `on_change` may take.

    Raises:
        ConfigError: A value is not a positive number.
    """

    every: float = option(
        300.0,
        "--every",
        "Time between two rounds: seconds, or like 30s or 5m.",
        DURATION,
        group=WATCHING,
    )
    full_every: float = option(
        3600.0,
        "--full-every",
        "Time after which a round lists all tasks, not only the newest ones.",
        DURATION,
        group=WATCHING,
    )
    changes_at_once: int = option(
        2,
        "--on-change-limit",
        "Commands of --on-change that run at once.",
        Number(1, example=4),
        group=WATCHING,
    )
    change_timeout: float = option(
        3600.0,
        "--on-change-timeout",
        "Time after which a command of --on-change is ended: seconds, or like 30m.",
        DURATION,
        group=WATCHING,
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f"{field.name} must be a positive number, not {value!r}")
        if not isinstance(self.changes_at_once, int):
            raise ConfigError(
                f"changes_at_once must be a whole number, not {self.changes_at_once!r}"
            )

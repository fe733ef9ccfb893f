"""How large and how often: the sizes of a quick look and of the full set, and where to work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of all benchmarks.

    Attributes:
        label: `quick` or `full`.
        tasks: Small tasks to mirror from nothing.
        rounds: Turns of the contenders at the simulated server.
        pairs: Turns of the contenders at archives.
        poll_tasks: Tasks on which the pool's best poll interval is looked for.
        polls: Intervals to try, seconds.
        documented_tasks: Tasks for the SDK as documented; 5 seconds each.
        loop_tasks: Tasks for the command line in a loop; some 4 seconds each.
        old_tasks: Tasks for the client of the old endpoints; 2 seconds each.
        archive_mib: The stored archive.
        text_mb: The deflated archive's content.
        image_tasks: Tasks with images, 20 MB each.
        unchanged: Numbers of tasks of which none changed.
        changed: Tasks with images of which one in a hundred changed.
        resumed_mb: The archive that is cut off.
        small_tasks: Tasks for durability on against off.
        upload_mb: The large annotation file.
        curve_tasks: Tasks for each point of the curves.
        soak_tasks: Tasks of the long run.
        watched_tasks: Tasks of the watch of a day.
        verified_small: Small files to verify, beside large ones as of the stored archive.
    """

    label: str
    tasks: int
    rounds: int
    pairs: int
    poll_tasks: int
    polls: tuple[float, ...]
    documented_tasks: int
    loop_tasks: int
    old_tasks: int
    archive_mib: int
    text_mb: int
    image_tasks: int
    unchanged: tuple[int, ...]
    changed: int
    resumed_mb: int
    small_tasks: int
    upload_mb: int
    curve_tasks: int
    soak_tasks: int
    watched_tasks: int
    verified_small: int


QUICK = Sizes(
    label="quick",
    tasks=40,
    rounds=1,
    pairs=1,
    poll_tasks=20,
    polls=(0.5, 1.0),
    documented_tasks=2,
    loop_tasks=2,
    old_tasks=2,
    archive_mib=64,
    text_mb=30,
    image_tasks=4,
    unchanged=(500,),
    changed=100,
    resumed_mb=800,
    small_tasks=60,
    upload_mb=200,
    curve_tasks=8,
    soak_tasks=2000,
    watched_tasks=200,
    verified_small=2000,
)
FULL = Sizes(
    label="full",
    tasks=300,
    rounds=3,
    pairs=5,
    poll_tasks=60,
    polls=(0.2, 0.5, 1.0, 2.0),
    documented_tasks=20,
    loop_tasks=5,
    old_tasks=20,
    archive_mib=1024,
    text_mb=300,
    image_tasks=12,
    unchanged=(10_000, 100_000),
    changed=1000,
    resumed_mb=2000,
    small_tasks=1000,
    upload_mb=200,
    curve_tasks=40,
    soak_tasks=100_000,
    watched_tasks=10_000,
    verified_small=20_000,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What every benchmark is given.

    Attributes:
        sizes: How large and how often.
        work: A folder to write trees into.
        cache: A folder that keeps archives and environments for the next time.
    """

    sizes: Sizes
    work: Path
    cache: Path

    def folder(self, name: str) -> Path:
        """A folder of one benchmark within `work`."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

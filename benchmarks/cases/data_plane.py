"""One archive from a socket to files, beside what a shell has for it; nobody syncs.

A contender is timed as a whole process, its start included. No tree is removed before the end,
and none shortly before the beginning: ext4 takes several times as long to create files while it
still remembers many that were deleted.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.archives import contents, serve
from benchmarks.archives import stored_archive as make_stored
from benchmarks.archives import text_archive as make_text
from benchmarks.contenders import (
    BSDTAR,
    OURS,
    UNZIP,
    ExtractJob,
    Extractor,
    asynccvat_extract,
    extractors,
)
from benchmarks.measuring import (
    Run,
    check_equal,
    in_turns,
    let_deletions_age,
    level_ground,
    median_ratio,
)
from benchmarks.results import Goal, Result, at_least, at_most
from benchmarks.setting import Setting

_MEMBER = 200_000
_FOUR = "asynccvat, four at once"


def stored_archive(setting: Setting) -> Result:
    """Images: stored members of 200 KB."""
    archive = make_stored(setting.cache, setting.sizes.archive_mib << 20, _MEMBER)
    runs = _compete(setting, "stored", archive, extractors())
    return Result(
        name="stored",
        title="An archive of stored 200 KB members to disk, the data plane alone",
        scale=f"{setting.sizes.archive_mib} MiB, nobody syncs, whole processes",
        goals=[
            *_ratio_goals(runs, {BSDTAR: 1.2, UNZIP: 2.5}),
            at_most("resident memory at its peak", _peak(runs[OURS]), 80, " MB"),
        ],
        runs=runs,
    )


def text_archive(setting: Setting) -> Result:
    """Annotations: deflated XML and JSON."""
    archive = make_text(setting.cache, setting.sizes.text_mb * 1_000_000)
    runs = _compete(setting, "text", archive, extractors())
    return Result(
        name="text",
        title="An archive of deflated XML and JSON to disk, the data plane alone",
        scale=f"{setting.sizes.text_mb} MB in members of 3 MB "
        f"({archive.stat().st_size / 1e6:.0f} MB deflated), nobody syncs, whole processes",
        goals=_ratio_goals(runs, {BSDTAR: 1.5}),
        runs=runs,
    )


def four_at_once(setting: Setting) -> Result:
    """Four stored archives in one process, against one."""
    archive = make_stored(setting.cache, setting.sizes.archive_mib << 20, _MEMBER)

    def four(job: ExtractJob) -> Run:
        run = asynccvat_extract(ExtractJob(job.url, job.work, copies=4))
        run.contender = _FOUR
        return run

    runs = _compete(setting, "four", archive, {OURS: asynccvat_extract, _FOUR: four}, copies=4)
    gains = [
        4 * one.seconds / four.seconds for one, four in zip(runs[OURS], runs[_FOUR], strict=True)
    ]
    busy = statistics.median(run.cpu_seconds / run.process_seconds for run in runs[OURS])
    return Result(
        name="four",
        title="Four such archives at once, in one process",
        scale=f"4 x {setting.sizes.archive_mib} MiB of stored 200 KB members",
        goals=[
            at_least(
                "bytes a second of four / of one",
                statistics.median(gains),
                1.5,
                note=f"{os.cpu_count()} cores, for the server, too; one alone keeps {busy:.2f} of "
                "them busy",
            ),
            at_most("peak memory / 4 transfers", _peak(runs[_FOUR]) / 4, 40, " MB"),
        ],
        runs=runs,
    )


def _compete(
    setting: Setting,
    name: str,
    archive: Path,
    contenders: Mapping[str, Extractor],
    copies: int = 1,
) -> dict[str, list[Run]]:
    work, expected = setting.folder(name), contents(archive)
    size = copies * sum(length for length, _ in expected.values())
    if setting.sizes.label == "full":
        let_deletions_age()
    with serve(archive) as url:

        def turn(label: str, extract: Extractor) -> Callable[[int], Run]:
            def run(number: int) -> Run:
                level_ground(work, size)
                done = extract(ExtractJob(url, work / f"{number}-{label}"))
                if "seconds" in done.told:
                    done.figures["without_start"] = done.told["seconds"]
                done.seconds = done.process_seconds
                return done

            return run

        for number, (who, extract) in enumerate(contenders.items()):
            extract(ExtractJob(url, work / f"check-{number}"))
            for tree in sorted((work / f"check-{number}").glob("tree*")):
                check_equal({who: tree}, expected)
        runs = in_turns(
            setting.sizes.pairs,
            {who: turn(str(at), extract) for at, (who, extract) in enumerate(contenders.items())},
        )
    shutil.rmtree(work)
    return runs


def _ratio_goals(runs: Mapping[str, list[Run]], limits: Mapping[str, float]) -> list[Goal]:
    goals = []
    for peer, limit in limits.items():
        if peer in runs:
            ratio = median_ratio(runs[peer], runs[OURS])
            inside = statistics.median(
                other.seconds / ours.figures["without_start"]
                for other, ours in zip(runs[peer], runs[OURS], strict=True)
            )
            note = f"{inside:.3g} without the start and end of our process"
            goals.append(at_least(f"wall of {peer} / ours", ratio, limit, note=note))
    return goals


def _peak(runs: list[Run]) -> float:
    """The peak of all runs, in MB of a million bytes."""
    return max(run.peak_mib for run in runs) * 2**20 / 1e6

"""Tasks with images, all annotations edited: images exported again, or left as they are."""

from __future__ import annotations

import random
import shutil
import statistics
import zipfile
from pathlib import Path

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.archives import contents
from benchmarks.contenders import OURS, MirrorJob, asynccvat_mirror
from benchmarks.measuring import Run, check_equal, median_ratio
from benchmarks.results import Result, at_least, at_most
from benchmarks.setting import Setting

_FRAMES, _FRAME_BYTES = 100, 200_000
_EXPORT_SECONDS = 0.18
_WHOLE = "asynccvat --no-refresh"


def refreshing(setting: Setting) -> Result:
    """All tasks edited: an update that has annotations exported alone, and one that does not."""
    sizes, work = setting.sizes, setting.folder("refreshing")
    tasks = range(1, sizes.image_tasks + 1)
    versions = [_archives(work / f"version{number}", number) for number in range(2)]
    served = work / "served"
    served.mkdir()
    _serve(served, versions[0], tasks)
    options = SimulatorOptions(tasks=0, archives=served, costs=True, export_seconds=_EXPORT_SECONDS)
    contenders = {
        OURS: asynccvat_mirror(OURS, images=True),
        _WHOLE: asynccvat_mirror(_WHOLE, images=True, refresh=False),
    }
    runs: dict[str, list[Run]] = {}
    with ServerProcess(options) as server:
        for number in range(sizes.rounds + 1):
            # The first round mirrors from nothing, the others are updates.
            what = "update" if number else "from nothing"
            version = versions[number % 2]
            for name, who in list(contenders.items())[:: 1 if number % 2 else -1]:
                # Edited for each, so that no export is cached.
                _serve(served, version, tasks)
                for task_id in tasks:
                    server.do("edit_task", task_id=task_id)
                before = len(server.calls)
                run = who(MirrorJob(server, work / name, images=True))
                calls = server.calls[before:]
                run.figures |= {
                    "requests_per_task": len(calls) / len(tasks),
                    "transferred_bytes": sum(
                        call["bytes_sent"]
                        for call in calls
                        if call["path"].endswith("/dataset/download")
                    ),
                }
                runs.setdefault(f"{name}, {what}", []).append(run)
                print(f"    {name}, {what}: {run.seconds:.2f} s", flush=True)
            expected = {
                f"task{task_id}/{path}": entry
                for task_id in tasks
                for path, entry in contents(version["images"]).items()
            }
            check_equal({name: work / name for name in contenders}, expected)
    updates = {name: runs[f"{name}, update"] for name in contenders}
    transferred = {
        name: statistics.median(run.figures["transferred_bytes"] for run in them)
        for name, them in updates.items()
    }
    export = _EXPORT_SECONDS + options.media_seconds * _FRAMES * _FRAME_BYTES / 1e6
    shutil.rmtree(work)
    return Result(
        name="refreshing",
        title="Annotations of all tasks edited, the images as they were",
        scale=f"{len(tasks)} tasks x {_FRAMES * _FRAME_BYTES / 1e6:.0f} MB with images; 2 export "
        f"workers x {export:.2f} s with images, {_EXPORT_SECONDS:g} s without; 2 API workers x "
        "40 ms",
        goals=[
            at_least(
                "wall of an update without refresh / with it",
                median_ratio(updates[_WHOLE], updates[OURS]),
                2.0,
                note="; ".join(
                    f"{name}: {size / len(tasks) / 1e3:.1f} kB a task"
                    for name, size in transferred.items()
                ),
            ),
            at_most(
                "wall of a mirror from nothing with refresh / without it",
                median_ratio(runs[f"{OURS}, from nothing"], runs[f"{_WHOLE}, from nothing"]),
                1.05,
                note="it asks once a task what its images are known by",
            ),
        ],
        runs=runs,
    )


def _archives(folder: Path, version: int) -> dict[str, Path]:
    """The archives of one version of a task: with images, and the annotations alone."""
    folder.mkdir()
    lines = (f'<image id="{i}" version="{version}"/>\n' for i in range(_FRAMES))
    head = f"<annotations><meta><task><size>{_FRAMES}</size></task></meta>\n"
    xml = head + "".join(lines) + "</annotations>\n"
    found = {kind: folder / f"{kind}.zip" for kind in ("images", "annotations")}
    for kind, path in found.items():
        content = random.Random(_FRAMES)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("annotations.xml", xml)
            for number in range(_FRAMES if kind == "images" else 0):
                image = content.randbytes(_FRAME_BYTES)
                archive.writestr(f"images/{number:06d}.jpg", image)
    return found


def _serve(served: Path, version: dict[str, Path], tasks: range) -> None:
    """Let the tasks be of a version."""
    for task_id in tasks:
        for kind, archive in version.items():
            link = served / f"task{task_id}_cvat-for-images-11_{kind}.zip"
            fresh = link.with_suffix(".part")
            fresh.hardlink_to(archive)
            # Between links to the same file a rename would do nothing.
            link.unlink(missing_ok=True)
            fresh.replace(link)

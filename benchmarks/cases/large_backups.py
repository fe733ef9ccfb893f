"""One large task backed up and restored: how much of it is in memory at once."""

from __future__ import annotations

import shutil

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.contenders import OURS
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting
from benchmarks.verbs import VerbJob, asynccvat_verb, made_tasks

_BACKUP, _RESTORE = f"{OURS}, backup", f"{OURS}, restore"
_FRAME_BYTES = 10_000_000
_MB = 1_000_000


def large_backup(setting: Setting) -> Result:
    """A backup from one server, and its restore to another."""
    work = setting.folder("large")
    backups = work / "backups"
    frames = max(1, round(setting.sizes.resumed_mb * _MB / _FRAME_BYTES))
    with ServerProcess(
        SimulatorOptions(tasks=1, frames=frames, frame_bytes=_FRAME_BYTES)
    ) as server:
        job = VerbJob(verb="backup", server=server, folder=backups, work=work)
        backup = asynccvat_verb(job, _BACKUP)
    (path,) = backups.glob("task*/*.zip")
    size = path.stat().st_size
    with ServerProcess(SimulatorOptions(tasks=0, projects=0)) as server:
        job = VerbJob(verb="restore", server=server, folder=backups, work=work)
        restore = asynccvat_verb(job, _RESTORE)
        received = sum(call["bytes_received"] for call in server.calls)
        if [frames for _, frames in made_tasks(server, 1)] != [frames]:
            raise SystemExit("the large task was not restored: nothing is measured")
    shutil.rmtree(work)
    for run in (backup, restore):
        print(f"    {run.contender}: {run.seconds:.2f} s, {run.peak_mib:.0f} MiB", flush=True)
    return Result(
        name="large",
        title="One large backup and its restore",
        scale=f"{size / _MB:,.0f} MB in frames of {_FRAME_BYTES / _MB:g} MB",
        goals=[
            *(
                at_most(
                    f"{what}: resident memory at its peak", run.peak_mib * 2**20 / _MB, 100, " MB"
                )
                for what, run in (("backup", backup), ("restore", restore))
            ),
            at_most("restore: bytes sent / the backup's", received / size, 1.1),
        ],
        runs={_BACKUP: [backup], _RESTORE: [restore]},
    )

"""An archive cut off by SIGKILL near its end: what the next process fetches again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.archives import contents, stored_archive
from benchmarks.contenders import OURS, MirrorJob, asynccvat_mirror
from benchmarks.measuring import check_equal
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_MEMBER = 200_000
_KILLED_AT = 0.9


def resuming(setting: Setting) -> Result:
    """One large archive, killed at 90 % and gone on with: the bytes that the server sent in all."""
    work = setting.folder("resuming")
    archive = stored_archive(setting.cache, setting.sizes.resumed_mb * 1_000_000, _MEMBER)
    size = archive.stat().st_size
    served = work / "served"
    served.mkdir()
    (served / "task1.zip").symlink_to(archive)
    dest = work / "mirror"
    with ServerProcess(SimulatorOptions(tasks=0, archives=served)) as server:
        job = MirrorJob(server, dest, images=True)
        try:
            asynccvat_mirror(images=True, durable=False, kill_after=int(size * _KILLED_AT))(job)
        except subprocess.CalledProcessError as error:
            if error.returncode != -signal.SIGKILL:
                raise
        # The server notices that nobody reads any more when it writes next.
        time.sleep(1.0)
        before = _sent(server)
        again = asynccvat_mirror(images=True, durable=False)(job)
        total = _sent(server)
    check_equal({"what was gone on with": dest / "task1"}, contents(archive))
    if not _KILLED_AT * size < before < size:
        raise SystemExit(f"killed after {before} of {size} bytes: that shows nothing")
    again.figures["transferred_bytes"] = total - before
    shutil.rmtree(work)
    return Result(
        name="resuming",
        title="An archive cut off by SIGKILL at 90 %",
        scale=f"{size / 1e6:,.0f} MB in members of 200 KB, of one task; killed once 90 % have "
        "come, then run again; bytes as the server counted them",
        goals=[
            at_most(
                "bytes sent by the server in both runs / the archive",
                total / size,
                1.05,
                note=f"{before / 1e6:,.0f} MB before the kill, {(total - before) / 1e6:,.0f} MB "
                "after it",
            )
        ],
        runs={f"{OURS}, the run after the kill": [again]},
    )


def _sent(server: ServerProcess) -> int:
    return sum(
        call["bytes_sent"] for call in server.calls if call["path"].endswith("/dataset/download")
    )

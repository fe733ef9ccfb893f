"""A verification against reading alone, and against what one would use without it."""

from __future__ import annotations

import random
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, encode_receipt
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, in_turns, median_ratio, run_process
from benchmarks.results import Result, at_least, at_most
from benchmarks.setting import Setting

_THREADS = 4
_LARGE, _SMALL = 200_000, 3_000
_FILES_OF_LARGE, _FILES_OF_SMALL = 50, 20
_READING = f"reading alone, {_THREADS} threads"
_SHA256 = f"sha256sum, {_THREADS} processes"
_ROUNDS = 7


def verifying(setting: Setting) -> Result:
    """Files that are in memory: what counts is what is done beside reading."""
    sizes = setting.sizes
    work = setting.folder("verifying")
    large, small = (sizes.archive_mib << 20) // _LARGE, sizes.verified_small
    _make(work / "large", _LARGE, _FILES_OF_LARGE, large)
    _make(work / "both", _LARGE, _FILES_OF_LARGE, large)
    _make(work / "both", _SMALL, _FILES_OF_SMALL, small, first_task=large)
    runs = {
        f"{name}, {label}": them
        for label, folder in (("large files", "large"), ("large and small files", "both"))
        for name, them in in_turns(_ROUNDS, _contenders(work / folder)).items()
    }
    shutil.rmtree(work)

    def ratio(slower: str, quicker: str, label: str) -> float:
        return median_ratio(runs[f"{slower}, {label}"], runs[f"{quicker}, {label}"])

    return Result(
        name="verifying",
        title="A verification",
        scale=f"{sizes.archive_mib} MiB in files of 200 KB, then with {small:,} files of 3 KB; "
        "everything is in the page cache; a turn before those that count",
        goals=[
            at_most(
                f"{label}: wall / {_READING}",
                ratio(OURS, _READING, label),
                1.2,
                note="start of the interpreter and imports left out of both",
            )
            for label in ("large files", "large and small files")
        ]
        + [
            at_least(
                f"wall of {_SHA256} / ours", ratio(_SHA256, OURS, "large and small files"), 1
            ),
            at_most(
                "resident memory at its peak",
                max(run.peak_mib for name, them in runs.items() if name.startswith(OURS)
                    for run in them) * 2**20 / 1e6,
                100,
                " MB",
            ),
        ],
        runs=runs,
    )  # fmt: skip


def _contenders(folder: Path) -> dict[str, Callable[[int], Run]]:
    def worker(name: str, module: str) -> Callable[[int], Run]:
        command = [sys.executable, "-m", f"benchmarks.workers.{module}", str(folder)]
        return lambda _: run_process(name, [*command, str(_THREADS)])

    found = {
        OURS: worker(OURS, "asynccvat_verify"),
        _READING: worker(_READING, "reading_alone"),
    }
    sums = (
        f"find {folder} -name .asynccvat -prune -o -type f -print0 | xargs -0 -n 64 -P {_THREADS}"
    )
    if shutil.which("sha256sum"):
        command = ["sh", "-c", f"{sums} sha256sum > /dev/null"]
        found[_SHA256] = lambda _: run_process(_SHA256, command)
    for contender in found.values():
        contender(0)
    return found


def _make(dest: Path, size: int, files: int, count: int, *, first_task: int = 0) -> None:
    """Leave tasks of so many files as a mirror leaves them."""
    content = random.Random(0).randbytes(size)
    crc = zlib.crc32(content)
    receipts = dest / ".asynccvat" / "receipts"
    receipts.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, files):
        task_id = first_task + start // files + 1
        folder = dest / f"task{task_id}" / "images"
        folder.mkdir(parents=True)
        members = []
        for number in range(start, min(start + files, count)):
            file = folder / f"{number:06}.jpg"
            file.write_bytes(content)
            mtime_ns = file.stat().st_mtime_ns
            members.append(MemberRecord(f"images/{file.name}", size, crc, mtime_ns))
        head = ReceiptHead(
            task_id=task_id,
            folder=f"task{task_id}",
            format="COCO 1.0",
            images=True,
            updated_date="2026-01-01T00:00:00Z",
            origin="http://127.0.0.1",
            digest="0",
            files=len(members),
            bytes=size * len(members),
            requested_at="2026-01-01T00:00:00Z",
            committed_at="2026-01-01T00:00:00Z",
        )
        receipt = encode_receipt(Receipt(head, tuple(members)))
        (receipts / f"{task_id}.json").write_bytes(receipt)

"""A look at a mirror without a server: `status` and `du`, with every receipt and file of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, encode_receipt
from benchmarks.measuring import in_turns, median_seconds, run_process
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_TASKS = 10_000
_ROUNDS = 5
_CONTENT = b"<annotations/>\n"
_FIND = "find -printf, all names and sizes"


def looking(setting: Setting) -> Result:
    """Whole processes, from their start to their end, in turns; everything is in memory."""
    work = setting.folder("looking")
    few, many = work / "few", work / "many"
    _make(few, 1)
    _make(many, 10)

    def ours(command: str, folder: Path) -> list[str]:
        return [sys.executable, "-m", "asynccvat", command, str(folder), "--json"]

    commands = {
        "asynccvat status, 1 file a task": ours("status", few),
        "asynccvat status, 10 files a task": ours("status", many),
        "asynccvat du, 1 file a task": ours("du", few),
        _FIND: ["find", str(few), "-printf", "%s\n"],
    }
    runs = in_turns(
        _ROUNDS,
        {
            name: lambda _, name=name, command=command: run_process(name, command)  # type: ignore[misc]  # the defaults bind both
            for name, command in commands.items()
        },
    )
    shutil.rmtree(work)
    first, second, *_ = commands
    return Result(
        name="looking",
        title="The status of a mirror",
        scale=f"{_TASKS:,} tasks; whole processes, {_ROUNDS} of each",
        goals=[
            at_most(f"wall of {first}", median_seconds(runs[first]), 1.2, " s"),
            at_most(f"wall of {second}", median_seconds(runs[second]), 2, " s"),
        ],
        runs=runs,
    )


def _make(dest: Path, files: int) -> None:
    """Leave tasks of so many files as a mirror leaves them."""
    own = dest / ".asynccvat"
    for name in ("receipts", "staging", "kept"):
        (own / name).mkdir(parents=True)
    for task_id in range(1, _TASKS + 1):
        folder = dest / f"task{task_id}"
        folder.mkdir()
        members = []
        for number in range(files):
            file = folder / f"annotations{number}.xml"
            file.write_bytes(_CONTENT)
            mtime_ns = file.stat().st_mtime_ns
            members.append(MemberRecord(file.name, len(_CONTENT), 0, mtime_ns))
        head = ReceiptHead(
            task_id=task_id,
            folder=folder.name,
            format="CVAT for images 1.1",
            images=False,
            updated_date="2026-01-01T00:00:00Z",
            origin="http://127.0.0.1",
            digest="0",
            files=files,
            bytes=files * len(_CONTENT),
            requested_at="2026-01-01T00:00:00Z",
            committed_at="2026-01-01T00:00:00Z",
        )
        receipt = encode_receipt(Receipt(head, tuple(members)))
        (own / "receipts" / f"{task_id}.json").write_bytes(receipt)

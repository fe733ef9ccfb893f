"""A merge into one data set against reading and writing the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, encode_receipt
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, in_turns, median_ratio, run_process
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_TASKS, _IMAGES, _BOXES = 1_000, 10, 4
_IMAGE_BYTES = 20_000
_COPYING = "reading and writing the files alone"
_LINKS = f"{OURS} --images link"
_COPIES = f"{OURS} --images copy"
_ROUNDS = 3
_DATE = "2026-01-01T00:00:00Z"


def merging(setting: Setting) -> Result:
    """Tasks as JSON with images, merged to COCO."""
    work = setting.folder("merging")
    for task_id in range(1, _TASKS + 1):
        _make(work / "mirror", task_id)
    runs = in_turns(_ROUNDS, _contenders(work))
    shutil.rmtree(work)
    ours = (*runs[_COPIES], *runs[_LINKS])
    return Result(
        name="merging",
        title="A merge into one data set",
        scale=f"{_TASKS:,} tasks as JSON x {_IMAGES} images of {_IMAGE_BYTES // 1000} KB x "
        f"{_BOXES} boxes, to COCO; both end when all is on the disk; start of the interpreter and "
        "imports left out of both",
        goals=[
            at_most(f"copied: wall / {_COPYING}", median_ratio(runs[_COPIES], runs[_COPYING]), 1.5),
            at_most(f"linked: wall / {_COPYING}", median_ratio(runs[_LINKS], runs[_COPYING]), 1.5),
            at_most(
                "resident memory at its peak",
                max(run.peak_mib for run in ours) * 2**20 / 1e6,
                300,
                " MB",
            ),
        ],
        runs=runs,
    )


def _contenders(work: Path) -> dict[str, Callable[[int], Run]]:
    def worker(name: str, module: str, *more: str) -> Callable[[int], Run]:
        def run(number: int) -> Run:
            out = work / f"out{number}"
            command = [sys.executable, "-m", f"benchmarks.workers.{module}"]
            done = run_process(name, [*command, str(work / "mirror"), str(out), *more])
            shutil.rmtree(out)
            return done

        return run

    return {
        _COPIES: worker(_COPIES, "asynccvat_merge", "copy"),
        _LINKS: worker(_LINKS, "asynccvat_merge", "link"),
        _COPYING: worker(_COPYING, "copying_alone"),
    }


def _make(dest: Path, task_id: int) -> None:
    """Leave a task as a mirror leaves it."""
    receipts = dest / ".asynccvat" / "receipts"
    receipts.mkdir(parents=True, exist_ok=True)
    image = random.Random(0).randbytes(_IMAGE_BYTES)
    members = []
    images = {f"images/{number:04}.jpg": image for number in range(_IMAGES)}
    for name, content in (_documents(task_id) | images).items():
        path = dest / f"task{task_id}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        mtime_ns = path.stat().st_mtime_ns
        members.append(MemberRecord(name, len(content), zlib.crc32(content), mtime_ns))
    head = ReceiptHead(
        task_id=task_id,
        folder=f"task{task_id}",
        format="CVAT JSON",
        images=True,
        updated_date=_DATE,
        origin="http://127.0.0.1",
        digest="0",
        files=len(members),
        bytes=sum(member.size for member in members),
        requested_at=_DATE,
        committed_at=_DATE,
    )
    receipt = encode_receipt(Receipt(head, tuple(members)))
    (receipts / f"{task_id}.json").write_bytes(receipt)


def _documents(task_id: int) -> dict[str, bytes]:
    """Return the answers of CVAT's API about a task, as far as conversions read them."""
    frames = [{"name": f"{number:04}.jpg", "width": 1920, "height": 1080}
              for number in range(_IMAGES)]  # fmt: skip
    shapes = [
        {
            "id": number,
            "type": "rectangle",
            "label_id": 1,
            "frame": number % _IMAGES,
            "points": [1.5, 2.25, 300 + number, 400],
            "occluded": False,
            "z_order": 0,
            "attributes": [],
        }
        for number in range(_IMAGES * _BOXES)
    ]
    label = {"id": 1, "name": "car", "color": "#ff0000", "type": "any", "attributes": []}
    task = {
        "id": task_id,
        "name": f"task {task_id}",
        "mode": "annotation",
        "size": _IMAGES,
        "created_date": _DATE,
        "updated_date": _DATE,
    }
    job = {"id": task_id, "start_frame": 0, "stop_frame": _IMAGES - 1, "type": "annotation"}
    found: dict[str, Any] = {
        "task.json": task,
        "labels.json": [label],
        "jobs.json": [job],
        "frames.json": {"size": _IMAGES, "stop_frame": _IMAGES - 1, "frames": frames},
        "annotations.json": {"version": 0, "tags": [], "shapes": shapes, "tracks": []},
    }
    return {name: json.dumps(value).encode() for name, value in found.items()}

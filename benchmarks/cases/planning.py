"""Runs over what is here already: nothing changed, little changed, and what durability costs."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import asynccvat
from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, encode_receipt
from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.cases.images import ready_archives
from benchmarks.cases.mirrors import check_mirrors
from benchmarks.contenders import OURS, MirrorJob, asynccvat_mirror
from benchmarks.measuring import Run, check_equal, in_turns, median_ratio, tree_of
from benchmarks.results import Goal, Result, at_most
from benchmarks.setting import Setting
from benchmarks.traces import calls_by_kind

_LISTING = "the listing alone"
_NOT_DURABLE = "asynccvat --no-fsync"
_FRAME_BYTES = 200_000


def unchanged(setting: Setting) -> Result:
    """A mirror of which nothing changed, against the listing alone."""
    sizes = setting.sizes
    goals: list[Goal] = []
    runs: dict[str, list[Run]] = {}
    for tasks in sizes.unchanged:
        found = _unchanged(setting, tasks)
        goals += [
            at_most(
                f"{tasks:,} tasks: wall / listing", median_ratio(found[OURS], found[_LISTING]), 1.2
            ),
            at_most(
                f"{tasks:,} tasks: peak memory",
                max(run.peak_mib for run in found[OURS]) * 2**20 / 1e6,
                350,
                " MB",
            ),
        ]
        runs |= {f"{name}, {tasks:,} tasks": them for name, them in found.items()}
    return Result(
        name="unchanged",
        title="Nothing changed",
        scale=f"{' and '.join(f'{tasks:,}' for tasks in sizes.unchanged)} tasks; the listing "
        "costs 40 ms a page and 0.5 ms a task; 2 API workers",
        goals=goals,
        runs=runs,
    )


def _unchanged(setting: Setting, tasks: int) -> dict[str, list[Run]]:
    work = setting.folder(f"unchanged-{tasks}")
    dest = work / "mirror"
    options = SimulatorOptions(
        tasks=tasks, frames=1, boxes_per_frame=1, costs=True, export_seconds=0.0
    )
    with ServerProcess(options) as server:
        began = time.perf_counter()
        asyncio.run(_prepare(server, dest))
        print(f"    {tasks} tasks are here after {time.perf_counter() - began:.0f} s", flush=True)

        def turn(mirrors: bool) -> Callable[[int], Run]:
            name = OURS if mirrors else _LISTING
            who = asynccvat_mirror(name, list_only=not mirrors)

            def run(_: int) -> Run:
                before = len(server.calls)
                done = who(MirrorJob(server, dest))
                calls = server.calls[before:]
                kinds = set(calls_by_kind(calls))
                if kinds != {"POST /api/auth/login", "GET /api/tasks"}:
                    raise SystemExit(f"{name} asked for more than the listing: {kinds}")
                if mirrors and done.told["actions"] != {"kept": tasks}:
                    raise SystemExit(f"not all tasks were kept: {done.told['actions']}")
                done.figures["requests_per_task"] = len(calls) / tasks
                return done

            return run

        runs = in_turns(setting.sizes.rounds, {OURS: turn(True), _LISTING: turn(False)})
    shutil.rmtree(work)
    return runs


async def _prepare(server: ServerProcess, dest: Path) -> None:
    """Leave a destination as a mirror of everything leaves it.

    The first tasks are mirrored. The others get a copy of the first one's files, and its receipt
    with their own names, dates and times: to export 100,000 tasks would take hours, and a run that
    keeps them looks at nothing else.
    """
    async with asynccvat.CvatClient(server.url, token=server.token) as client:
        listing = await client.tasks()
        first = listing.tasks[0]
        report = await asynccvat.mirror(client, dest, asynccvat.Selection(task_ids=(first.id,)))
        report.raise_for_failures()
        organization = client.organization
        origin = client.origin
    await asyncio.to_thread(_copy_receipts, dest, listing.tasks, origin, organization)


def _copy_receipts(
    dest: Path, tasks: tuple[asynccvat.models.Task, ...], origin: str, organization: str | None
) -> None:
    first = tasks[0]
    files = [path for path in (dest / f"task{first.id}").rglob("*") if path.is_file()]
    contents = [(path.relative_to(dest / f"task{first.id}"), path.read_bytes()) for path in files]
    receipts = dest / ".asynccvat" / "receipts"
    for task in tasks[1:]:
        folder = dest / f"task{task.id}"
        members = []
        for name, content in contents:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            members.append(
                MemberRecord(
                    name.as_posix(), len(content), zlib.crc32(content), path.stat().st_mtime_ns
                )
            )
        spec = asynccvat.ExportSpec().for_mode(task.mode)
        head = ReceiptHead(
            task_id=task.id,
            task_name=task.name,
            folder=folder.name,
            format=spec.format,
            images=spec.images,
            updated_date=task.updated_date,
            origin=origin,
            organization=organization,
            digest="0",
            files=len(members),
            bytes=sum(member.size for member in members),
            requested_at="2026-01-01T00:00:00Z",
            committed_at="2026-01-01T00:00:00Z",
        )
        receipt = encode_receipt(Receipt(head, tuple(members)))
        (receipts / f"{task.id}.json").write_bytes(receipt)


def changed(setting: Setting) -> Result:
    """Tasks with images, the annotations of one in a hundred changed: how many bytes come again."""
    tasks, work = setting.sizes.changed, setting.folder("changed")
    dest = work / "mirror"
    options = SimulatorOptions(tasks=tasks, frames=5, frame_bytes=_FRAME_BYTES)
    edited = list(range(1, tasks + 1, 100))
    who = asynccvat_mirror(images=True, durable=False)
    with ServerProcess(options) as server:
        first = who(MirrorJob(server, dest, images=True))
        for task_id in edited:
            server.do("edit_task", task_id=task_id)
        before = len(server.calls)
        again = who(MirrorJob(server, dest, images=True))
        calls = server.calls[before:]
        fresh = asynccvat_mirror(images=True, durable=False, task_ids=edited)
        fresh(MirrorJob(server, work / "fresh", images=True))
    expected = tree_of(work / "fresh")
    for task_id in edited:
        of_task = {
            path.partition("/")[2]: entry
            for path, entry in expected.items()
            if path.startswith(f"task{task_id}/")
        }
        check_equal({f"update of task {task_id}": dest / f"task{task_id}"}, of_task)
    transferred = sum(
        call["bytes_sent"] for call in calls if call["path"].endswith("/dataset/download")
    )
    needed = _needed_bytes(expected)
    whole = sum(size for size, _ in expected.values())
    again.figures |= {"transferred_bytes": transferred, "requests_per_task": len(calls) / tasks}
    shutil.rmtree(work)
    return Result(
        name="changed",
        title="One task in a hundred changed",
        scale=f"{tasks} tasks x 5 frames x 200 KB with images, annotations of {len(edited)} edited",
        goals=[
            at_most(
                "bytes / (changed annotations + a directory each)",
                transferred / needed,
                1.05,
                note=f"{transferred / len(edited) / 1e3:.1f} kB a changed task, "
                f"{needed / len(edited) / 1e3:.1f} kB needed, {whole / len(edited) / 1e3:.0f} kB "
                "in the whole archive",
            )
        ],
        runs={f"{OURS}, from nothing": [first], f"{OURS}, again": [again]},
    )


def _needed_bytes(tree: dict[str, tuple[int, int]]) -> int:
    """The annotations of some tasks, and the central directory of each one's archive."""
    needed = 0
    for path, (size, _) in tree.items():
        name = path.partition("/")[2]
        needed += 46 + len(name.encode())
        if not name.startswith("images/"):
            needed += 30 + len(name.encode()) + size
    return needed + 22 * len({path.partition("/")[0] for path in tree})


def durability(setting: Setting) -> Result:
    """Syncing before a folder counts, against none of it, where the server takes no time."""
    sizes = setting.sizes
    small = SimulatorOptions(tasks=sizes.small_tasks, frames=5)
    large = SimulatorOptions(tasks=0, archives=ready_archives(setting.cache, sizes.image_tasks))
    both = {OURS: asynccvat_mirror(), _NOT_DURABLE: asynccvat_mirror(durable=False)}
    check_mirrors(both, SimulatorOptions(tasks=6), setting.folder("durability"))
    goals: list[Goal] = []
    runs: dict[str, list[Run]] = {}
    for label, options, images in (
        (f"{sizes.small_tasks} small tasks", small, False),
        (f"{sizes.image_tasks} tasks x 20 MB with images", large, True),
    ):
        found = _durable_or_not(setting, options, images=images)
        ratio = median_ratio(found[OURS], found[_NOT_DURABLE])
        goals.append(at_most(f"{label}: durable / not", ratio, 1.5))
        runs |= {f"{name}, {label}": them for name, them in found.items()}
    busy = statistics.median(
        run.cpu_seconds / run.process_seconds for them in runs.values() for run in them
    )
    return Result(
        name="durability",
        title="Durability on against off",
        scale="a server that takes no time: nothing hides the disk",
        goals=goals,
        runs=runs,
        notes=[
            f"The mirror keeps {busy:.2f} cores busy here; the server has what is left of them."
        ],
    )


def _durable_or_not(
    setting: Setting, options: SimulatorOptions, *, images: bool
) -> dict[str, list[Run]]:
    work = setting.folder(f"durability-{images}")

    def turn(name: str, durable: bool) -> Callable[[int], Run]:
        who = asynccvat_mirror(name, images=images, durable=durable)

        def run(number: int) -> Run:
            with ServerProcess(options) as server:
                return who(MirrorJob(server, work / f"{number}-{durable}", images))

        return run

    turns = {OURS: turn(OURS, True), _NOT_DURABLE: turn(_NOT_DURABLE, False)}
    runs = in_turns(setting.sizes.pairs, turns)
    shutil.rmtree(work)
    return runs

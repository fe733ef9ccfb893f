"""Check that each run ends in the right state, whatever happened before it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest
from blockbuster import BlockBuster
from engine_serving import QUICK, Serving, Tree, files, kept, serving, staged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import asynccvat as ac

TASKS = (1, 2, 3)
NAME = "annotations.xml"

tasks = st.sampled_from(TASKS)
steps = st.one_of(
    st.tuples(st.just("edit at server"), tasks),
    st.tuples(st.just("rename"), tasks),
    st.tuples(st.just("delete"), tasks),
    st.tuples(st.just("add"), st.just(0)),
    st.tuples(st.just("edit here"), tasks),
    st.tuples(st.just("add here"), tasks),
    st.tuples(st.just("remove file"), tasks),
    st.tuples(st.just("remove folder"), tasks),
    st.tuples(st.just("run"), st.just(0)),
    st.tuples(st.just("run"), st.just(1)),
)


@dataclass
class Model:
    """What the destination must hold after the next run.

    Attributes:
        edited: Tasks whose file was edited here since it was fetched.
        stale: Tasks that changed at the server, or lack a file here.
        mine: Bytes that were written here and must never be lost.
        deleted: Tasks that are gone from the server.
    """

    edited: dict[int, bytes] = field(default_factory=dict)
    added: dict[int, bytes] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    mine: set[bytes] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)


async def play(script: list[tuple[str, int]], data: Path) -> None:
    async with serving(len(TASKS), frames=1) as serve:
        model = Model()
        await run(serve, data, model, prune=False)
        for number, (step, task_id) in enumerate(script):
            if step == "run":
                await run(serve, data, model, prune=bool(task_id))
            else:
                change(serve, data, model, step, task_id=task_id, mine=f"mine {number}".encode())
        await run(serve, data, model, prune=True)


def change(
    serve: Serving, data: Path, model: Model, step: str, *, task_id: int, mine: bytes
) -> None:
    there = task_id in serve.server.tasks
    folder = data / f"task{task_id}"
    match step:
        case "edit at server" if there:
            serve.server.edit_task(task_id)
            model.stale.add(task_id)
        case "rename" if there:
            serve.server.rename_task(task_id, mine.decode())
            model.stale.add(task_id)
        case "delete" if there:
            serve.server.delete_task(task_id)
            model.deleted.add(task_id)
        case "add":
            serve.server.add_task(frames=1)
        case "edit here" if (folder / NAME).exists():
            model.mine.discard(model.edited.get(task_id, b""))
            (folder / NAME).write_bytes(mine)
            model.edited[task_id] = mine
            model.mine.add(mine)
        case "add here" if folder.is_dir():
            model.mine.discard(model.added.get(task_id, b""))
            (folder / "notes.txt").write_bytes(mine)
            model.added[task_id] = mine
            model.mine.add(mine)
        case "remove file" if (folder / NAME).exists():
            (folder / NAME).unlink()
            model.mine.discard(model.edited.pop(task_id, b""))
            model.stale.add(task_id)
        case "remove folder" if folder.is_dir():
            shutil.rmtree(folder)
            model.mine -= {model.edited.pop(task_id, b""), model.added.pop(task_id, b"")}
            model.stale.add(task_id)
        case _:
            pass


async def run(serve: Serving, data: Path, model: Model, *, prune: bool) -> None:
    report = await ac.mirror(
        serve.client, data, options=replace(QUICK, prune=prune, max_delete="100%")
    )
    assert report.ok, report.failures
    for task_id in model.stale - model.deleted:
        model.edited.pop(task_id, None)
        model.added.pop(task_id, None)
    model.stale &= model.deleted
    if prune:
        for task_id in model.deleted:
            model.edited.pop(task_id, None)
            model.added.pop(task_id, None)
        model.deleted.clear()
        model.stale.clear()
    wanted: Tree = await serve.archives()
    for task_id, mine in model.edited.items():
        wanted[f"task{task_id}/{NAME}"] = mine
    for task_id, mine in model.added.items():
        wanted[f"task{task_id}/notes.txt"] = mine
    held = files(data)
    for task_id in model.deleted:
        wanted = {path: b for path, b in wanted.items() if not path.startswith(f"task{task_id}/")}
        held = {path: b for path, b in held.items() if not path.startswith(f"task{task_id}/")}
    assert held == wanted
    assert model.mine <= {*files(data).values(), *kept(data).values(), *aside(data)}
    assert staged(data) == []


def aside(data: Path) -> set[bytes]:
    """Return all files in quarantine, also several of one name."""
    folder = data / ".asynccvat" / "kept"
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("no_waiting", "no_proxies")
@settings(
    # Each example is a whole history.
    max_examples=settings().max_examples // 6,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(steps, min_size=1, max_size=9))
def test_any_history_ends_in_the_tree_that_the_model_says(
    script: list[tuple[str, int]], no_blocking_calls: BlockBuster
) -> None:
    # The script itself blocks the loop with work on the disk.
    no_blocking_calls.deactivate()
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(play, script, Path(folder) / "data")

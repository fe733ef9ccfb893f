"""Uploads whose last check is old, since another call's pause held them back."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from engine_serving import QUICK, Serving, data, error, serving, stack
from pauses import pause_before

import asynccvat as ac
from asynccvat import errors
from asynccvat.core.records.replaced import content_digest

__all__ = ["data", "stack"]

pytestmark = pytest.mark.anyio

UPLOAD = ac.UploadOptions(durable=False)


async def edited(stack: AsyncExitStack, data: Path, format_name: str | None) -> Serving:
    """Mirror two tasks, and edit the file of the first."""
    serve = await stack.enter_async_context(serving(2))
    assert (await ac.mirror(serve.client, data, None, format_name, options=QUICK)).ok
    if format_name == "json":
        file = data / "task1/annotations.json"
        value = json.loads(file.read_bytes())
        del value["shapes"][0]
        file.write_text(json.dumps(value))
    else:
        file = data / "task1/annotations.xml"
        file.write_text(file.read_text("utf-8").replace('occluded="0"', 'occluded="1"'), "utf-8")
    return serve


async def held(serve: Serving) -> str:
    return content_digest((await serve.client.annotations(1)).raw)


class Work:
    """What another user saves in task 1."""

    def __init__(self, serve: Serving) -> None:
        self.saved = ""
        self._serve = serve

    async def save(self) -> None:
        await self._serve.annotate(1, shapes=[self._serve.box(1)], tags=[])
        self.saved = await held(self._serve)


class Kind(NamedTuple):
    """One kind of upload, and its call that counts."""

    format: str | None
    method: str
    path: str


CALLS = pytest.mark.parametrize(
    "kind",
    [
        Kind("json", "PUT", "/tasks/1/annotations"),
        Kind(None, "POST", "/tasks/1/annotations/"),
    ],
    ids=["json", "import"],
)


@CALLS
async def test_what_is_saved_during_a_pause_is_not_overwritten(
    data: Path,
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
) -> None:
    serve = await edited(stack, data, kind.format)
    work = Work(serve)
    calls = pause_before(monkeypatch, serve.client, kind.method, kind.path, work.save)
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert len(calls) == 1
    assert isinstance(error(report, 1), errors.TaskChangedError)
    assert await held(serve) == work.saved


@CALLS
async def test_what_an_overwriting_upload_replaces_after_a_pause_is_kept(
    data: Path,
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
) -> None:
    serve = await edited(stack, data, kind.format)
    work = Work(serve)
    pause_before(monkeypatch, serve.client, kind.method, kind.path, work.save)
    options = ac.UploadOptions(durable=False, overwrite=True)
    report = await ac.upload(serve.client, data, options=options)
    assert report.ok
    (outcome,) = (one for one in report.outcomes if one.task_id == 1)
    assert content_digest(Path(str(outcome.kept)).read_bytes()) == work.saved != await held(serve)


@CALLS
async def test_a_pause_without_a_change_delays_an_upload(
    data: Path,
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
) -> None:
    serve = await edited(stack, data, kind.format)
    before = await held(serve)

    async def nothing() -> None:
        assert await held(serve) == before

    calls = pause_before(monkeypatch, serve.client, kind.method, kind.path, nothing)
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    assert len(calls) == 1
    assert await held(serve) != before
    assert len(serve.calls(kind.method, "/tasks/1/annotations")) == 1


async def test_an_undo_is_refused_if_the_task_changed_during_a_pause(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = await edited(stack, data, "json")
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    work = Work(serve)
    pause_before(monkeypatch, serve.client, "PUT", "/tasks/1/annotations", work.save)
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert isinstance(error(report, 1), errors.TaskChangedError)
    assert await held(serve) == work.saved

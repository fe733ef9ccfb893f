"""Put back what a task had on an earlier day, from the history of a mirror as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, Serving, serving

import asynccvat as ac
from asynccvat import errors
from asynccvat.core.records.replaced import content_digest
from asynccvat.models import UploadReason

pytestmark = pytest.mark.anyio

HISTORY = replace(QUICK, history=10_000 * 86_400)
UPLOAD = ac.UploadOptions(durable=False)


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of two tasks, mirrored twice as JSON: task 1 has lost a shape in between."""
    async with serving(2, video_tasks=0) as started:
        assert (await ac.mirror(started.client, data, spec="json", options=HISTORY)).ok
        await lose_one(started, 1)
        assert (await ac.mirror(started.client, data, options=HISTORY)).ok
        yield started


async def lose_one(serve: Serving, task: int) -> None:
    """Take an annotation away from a task at the server."""
    content = json.loads((await serve.client.annotations(task)).raw)
    (content["shapes"] or content["tracks"]).pop()
    file = Path(serve.server.url.rpartition(":")[2] + ".json")
    file.write_text(json.dumps(content))
    options = replace(UPLOAD, backup=False)
    try:
        uploaded = await ac.upload(serve.client, {task: file}, format="json", options=options)
    finally:
        file.unlink()
    assert uploaded.ok


async def digest(serve: Serving, task: int = 1) -> str:
    return content_digest((await serve.client.annotations(task)).raw)


async def first_day(data: Path) -> str:
    return (await ac.annotation_log(data, 1)).entries[0].since[:10]


def version_digest(data: Path) -> str:
    (version,) = (data / ".asynccvat" / "history" / "1").iterdir()
    return content_digest((version / "annotations.json").read_bytes())


async def test_the_state_of_a_day_goes_back_and_what_it_replaces_is_kept(
    serve: Serving, data: Path
) -> None:
    now, then = await digest(serve), version_digest(data)
    assert now != then
    folder = (data / "task1" / "annotations.json").read_bytes()
    report = await ac.upload(serve.client, data, [1], at=await first_day(data), options=UPLOAD)
    report.raise_for_failures()
    (outcome,) = report.outcomes
    assert outcome.annotations is not None
    assert outcome.kept is not None
    assert await digest(serve) == then
    assert content_digest(Path(outcome.kept).read_bytes()) == now
    assert (data / "task1" / "annotations.json").read_bytes() == folder
    undone = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert undone.ok
    assert await digest(serve) == now


async def test_the_next_mirror_fetches_what_was_put_back(serve: Serving, data: Path) -> None:
    then = version_digest(data)
    await ac.upload(serve.client, data, [1], at=await first_day(data), options=UPLOAD)
    report = await ac.mirror(serve.client, data, options=HISTORY)
    assert report.count(ac.Action.FETCHED) == 1
    assert content_digest((data / "task1" / "annotations.json").read_bytes()) == then
    log = await ac.annotation_log(data, 1)
    assert [one.version is None for one in log.entries] == [False, False, True]


async def test_a_task_that_changed_since_the_mirror_is_refused_unless_told(
    serve: Serving, data: Path
) -> None:
    day, then = await first_day(data), version_digest(data)
    await lose_one(serve, 1)
    before = await digest(serve)
    plan = await ac.plan_upload(serve.client, data, [1], at=day)
    assert [step.reason for step in plan.steps] == [UploadReason.CONFLICT]
    refused = await ac.upload(serve.client, data, [1], at=day, options=UPLOAD)
    assert "it changed on the server since it was mirrored" in str(refused.failures[0].error)
    assert await digest(serve) == before
    overwrite = replace(UPLOAD, overwrite=True)
    assert (await ac.upload(serve.client, data, [1], at=day, options=overwrite)).ok
    assert await digest(serve) == then


async def test_a_task_without_such_a_state_stops_no_other(serve: Serving, data: Path) -> None:
    then = version_digest(data)
    (data / "task2" / "annotations.json").write_bytes(b"{}")
    report = await ac.upload(
        serve.client, data, [1, 2, 9], at=await first_day(data), options=UPLOAD
    )
    why = {one.task_id: str(one.error) for one in report.failures}
    assert sorted(why) == [2, 9]
    assert "was edited here" in why[2]
    assert "does not hold task 9 as JSON" in why[9]
    assert await digest(serve) == then
    early = await ac.upload(serve.client, data, [1], at="1999-01-01", options=UPLOAD)
    assert "are kept from before 1999-01-01" in str(early.failures[0].error)


async def test_labels_beside_an_earlier_state_are_found_by_name(serve: Serving, data: Path) -> None:
    then = version_digest(data)
    (version,) = (data / ".asynccvat" / "history" / "1").iterdir()
    shift = 1_000
    labels = json.loads((data / "task1" / "labels.json").read_bytes())
    content = json.loads((version / "annotations.json").read_bytes())
    for one in labels:
        one["id"] += shift
    for place in ("tags", "shapes", "tracks"):
        for one in content[place]:
            one["label_id"] += shift
    (version / "labels.json").write_text(json.dumps(labels))
    (version / "annotations.json").write_text(json.dumps(content))
    day = await first_day(data)
    assert (await ac.upload(serve.client, data, [1], at=day, options=UPLOAD)).ok
    assert await digest(serve) == then


async def test_what_has_no_meaning_is_refused(serve: Serving, data: Path, tmp_path: Path) -> None:
    client = serve.client
    with pytest.raises(errors.ConfigError, match="Name the mirror and its tasks"):
        await ac.upload(client, data, at="2026-11-01")
    with pytest.raises(errors.ConfigError, match="Name the mirror and its tasks"):
        await ac.upload(client, {1: data}, at="2026-11-01")
    with pytest.raises(errors.ConfigError, match="not as 'coco'"):
        await ac.upload(client, data, [1], format="coco", at="2026-11-01")
    with pytest.raises(errors.ConfigError, match="replace those of the task"):
        await ac.upload(client, data, [1], at="2026-11-01", options=ac.UploadOptions(mode="append"))
    with pytest.raises(errors.ConfigError, match="'soon' is no date"):
        await ac.upload(client, data, [1], at="soon")
    with pytest.raises(errors.ConfigError, match="is no mirror, so no earlier annotations"):
        await ac.upload(client, tmp_path, [1], at="2026-11-01")

"""What an upload replaced is put back, nobody else's work is lost by that, and it can be redone."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    connected,
    data,
    error,
    log,
    outcome,
    serving,
    stack,
)

import asynccvat as ac
from asynccvat.core.records.replaced import content_digest
from asynccvat.errors import (
    AnnotationLossError,
    ImportUncertainError,
    NotFoundError,
    ServerError,
    TaskChangedError,
    UploadError,
)
from asynccvat.simulator import Fault

__all__ = ["data", "log", "stack"]

pytestmark = pytest.mark.anyio

CVAT = "annotations.xml"
UPLOAD = ac.UploadOptions(durable=False)
OVERWRITE = ac.UploadOptions(durable=False, overwrite=True)
PUT: dict[str, Any] = {"method": "PUT", "path": "/annotations$"}


def edit(path: Path) -> None:
    text = path.read_text("utf-8")
    assert 'occluded="0"' in text
    path.write_text(text.replace('occluded="0"', 'occluded="1"'), "utf-8")


async def held(serve: Serving, task_id: int = 1) -> str:
    """Return the digest of what the server holds."""
    return content_digest((await serve.client.annotations(task_id)).raw)


async def uploaded(stack: AsyncExitStack, data: Path, tasks: int = 1) -> tuple[Serving, list[str]]:
    """Upload an edit of task 1. Returns what the server held before and after it."""
    serve = await stack.enter_async_context(serving(tasks))
    assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    before = await held(serve)
    edit(data / "task1" / CVAT)
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    after = await held(serve)
    assert before != after
    return serve, [before, after]


async def call(serve: Serving, method: str, path: str, **more: Any) -> None:
    """Make a call as another program may."""
    await serve.client.login()
    key = serve.server.accounts.token_of(serve.server.accounts.by_id[1])
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Token {key}"}) as session,
        session.request(method, f"{serve.server.url}{path}", **more) as answer,
    ):
        assert answer.status < 300, await answer.text()


async def test_an_undo_puts_back_what_the_upload_replaced_and_a_second_one_redoes_it(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, (before, after) = await uploaded(stack, data, 2)
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert actions(report) == {1: ("uploaded", "undo")}
    assert await held(serve) == before
    there = outcome(report, 1)
    assert there.annotations == ac.models.AnnotationChange(7, 7, 7)
    assert content_digest(Path(str(there.kept)).read_bytes()) == after
    for wanted in (after, before, after):
        assert (await ac.undo_upload(serve.client, data, [1], options=UPLOAD)).ok
        assert await held(serve) == wanted


async def test_after_an_undo_the_file_can_be_corrected_and_uploaded(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, _ = await uploaded(stack, data)
    assert (await ac.undo_upload(serve.client, data, [1], options=UPLOAD)).ok
    # What was taken back is not uploaded again by itself.
    assert actions(await ac.upload(serve.client, data, options=UPLOAD))[1][0] == "skipped"
    path = data / "task1" / CVAT
    path.write_text(path.read_text("utf-8").replace('occluded="1"', 'occluded="0"', 1), "utf-8")
    assert actions(await ac.upload(serve.client, data, options=UPLOAD))[1] == ("uploaded", "edited")
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(again)[1] == ("fetched", "uploaded")


async def test_from_a_backup_folder_tracks_come_back_that_a_format_flattened(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1, frames=3))
    await serve.annotate(1, tracks=[serve.track(1)], shapes=[serve.box(1)])
    before = await held(serve)
    (tmp_path / "a.xml").write_bytes((await serve.archive(1))[CVAT])
    options = ac.UploadOptions(durable=False, lossy=True, backup_dir=tmp_path / "replaced")
    assert (await ac.upload(serve.client, {1: tmp_path / "a.xml"}, options=options)).ok
    assert (await serve.client.annotations(1)).counts.tracks == 0
    report = await ac.undo_upload(serve.client, tmp_path / "replaced", [1])
    assert report.ok
    assert await held(serve) == before
    assert (await serve.client.annotations(1)).counts.tracks == 1


async def test_a_task_that_was_empty_is_emptied_again(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    (tmp_path / "a.xml").write_bytes((await serve.archive(1))[CVAT])
    await call(serve, "DELETE", "/api/tasks/1/annotations")
    await ac.upload_annotations(
        serve.client, 1, tmp_path / "a.xml", backup_dir=tmp_path / "replaced"
    )
    report = await ac.undo_upload(serve.client, tmp_path / "replaced", [1])
    assert report.ok
    assert (await serve.client.annotations(1)).counts.total == 0


async def test_a_task_that_changed_since_the_upload_is_refused_unless_overwritten(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, _ = await uploaded(stack, data)
    serve.server.edit_task(1)
    theirs = await held(serve)
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert isinstance(error(report, 1), TaskChangedError)
    assert "changed since that upload" in str(error(report, 1))
    assert "--overwrite" in str(error(report, 1))
    assert await held(serve) == theirs
    forced = await ac.undo_upload(serve.client, data, [1], options=OVERWRITE)
    assert forced.ok
    # Their work is kept, and comes back by another undo.
    assert content_digest(Path(str(outcome(forced, 1).kept)).read_bytes()) == theirs
    assert ".own." not in str(outcome(forced, 1).kept)


async def test_where_nothing_tells_how_the_upload_left_the_task_it_is_refused(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, (before, _) = await uploaded(stack, data)
    (data / ".asynccvat" / "replaced" / "1.last-upload.json").unlink()
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert "nothing tells how that upload left the task" in str(error(report, 1))
    assert (await ac.undo_upload(serve.client, data, [1], options=OVERWRITE)).ok
    assert await held(serve) == before


async def test_annotations_that_cvat_drops_are_a_failure_with_the_numbers(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, _ = await uploaded(stack, data)
    (kept,) = (data / ".asynccvat" / "replaced").glob("1-*.json")
    state = json.loads(kept.read_bytes())
    for shape in state["shapes"][:2]:
        shape["frame"] = 99
    kept.write_bytes(json.dumps(state).encode())
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    failure = error(report, 1)
    assert isinstance(failure, AnnotationLossError)
    assert "put back 4 of 6 shapes of task 1" in str(failure)
    assert kept.name in str(failure)


async def test_labels_that_are_gone_are_a_refusal_and_nothing_changes(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, (_, after) = await uploaded(stack, data)
    (kept,) = (data / ".asynccvat" / "replaced").glob("1-*.json")
    state = json.loads(kept.read_bytes())
    state["shapes"][0]["label_id"] = 4711
    kept.write_bytes(json.dumps(state).encode())
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert "label_id `4711` is invalid" in str(error(report, 1))
    assert "was removed since" in str(error(report, 1))
    assert await held(serve) == after


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(**PUT, lose_answer=True), None),
        (Fault(**PUT, drop=True), ac.TransportError),
        (Fault(**PUT, status=502), ServerError),
        (Fault(**PUT, drop=True, edit_task=1), ImportUncertainError),
        (Fault(**PUT, status=413, body="<html><h1>413</h1></html>"), UploadError),
        (Fault(**PUT, status=403), ac.PermissionDeniedError),
    ],
    ids=["lost answer", "lost call", "502", "changed meanwhile", "413", "403"],
)
async def test_an_undo_that_breaks_says_what_the_task_holds(
    data: Path, stack: AsyncExitStack, fault: Fault, kind: type[Exception] | None
) -> None:
    serve, (before, after) = await uploaded(stack, data)
    serve.server.faults.add(fault)
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert len(serve.calls("PUT")) == 1
    if kind is None:
        assert report.ok
        assert await held(serve) == before
        return
    assert isinstance(error(report, 1), kind)
    if kind is not ImportUncertainError:
        assert await held(serve) == after
        # The next attempt goes on as if nothing had been.
        assert (await ac.undo_upload(serve.client, data, [1], options=UPLOAD)).ok
        assert await held(serve) == before


async def test_one_task_that_cannot_be_undone_stops_no_other(
    data: Path, stack: AsyncExitStack, log: Log
) -> None:
    serve, (before, _) = await uploaded(stack, data, 2)
    report = await ac.undo_upload(serve.client, data, [9, 2, 1, 1], options=UPLOAD, on_event=log)
    assert actions(report) == {
        9: ("failed", "not found"),
        2: ("failed", "nothing kept"),
        1: ("uploaded", "undo"),
    }
    assert isinstance(error(report, 9), NotFoundError)
    assert "cannot undo an upload to task 9: there is no such task" in str(error(report, 9))
    assert "nothing that it held is kept in" in str(error(report, 2))
    assert await held(serve) == before


async def test_a_plan_of_an_undo_says_what_would_be_put_back(
    data: Path, stack: AsyncExitStack
) -> None:
    serve, (_, after) = await uploaded(stack, data, 2)
    plan = await ac.plan_undo_upload(serve.client, data, [1, 2])
    assert plan.counts == {"put back": 1, "refuse": 1}
    first, second = plan.to_json()["steps"]
    assert first["kept"] == first["now"] == {"tags": 1, "shapes": 6, "tracks": 0}
    assert "nothing that it held" in second["error"]
    assert await held(serve) == after
    assert serve.calls("PUT") == []


async def test_a_task_that_holds_all_that_was_kept_is_skipped(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    edit(data / "task1" / CVAT)
    serve.server.faults.add(Fault(importing="fail", message="Boom\n"))
    assert not (await ac.upload(serve.client, data, options=UPLOAD)).ok
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert actions(report) == {1: ("skipped", "unchanged")}


async def test_folders_that_keep_nothing_of_this_server_are_refused(
    data: Path, tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve, _ = await uploaded(stack, data)
    other = await stack.enter_async_context(serving(1))
    with pytest.raises(ac.ConfigError, match="there is no such folder"):
        await ac.undo_upload(serve.client, tmp_path / "absent", [1])
    with pytest.raises(ac.ConfigError, match="mirrors"):
        await ac.undo_upload(other.client, data, [1])


async def test_refused_credentials_end_an_undo(data: Path, stack: AsyncExitStack) -> None:
    serve, _ = await uploaded(stack, data)
    client = await stack.enter_async_context(connected(serve.server, token="0" * 40))
    with pytest.raises(ac.AuthenticationError):
        await ac.undo_upload(client, data, [1], options=UPLOAD)
    serve.server.faults.add(
        Fault(
            method="GET",
            path="/annotations$",
            status=401,
            body='{"detail":"Invalid token."}',
            content_type="application/vnd.cvat+json",
            times=None,
        )
    )
    report = await ac.undo_upload(serve.client, data, [1], options=UPLOAD)
    assert isinstance(report.stopped_by, ac.AuthenticationError)


async def boxes(serve: Serving, count: int) -> str:
    """Give task 1 many boxes. Returns the digest of what it holds."""
    await serve.annotate(1, shapes=[serve.box(1) for _ in range(count)])
    return await held(serve)


async def test_annotations_that_a_gateway_refuses_at_once_come_back_in_pieces(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1, largest_body=150_000))
    before = await boxes(serve, 2_000)
    (tmp_path / "a.xml").write_bytes(
        (await serve.archive(1))[CVAT].replace(b'occluded="0"', b'occluded="1"')
    )
    folder = tmp_path / "replaced"
    options = ac.UploadOptions(durable=False, backup_dir=folder)
    # Another client, which has not met the gateway yet.
    other = await stack.enter_async_context(connected(serve.server))
    assert (await ac.upload(serve.client, {1: tmp_path / "a.xml"}, options=options)).ok
    assert await held(serve) != before
    since = len(serve.server.calls)
    report = await ac.undo_upload(other, folder, [1], options=UPLOAD)
    assert [one.failure for one in report.outcomes] == [""]
    assert await held(serve) == before
    statuses = [call.status for call in serve.calls("PUT", "/annotations", since=since)]
    assert statuses == [*[413] * (len(statuses) - 1), 200]
    assert len(statuses) > 1
    assert len(serve.calls("PATCH", "/tasks/1/annotations")) >= 2


async def in_pieces(tmp_path: Path, stack: AsyncExitStack) -> tuple[Serving, Path, str]:
    """Upload over so many boxes that they come back in pieces.

    Returns:
        The server, the folder that keeps them, and their digest.
    """
    serve = await stack.enter_async_context(serving(1, largest_body=150_000))
    before = await boxes(serve, 1_500)
    (tmp_path / "a.xml").write_bytes(
        (await serve.archive(1))[CVAT].replace(b'occluded="0"', b'occluded="1"')
    )
    folder = tmp_path / "replaced"
    options = ac.UploadOptions(durable=False, backup_dir=folder)
    assert (await ac.upload(serve.client, {1: tmp_path / "a.xml"}, options=options)).ok
    assert await held(serve) != before
    return serve, folder, before


async def test_a_piece_that_the_server_asks_to_send_later_is_sent_again(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve, folder, before = await in_pieces(tmp_path, stack)
    later: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "0"}}
    serve.server.faults.add(Fault(method="PATCH", path="action=create", times=2, **later))
    since = len(serve.server.calls)
    report = await ac.undo_upload(serve.client, folder, [1], options=UPLOAD)
    assert [one.failure for one in report.outcomes] == [""]
    assert await held(serve) == before
    calls = serve.calls("/tasks/1/annotations", since=since)
    assert [(call.method, call.status) for call in calls if call.method != "GET"][:4] == [
        ("PUT", 200),
        ("PATCH", 429),
        ("PATCH", 429),
        ("PATCH", 200),
    ]


async def test_a_piece_that_is_asked_to_wait_for_ever_is_told(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve, folder, _ = await in_pieces(tmp_path, stack)
    later: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "0"}}
    serve.server.faults.add(Fault(method="PATCH", path="action=create", times=None, **later))
    report = await ac.undo_upload(serve.client, folder, [1], options=UPLOAD)
    assert isinstance(error(report, 1), ImportUncertainError)
    assert "were replaced in part" in str(error(report, 1))
    assert "429" in str(error(report, 1))


async def test_an_undo_that_breaks_between_two_pieces_says_so_and_can_be_repeated(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1, largest_body=150_000))
    before = await boxes(serve, 1_500)
    (tmp_path / "a.xml").write_bytes(
        (await serve.archive(1))[CVAT].replace(b'occluded="0"', b'occluded="1"')
    )
    folder = tmp_path / "replaced"
    options = ac.UploadOptions(durable=False, backup_dir=folder)
    assert (await ac.upload(serve.client, {1: tmp_path / "a.xml"}, options=options)).ok
    after = await held(serve)
    serve.server.faults.add(Fault(method="PATCH", path="action=create", drop=True))
    report = await ac.undo_upload(serve.client, folder, [1], options=UPLOAD)
    assert isinstance(error(report, 1), ImportUncertainError)
    assert "were replaced in part" in str(error(report, 1))
    states = {content_digest(path.read_bytes()): path for path in folder.glob("1-*.json")}
    assert f"--undo --pair 1={states[before].name} --backup-dir {folder} --overwrite`" in str(
        error(report, 1)
    )
    kept = {content_digest(path.read_bytes()) for path in folder.glob("1-*.json")}
    assert {before, after} <= kept
    named = {1: states[before].name}
    assert (await ac.undo_upload(serve.client, folder, named, options=OVERWRITE)).ok
    assert await held(serve) == before
    assert (await ac.undo_upload(serve.client, folder, named, options=UPLOAD)).ok
    absent = await ac.undo_upload(serve.client, folder, {1: "1-x.json"}, options=UPLOAD)
    assert f"'1-x.json' is not kept in {str(folder)!r}. Name one of 1-2" in str(error(absent, 1))

"""Datasets become the tasks of a project, each once, however a run ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Log
from restoring import LABELS, RestoringServer, dataset, restoring_server

import asynccvat as ac
from asynccvat import errors, events

pytestmark = pytest.mark.anyio

QUICK = ac.ImportOptions(durable=False)
POSTED = "/api/projects/5/dataset/"


@pytest.fixture
async def server() -> AsyncIterator[RestoringServer]:
    async with restoring_server() as running:
        running.projects[5] = {"id": 5, "name": "town", "labels": LABELS}
        yield running


@pytest.fixture
async def client(server: RestoringServer) -> AsyncIterator[ac.CvatClient]:
    async with ac.CvatClient(server.url, username="alice", password="pw-of-alice") as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for name in ("train", "val"):
        path = tmp_path / f"{name}.zip"
        path.write_bytes(dataset(name, f"{name}-more"))
        paths.append(path)
    return paths


async def run(client: ac.CvatClient, files: list[Path], **more: Any) -> ac.RunReport:
    options = ac.ImportOptions(durable=False, **more)
    return await ac.import_datasets(client, 5, files, format="COCO 1.0", options=options)


def results(report: ac.RunReport) -> list[tuple[str, str]]:
    return [(str(one.action), one.reason) for one in report.outcomes]


ALL = ["train", "train-more", "val", "val-more"]


async def test_each_dataset_is_imported_once(
    server: RestoringServer, client: ac.CvatClient, files: list[Path], log: Log
) -> None:
    report = await ac.import_datasets(
        client, "town", files, format="COCO 1.0", options=QUICK, on_event=log
    )
    assert report.ok, report.failures
    assert results(report) == [("imported", "new")] * 2
    assert server.names() == ALL
    assert report.transferred == server.received == sum(one.stat().st_size for one in files)
    made = sorted(server.tasks)
    assert [one.made for one in report.outcomes] == [tuple(made[:2]), tuple(made[2:])]
    assert report.outcomes[0].to_json()["made"] == made[:2]
    assert [one.name for one in report.outcomes] == ["train.zip", "val.zip"]
    assert {event.target for event in log.of(events.UploadStarted)} == {"project"}
    assert "import_finished" in log.names
    assert results(await run(client, files)) == [("skipped", "existing")] * 2
    assert server.names() == ALL
    assert results(await run(client, files[:1], again=True)) == [("imported", "again")]
    assert len(server.tasks) == 6


async def test_a_plan_changes_nothing(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    before = sorted(files[0].parent.rglob("*"))
    plan = await ac.plan_import_datasets(client, 5, files, format="COCO 1.0", options=QUICK)
    assert plan.counts == {"import": 2}
    assert repr(plan) == "DatasetPlan(import=2)"
    assert plan.to_json()["steps"][0]["bytes"] == files[0].stat().st_size
    assert sorted(files[0].parent.rglob("*")) == before
    assert server.files == {}


@pytest.mark.parametrize(
    "bad",
    [
        ("a.zip", b"nothing", "it is no whole zip"),
        ("a.zip", dataset("a" * 50)[:-30], "it is no whole zip"),
        ("a.zip", dataset(), "it is empty"),
        ("a.xml", b"<x/>", "it is no zip"),
        ("a.json", b"{}", "it is no zip, so it holds no images. `asynccvat upload` imports"),
        ("folder", "folder", "it is a folder, and CVAT takes one file"),
    ],
    ids=["no zip", "cut short", "empty", "other type", "annotations alone", "folder"],
)
async def test_a_file_that_is_no_dataset_is_refused_before_a_byte_is_sent(
    server: RestoringServer,
    client: ac.CvatClient,
    files: list[Path],
    bad: tuple[str, bytes | str, str],
) -> None:
    name, content, says = bad
    path = files[0].parent / name
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    report = await run(client, [path, files[0]])
    assert results(report) == [("failed", "file"), ("imported", "new")]
    assert says in report.failures[0].failure
    plan = await ac.plan_import_datasets(client, 5, [path], format="COCO 1.0", options=QUICK)
    assert "error" in plan.to_json()["steps"][0]
    assert server.finishes == 1


async def test_nothing_is_imported_if_a_file_is_missing_that_was_not_imported_before(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    absent = [files[0].parent / name for name in ("absent.zip", "gone.zip")]
    with pytest.raises(ac.ConfigError) as caught:
        await run(client, [*files, absent[0]])
    assert str(caught.value) == (
        f"cannot import {str(absent[0])!r}: there is no such file. Check the names. Nothing was "
        "imported."
    )
    with pytest.raises(ac.ConfigError, match="there are no such files"):
        await ac.plan_import_datasets(client, 5, absent, format="COCO 1.0", options=QUICK)
    assert server.finishes == 0
    await run(client, files)
    files[0].unlink()
    assert results(await run(client, files)) == [("skipped", "existing")] * 2


async def test_a_file_above_the_limit_is_refused_with_the_number(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    report = await run(client, files, upload_limit=1000)
    assert "files of at most 1,000 bytes" in report.failures[0].failure
    assert "cannot import" in report.failures[0].failure
    assert "Restore" not in report.failures[0].failure
    assert server.files == {}


async def test_wrong_use_is_told_at_once(client: ac.CvatClient, files: list[Path]) -> None:
    with pytest.raises(ac.ConfigError, match="is given twice"):
        await run(client, [*files, files[0]])
    folder = files[0].parent
    (folder.parent / "again").symlink_to(folder)
    for spelling in (folder / ".." / folder.name, folder.parent / "again"):
        with pytest.raises(ac.ConfigError, match="is given twice"):
            await run(client, [files[0], spelling / files[0].name])
    with pytest.raises(ac.ConfigError, match=r"List its formats with `asynccvat formats`"):
        await ac.import_datasets(client, 5, files, format="???", options=QUICK)
    with pytest.raises(ac.ConfigError, match="no files are given"):
        await run(client, [])
    with pytest.raises(TypeError, match="files must be a list"):
        await run(client, str(files[0]))  # type: ignore[arg-type]
    with pytest.raises(ac.ConfigError, match="COCO 2"):
        await ac.import_datasets(client, 5, files, format="COCO 2.0", options=QUICK)


@pytest.mark.parametrize("what", ["lose", "drop", 502], ids=str)
async def test_an_answer_that_is_lost_makes_nothing_twice(
    server: RestoringServer, client: ac.CvatClient, files: list[Path], what: Any
) -> None:
    server.fault("FINISH", POSTED, what)
    report = await run(client, files)
    assert report.ok, report.failures
    assert server.names() == ALL


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("at", range(1, 26, 2))
async def test_a_run_cut_at_any_call_ends_like_one_never_cut(
    server: RestoringServer, client: ac.CvatClient, files: list[Path], at: int, after: bool
) -> None:
    calls = 0
    going: ac.Run = ac.open_import_datasets(client, 5, files, format="COCO 1.0", options=QUICK)

    def count(_method: str, _path: str) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            going.cancel()

    if after:
        server.after = count
    else:
        server.before = count
    async with going:
        await going.wait()
    server.before = server.after = lambda _method, _path: None
    report = await run(client, files)
    assert report.ok, report.failures
    assert server.names() == ALL


async def lose_a_call(server: RestoringServer, client: ac.CvatClient, files: list[Path]) -> None:
    """End a run while the call that counts is under way; it arrives."""
    going = ac.open_import_datasets(client, 5, files[:1], format="COCO 1.0", options=QUICK)

    def end(method: str, path: str) -> None:
        if (method, path) == ("POST", POSTED) and server.finishes:
            going.cancel()

    server.after = end
    async with going:
        await going.wait()
    server.after = lambda _method, _path: None


async def test_where_it_cannot_be_told_nothing_is_sent(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    await lose_a_call(server, client, files)
    server.requests.clear()
    report = await run(client, files)
    assert results(report) == [("failed", "interrupted"), ("failed", "new")]
    assert "'" + str(files[1]) + "' was not begun" in report.failures[1].failure
    assert isinstance(report.failures[0].error, errors.RequestUncertainError)
    assert "new tasks, but their request is forgotten" in report.failures[0].failure
    assert server.finishes == 1
    server.tasks.clear()
    report = await run(client, files[:1])
    assert isinstance(report.failures[0].error, errors.RequestUncertainError)


async def test_what_may_have_been_imported_is_imported_again_on_request(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    await lose_a_call(server, client, files)
    server.requests.clear()
    server.tasks.clear()
    assert results(await run(client, files[:1])) == [("failed", "interrupted")]
    assert results(await run(client, files[:1], again=True)) == [("imported", "interrupted")]
    assert server.names() == ALL[:2]
    assert results(await run(client, files[:1])) == [("skipped", "existing")]


async def test_again_follows_an_import_that_can_be_found(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    await lose_a_call(server, client, files)
    assert results(await run(client, files[:1], again=True)) == [("imported", "interrupted")]
    assert server.names() == ALL[:2]


async def test_a_file_that_changed_is_named_and_imported_on_request_alone(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    assert (await run(client, files[:1])).ok
    files[0].write_bytes(dataset("other"))
    report = await run(client, files[:1])
    assert results(report) == [("failed", "changed")]
    assert "it changed since it was imported into project 5" in report.failures[0].failure
    assert results(await run(client, files[:1], again=True)) == [("imported", "again")]
    assert server.names() == ["other", *ALL[:2]]
    assert results(await run(client, files[:1])) == [("skipped", "existing")]


async def test_a_file_that_changed_after_its_call_is_not_sent_beside_what_that_began(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    await lose_a_call(server, client, files)
    files[0].write_bytes(dataset("other"))
    report = await run(client, files[:1])
    assert results(report) == [("failed", "changed")]
    assert isinstance(report.failures[0].error, errors.RequestUncertainError)
    assert server.finishes == 1
    assert (await run(client, files[:1], again=True)).ok
    assert server.names() == ["other", *ALL[:2]]


async def test_what_a_lost_call_began_is_followed(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    await lose_a_call(server, client, files)
    report = await run(client, files)
    assert report.ok, report.failures
    assert server.names() == ALL


async def test_an_import_of_another_program_is_waited_for(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    rq_id = "action=import&target=project&target_id=5&subresource=dataset"
    operation = {"type": "import:dataset", "target": "project", "project_id": 5}
    server.requests[rq_id] = {"id": rq_id, "status": "started", "operation": operation}

    def end(_method: str, path: str) -> None:
        if path.startswith("/api/requests"):
            server.requests[rq_id]["status"] = "finished"

    server.before = end
    report = await run(client, files)
    assert report.ok, report.failures
    assert server.names() == ALL


async def test_a_failure_of_the_server_is_one_failure(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    def spoil(method: str, path: str) -> None:
        if (method, path) == ("POST", POSTED) and server.received:
            server.before = lambda _method, _path: None
            for one in server.files.values():
                one.content = bytearray(b"rubbish")

    server.before = spoil
    broken = files[0].parent / "broken.zip"
    broken.write_bytes(dataset("x"))
    report = await run(client, [broken, *files])
    assert results(report)[0] == ("failed", "new")
    assert "the server could not import" in report.failures[0].failure
    assert server.names() == ALL


async def test_an_import_that_makes_no_task_is_a_failure(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    server.after = lambda _method, _path: server.tasks.clear()
    report = await run(client, files[:1])
    assert "made no task in project 5, though the server reports no failure" in (
        report.failures[0].failure
    )


async def test_a_file_that_the_server_forgot_is_sent_again(
    server: RestoringServer, client: ac.CvatClient, files: list[Path]
) -> None:
    def forget(method: str, path: str) -> None:
        if (method, path) == ("POST", POSTED) and server.received:
            server.before = lambda _method, _path: None
            server.files.clear()

    server.before = forget
    report = await run(client, files[:1])
    assert report.ok, report.failures
    assert report.transferred == 2 * files[0].stat().st_size

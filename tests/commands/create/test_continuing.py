"""What an earlier run, a lost answer or the server left is finished, replaced, or named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from creating import PROJECT, QUICK, images, new_tasks, write
from engine_serving import Log, Serving, actions, connected, error, log, serving, until
from media_files import large_png, png
from pauses import pause_before

import asynccvat as ac
from asynccvat import errors, events
from asynccvat.client import internals
from asynccvat.models import CreateReason, ServerRequest
from asynccvat.simulator import Fault

__all__ = ["log"]

pytestmark = pytest.mark.anyio

POST_TASK = r"^/api/tasks$"
TAG = '{"label_id": 1, "frame": 0}'
DATA = r"^/api/tasks/\d+/data/?$"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return images(tmp_path, cam1=2)


def options(**given: Any) -> ac.CreateOptions:
    return ac.CreateOptions(durable=False, **given)


async def create(serve: Serving, source: Path, **given: Any) -> ac.RunReport:
    given = {"project": PROJECT, "options": QUICK, **given}
    return await ac.create(serve.client, source, **given)


async def made_by_another(serve: Serving, name: str = "cam1") -> int:
    """Make an empty task, as another program of the same user does."""
    headers = {"Authorization": f"Token {serve.server.token}"}
    body = {"name": name, "project_id": PROJECT}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{serve.server.url}/api/tasks", json=body) as answer,
    ):
        assert answer.status == 201, await answer.text()
        made: int = (await answer.json(content_type=None))["id"]
        return made


@pytest.mark.parametrize("large", [False, True], ids=["in one call", "in pieces"])
@pytest.mark.parametrize("path", [POST_TASK, DATA])
async def test_a_lost_answer_makes_no_second_task(source: Path, path: str, *, large: bool) -> None:
    if large:
        write(source, {"cam1/1.png": large_png(1_100_000)})
    async with serving(1) as serve:
        for nth in (1, 2, 3):
            serve.server.faults.add(
                Fault(method="POST", path=path, nth=nth, times=1, lose_answer=True)
            )
        report = await create(serve, source)
        assert report.ok, report.failures
        assert [task.size for task in (await new_tasks(serve, 1)).values()] == [2]


async def test_a_lost_answer_is_found_though_the_server_trims_the_name(tmp_path: Path) -> None:
    source = write(tmp_path, {" cam \u3000/1.png": png()})
    async with serving(1) as serve:
        serve.server.faults.add(Fault(method="POST", path=POST_TASK, times=1, lose_answer=True))
        report = await create(serve, source, project=" Harbour ", labels=["car"])
        assert report.ok, report.failures
        assert list(await new_tasks(serve, 1)) == ["cam"]
        assert [one.name for one in await serve.client.projects()][1:] == ["Harbour"]
        again = await create(serve, source, project="Harbour", labels=["car"])
        assert [one.action for one in again.outcomes] == ["skipped"]


@pytest.mark.parametrize("status", [500, 502])
async def test_a_call_that_made_nothing_is_made_again(source: Path, status: int) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(method="POST", path=POST_TASK, times=2, status=status))
        report = await create(serve, source)
        assert report.ok, report.failures
        assert list(await new_tasks(serve, 1)) == ["cam1"]


async def test_a_gateway_that_takes_little_gets_pieces(source: Path) -> None:
    write(source, {"cam1/1.png": large_png(900_000)})
    async with serving(1, largest_body=300_000) as serve:
        report = await create(serve, source)
        assert report.ok, report.failures
        assert [one.status for one in serve.calls("POST", "/data")][:1] == [413]
        assert len(serve.calls("PATCH")) > 3
        images(source, cam2=1)
        assert (await create(serve, source)).ok


async def test_a_refusal_of_the_data_is_told(source: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(
            Fault(method="POST", path=DATA, times=1, status=400, body='["disk is full"]')
        )
        assert "disk is full" in str(error(await create(serve, source), 2))
        assert actions(await create(serve, source)) == {2: ("created", CreateReason.UNFINISHED)}


async def test_the_project_of_a_lost_call_is_found(source: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(
            Fault(method="POST", path=r"^/api/projects$", times=1, lose_answer=True)
        )
        report = await create(serve, source, project="Harbour", labels=["car"])
        assert report.ok, report.failures
        assert [one.name for one in serve.server.projects.values()].count("Harbour") == 1


def at_the_call(
    act: Callable[[], Awaitable[object]], *, after: bool, path: str = "/api/tasks"
) -> aiohttp.TraceConfig:
    """Do something at a POST: before it is sent, or after it was answered."""
    config = aiohttp.TraceConfig()

    async def look(_session: object, _context: object, call: Any) -> None:
        if call.method == "POST" and call.url.path == path:
            await act()

    (config.on_request_end if after else config.on_request_start).append(look)
    return config


async def interrupted(serve: Serving, source: Path, *, path: str, **given: Any) -> None:
    """Run until a POST is answered, and end there."""

    async def end() -> None:
        run.cancel()
        await anyio.sleep_forever()

    traced = at_the_call(end, after=True, path=path)
    given = {"project": PROJECT, "options": QUICK, **given}
    async with connected(serve.server, trace_configs=[traced]) as client:
        run = ac.open_create(client, source, **given)
        async with run:
            assert (await run.wait()).interrupted


async def test_annotations_of_an_interrupted_run_are_imported_once(source: Path) -> None:
    async with serving(1) as serve:
        label = serve.server.tasks[1].labels[0].name
        write(source, {"cam1/annotations.xml": annotated(label)})
        await interrupted(serve, source, path="/api/tasks/2/annotations/")
        await until(
            lambda: any(
                "import" in one.id and one.status == "finished"
                for one in serve.server.requests.values()
            )
        )
        calls = len(serve.server.calls)
        report = await create(serve, source)
        assert actions(report) == {2: ("created", CreateReason.ANNOTATIONS)}
        posted = [one.path for one in serve.server.calls[calls:] if one.method != "GET"]
        assert posted == ["/api/auth/login"]
        assert (await serve.client.annotations(2)).counts.shapes == 1


def annotated(label: str) -> bytes:
    """Return annotations with one box."""
    return f"""<annotations><image id="0" name="0.png" width="2" height="3"><box label="{label}"
        xtl="0" ytl="0" xbr="1" ybr="1" occluded="0"/></image></annotations>""".encode()


async def test_annotations_that_were_not_requested_are_imported_by_the_next_run(
    source: Path,
) -> None:
    async with serving(1) as serve:
        label = serve.server.tasks[1].labels[0].name
        write(source, {"cam1/annotations.xml": annotated(label)})
        serve.server.faults.add(
            Fault(method="POST", path=r"/annotations/", times=None, status=401, body="{}")
        )
        report = await create(serve, source)
        assert isinstance(report.stopped_by, ac.AuthenticationError)
        serve.server.faults.clear()
        report = await create(serve, source)
        assert actions(report) == {2: ("created", CreateReason.ANNOTATIONS)}
        assert (await serve.client.annotations(2)).counts.shapes == 1


async def test_the_project_of_an_interrupted_run_is_found(source: Path) -> None:
    harbour: dict[str, Any] = {"project": "Harbour", "labels": ["car"]}
    async with serving(1) as serve:
        await interrupted(serve, source, path="/api/projects", **harbour)
        assert (await create(serve, source, **harbour)).ok
        assert [one.name for one in serve.server.projects.values()].count("Harbour") == 1


async def test_a_name_of_several_projects_is_refused(source: Path) -> None:
    async with serving(1) as serve:
        headers = {"Authorization": f"Token {serve.server.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for _ in range(2):
                body = {"name": "Twin", "labels": [{"name": "car"}]}
                async with session.post(f"{serve.server.url}/api/projects", json=body) as answer:
                    assert answer.status == 201
        with pytest.raises(errors.ConfigError, match="2 projects are named 'Twin': 2, 3"):
            await create(serve, source, project="Twin")


async def test_two_tasks_that_an_interrupted_run_may_have_made_are_named(source: Path) -> None:
    async with serving(1) as serve:
        await interrupted(serve, source, path="/api/tasks")
        await made_by_another(serve)
        report = await create(serve, source)
        assert "cannot tell whether an earlier call made task 2 or 3" in str(error(report, 0))
        serve.server.delete_task(3)
        assert actions(await create(serve, source)) == {2: ("created", CreateReason.UNFINISHED)}


async def test_two_tasks_that_a_lost_call_may_have_made_are_named(source: Path) -> None:
    async with serving(1) as serve:
        lost = Fault(method="POST", path=POST_TASK, nth=2, lose_answer=True)
        serve.server.faults.add(lost)
        traced = at_the_call(lambda: made_by_another(serve), after=False)
        async with connected(serve.server, trace_configs=[traced]) as client:
            report = await ac.create(client, source, project=PROJECT, options=QUICK)
        assert isinstance(error(report, 0), errors.RequestUncertainError)
        assert sorted(serve.server.tasks) == [1, 2, 3]


async def test_an_empty_task_that_the_server_could_not_fill_is_replaced(source: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="fail", message="OSError: Truncated File Read\n"))
        report = await create(serve, source)
        assert "OSError: Truncated File Read. The task is empty. The next run replaces it." in str(
            error(report, 2)
        )
        serve.server.faults.clear()
        report = await create(serve, source)
        assert actions(report) == {3: ("created", CreateReason.UNFINISHED)}
        assert [task.size for task in (await new_tasks(serve, 1)).values()] == [2]
        assert 2 not in serve.server.tasks


async def test_an_empty_task_of_other_files_is_replaced(source: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="fail", message="no"))
        await create(serve, source)
        serve.server.faults.clear()
        images(source, cam1=3)
        report = await create(serve, source)
        assert actions(report) == {3: ("created", CreateReason.CHANGED)}
        assert [task.size for task in (await new_tasks(serve, 1)).values()] == [3]


async def test_a_task_that_is_not_empty_any_more_is_not_replaced(source: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="fail", message="no"))
        await create(serve, source)
        serve.server.faults.clear()
        images(source, cam1=3)
        # Another program fills the task just before it would be deleted.
        serve.server.faults.add(
            Fault(
                method="GET",
                path=r"/annotations$",
                times=1,
                status=200,
                body=f'{{"version": 0, "tags": [{TAG}], "shapes": [], "tracks": []}}',
            )
        )
        report = await create(serve, source)
        assert "it is not empty any more" in str(error(report, 2))
        assert 2 in serve.server.tasks


async def test_a_request_that_the_server_forgot_is_judged_by_the_frames(source: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(
            Fault(method="GET", path=r"^/api/requests/", times=1, lose_queue=True)
        )
        report = await create(serve, source)
        assert len(await new_tasks(serve, 1)) == 1
        again = await create(serve, source)
        assert report.ok or again.ok
        assert [task.size for task in (await new_tasks(serve, 1)).values()] == [2]


async def test_a_task_that_takes_too_long_is_followed_by_the_next_run(
    source: Path, log: Log
) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="stick"))
        report = await create(serve, source, options=options(import_timeout=0.01), on_event=log)
        assert "takes too long" in str(error(report, 2))
        assert log.of(events.ImportStarted)
        serve.server.faults.clear()
        serve.server.release_creations()
        report = await create(serve, source)
        assert actions(report) == {2: ("created", CreateReason.UNFINISHED)}
        assert len(serve.calls("POST /api/tasks/2/data")) == 1


async def test_a_task_that_takes_too_long_again_is_not_called_filled(source: Path) -> None:
    slow = options(import_timeout=0.01)
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="stick"))
        await create(serve, source, options=slow)
        report = await create(serve, source, options=slow)
        assert "takes too long: the server still works on it" in str(error(report, 2))
        assert set(await new_tasks(serve, 1)) == {"cam1"}
        assert not serve.calls("DELETE /api/tasks/2")


async def test_a_task_whose_frames_come_while_it_is_looked_at_is_not_replaced(
    source: Path,
) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="fail", message="no"))
        await create(serve, source)
        serve.server.faults.clear()
        images(source, cam1=3)
        no_annotations = '{"version": 0, "tags": [], "shapes": [], "tracks": []}'
        serve.server.faults.add(
            Fault(method="GET", path=r"/annotations$", status=200, body=no_annotations)
        )
        asked = internals(serve.client).creations
        data_request = asked.data_request

        async def then_it_has_frames(task_id: int) -> ServerRequest | None:
            request = await data_request(task_id)
            serve.server.world.change_task(task_id, size=2)
            return request

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(asked), "data_request", lambda _, one: then_it_has_frames(one))
            report = await create(serve, source)
        assert "it is not empty any more" in str(error(report, 2))
        assert 2 in serve.server.tasks


async def test_a_task_whose_frames_come_during_a_pause_is_not_replaced(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(creating="fail", message="no"))
        await create(serve, source)
        serve.server.faults.clear()
        images(source, cam1=3)

        async def then_it_has_frames() -> None:
            serve.server.world.change_task(2, size=2)

        calls = pause_before(monkeypatch, serve.client, "DELETE", "/tasks/2", then_it_has_frames)
        report = await create(serve, source)
        assert len(calls) == 1
        assert "it is not empty any more" in str(error(report, 2))
        assert 2 in serve.server.tasks


async def test_another_number_of_frames_is_a_failure(source: Path) -> None:
    async with serving(1) as serve:

        def add_frames(event: events.ImportFinished) -> None:
            serve.server.world.change_task(event.task_id, size=7)

        log = Log()
        log.on(events.ImportFinished, add_frames)
        report = await create(serve, source, on_event=log)
        assert "has 7 frames instead of 2" in str(error(report, 2))


async def test_a_journal_may_lie_elsewhere(source: Path, tmp_path: Path) -> None:
    place = tmp_path.parent / f"{tmp_path.name} journal"
    elsewhere = options(journal=place)
    async with serving(1, client={"organization": ""}) as serve:
        assert (await create(serve, source, options=elsewhere)).ok
        assert not (source / ".asynccvat").exists()
        (journal,) = place.rglob("*.jsonl")
        assert journal.parent.name.endswith("@")
        assert {
            one.action for one in (await create(serve, source, options=elsewhere)).outcomes
        } == {"skipped"}


async def test_a_second_run_at_the_same_time_is_refused(source: Path) -> None:
    async with serving(1) as serve:
        log = Log()
        refused: list[BaseException] = []
        run = ac.open_create(serve.client, source, project=PROJECT, options=QUICK, on_event=log)
        async with run:
            await until(lambda: bool(log.of(events.UploadStarted)))
            with pytest.raises(errors.StoreLockedError) as caught:
                await create(serve, source)
            refused.append(caught.value)
            assert (await run.wait()).ok
        assert refused

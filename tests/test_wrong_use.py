"""Wrong use of the public names: an error that says what was wrong, before anything is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import asynccvat as ac

pytestmark = pytest.mark.anyio

# A stranger's mistakes, which a type checker would show: so the names are not typed here.
asynccvat: Any = ac

CLIENT = ac.CvatClient("https://cvat.invalid", token="a" * 40)
DEST = Path("/nonexistent/destination")


async def nothing_happens(event: ac.Event) -> None:
    """Handle an event, if it were awaited."""


VALUES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "options of a download": (
        lambda: asynccvat.open_download(CLIENT, {1: DEST}, options=ac.MirrorOptions()),
        TypeError,
        "options must be DownloadOptions, not MirrorOptions",
    ),
    "options as a dict": (
        lambda: asynccvat.open_mirror(CLIENT, DEST, options={"prune": True}),
        TypeError,
        "options must be MirrorOptions, not dict",
    ),
    "a list as selection": (
        lambda: asynccvat.open_mirror(CLIENT, DEST, [1, 2]),
        TypeError,
        "a selection must be a Selection, not list",
    ),
    "an empty list as selection, which must not be everything": (
        lambda: asynccvat.open_mirror(CLIENT, DEST, []),
        TypeError,
        "a selection must be a Selection, not list",
    ),
    "a selection of tasks for jobs": (
        lambda: asynccvat.CvatClient.iter_jobs(CLIENT, ac.Selection()),
        TypeError,
        "a selection must be a JobSelection, not Selection",
    ),
    "a number as spec": (
        lambda: asynccvat.open_mirror(CLIENT, DEST, spec=5),
        TypeError,
        "a spec is an ExportSpec or a format's name, not 5",
    ),
    "an address as client of a mirror": (
        lambda: asynccvat.open_mirror("https://cvat.invalid", DEST),
        TypeError,
        "client must be a CvatClient, not str",
    ),
    "an address as client of a download": (
        lambda: asynccvat.open_download("https://cvat.invalid", {1: DEST}),
        TypeError,
        "client must be a CvatClient, not str",
    ),
    "an address as client of an upload": (
        lambda: asynccvat.open_upload("https://cvat.invalid", DEST),
        TypeError,
        "client must be a CvatClient, not str",
    ),
    "a callback that cannot be called": (
        lambda: asynccvat.open_mirror(CLIENT, DEST, on_event="print"),
        TypeError,
        "a callback must be a function, not str",
    ),
    "a callback that nothing would await": (
        lambda: asynccvat.open_mirror(CLIENT, DEST, on_event=nothing_happens),
        TypeError,
        "a callback must be an ordinary function, not a coroutine function",
    ),
    "a list of tasks to download": (
        lambda: asynccvat.open_download(CLIENT, [1, 2]),
        TypeError,
        "paths must map each task's id to its folder, not be list",
    ),
    "a name of a task to download": (
        lambda: asynccvat.open_download(CLIENT, {"one": DEST}),
        ac.ConfigError,
        "task_ids must be positive whole numbers, not 'one'",
    ),
    "a condition that is empty, as an unset variable is": (
        lambda: asynccvat.Selection(name=""),
        ac.ConfigError,
        "name is empty. Give a text, or None for no condition.",
    ),
    "a condition of blanks": (
        lambda: asynccvat.ProjectSelection(owner=" "),
        ac.ConfigError,
        "owner is empty. Give a text, or None for no condition.",
    ),
    "a condition of jobs that is empty": (
        lambda: asynccvat.JobSelection(task_name=""),
        ac.ConfigError,
        "task_name is empty. Give a text, or None for no condition.",
    ),
    "a condition that is a number": (
        lambda: asynccvat.Selection(subset=5),
        ac.ConfigError,
        "subset must be a text, not 5",
    ),
    "a filter that is empty": (
        lambda: asynccvat.Selection(filter=""),
        ac.ConfigError,
        "filter is empty. Give a text, or None for no condition.",
    ),
    "a user without a name": (
        lambda: asynccvat.CvatClient("https://cvat.invalid", username="", password="x"),
        ac.ConfigError,
        "username is empty. Give a value, or None if there is none.",
    ),
    "a token that is empty": (
        lambda: asynccvat.CvatClient("https://cvat.invalid", token=""),
        ac.ConfigError,
        "token is empty. Give a value, or None if there is none.",
    ),
    "a destination that is empty": (
        lambda: asynccvat.open_mirror(CLIENT, ""),
        ac.ConfigError,
        "a path is empty. Name a folder or file, '.' for the working directory.",
    ),
    "a destination of spaces": (
        lambda: asynccvat.open_mirror(CLIENT, "  "),
        ac.ConfigError,
        "a path is empty. Name a folder or file, '.' for the working directory.",
    ),
    "an address as destination": (
        lambda: asynccvat.open_mirror(CLIENT, "https://cvat.invalid/tasks/147"),
        ac.ConfigError,
        "'https://cvat.invalid/tasks/147' is an address, not a path. Name a folder or file.",
    ),
    "an address with a password as destination": (
        lambda: asynccvat.open_mirror(CLIENT, "https://ann:hunter2@cvat.invalid"),
        ac.ConfigError,
        "what is given is an address, not a path. Name a folder or file.",
    ),
    "a folder to download into that is empty": (
        lambda: asynccvat.open_download(CLIENT, {1: ""}),
        ac.ConfigError,
        "a path is empty.",
    ),
    "a folder to upload that is empty": (
        lambda: asynccvat.open_upload(CLIENT, ""),
        ac.ConfigError,
        "a path is empty.",
    ),
    "an undo of a task that is not in a list": (
        lambda: asynccvat.open_undo_upload(CLIENT, DEST, 147),
        TypeError,
        "task_ids must be a list of ids like [147], not 147",
    ),
    "an undo of no task": (
        lambda: asynccvat.open_undo_upload(CLIENT, DEST, []),
        ac.ConfigError,
        "task_ids is empty. Name the tasks",
    ),
    "an undo without a client": (
        lambda: asynccvat.open_undo_upload(None, DEST, [1]),
        TypeError,
        "client must be a CvatClient, not NoneType",
    ),
    "an upload that keeps what it replaces and keeps nothing": (
        lambda: asynccvat.UploadOptions(backup_dir="replaced", backup=False),
        ac.ConfigError,
        "backup_dir names where replaced annotations are kept, and backup=False (--no-backup)",
    ),
    "an upload that keeps in an empty place": (
        lambda: asynccvat.UploadOptions(backup_dir=" "),
        ac.ConfigError,
        "backup_dir must be the path of a folder",
    ),
    "a policy of words": (
        lambda: asynccvat.RetryPolicy(attempts="5"),
        TypeError,
        "attempts must be a whole number, not '5'",
    ),
    "a policy that counts backwards": (
        lambda: asynccvat.RetryPolicy(attempts=-1),
        ac.ConfigError,
        "attempts must be at least 0, not -1",
    ),
    "a cap of words": (
        lambda: asynccvat.RetryPolicy(cap="30 s"),
        TypeError,
        "cap must be a number, not '30 s'",
    ),
    "a cap that is no number": (
        lambda: asynccvat.RetryPolicy(cap=float("nan")),
        ac.ConfigError,
        "cap must be at least 0, not nan",
    ),
    "a limit of words": (
        lambda: asynccvat.ArchiveLimits(total_size="1 TB"),
        TypeError,
        "total_size must be a whole number, not '1 TB'",
    ),
    "a negative limit": (
        lambda: asynccvat.ArchiveLimits(members=-1),
        ac.ConfigError,
        "members must be at least 0, not -1",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_wrong_value_is_refused_at_once(name: str) -> None:
    call, kind, message = VALUES[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message)


CALLS: dict[str, tuple[Callable[[], Coroutine[Any, Any, object]], type[Exception], str]] = {
    "a plan of a list": (
        lambda: asynccvat.plan_mirror(CLIENT, DEST, [1]),
        TypeError,
        "a selection must be a Selection, not list",
    ),
    "a plan without a client": (
        lambda: asynccvat.plan_mirror(None, DEST),
        TypeError,
        "client must be a CvatClient, not NoneType",
    ),
    "one file without a client": (
        lambda: asynccvat.upload_annotations(None, 1, DEST),
        TypeError,
        "client must be a CvatClient, not NoneType",
    ),
    "a list of tasks by ids": (
        lambda: asynccvat.CvatClient.tasks(CLIENT, [1, 2]),
        TypeError,
        "a selection must be a Selection, not list",
    ),
    "an export of a number": (
        lambda: asynccvat.CvatClient.request_export(CLIENT, 1, 5),
        TypeError,
        "a spec is an ExportSpec or a format's name, not 5",
    ),
    "a task by its name": (
        lambda: asynccvat.CvatClient.task(CLIENT, "one"),
        TypeError,
        "task_id must be a whole number, not 'one'",
    ),
    "one request to cancel": (
        lambda: asynccvat.CvatClient.cancel_requests(CLIENT, "action=export"),
        TypeError,
        "rq_ids must be a list of ids, not 'action=export' alone",
    ),
    "the requests in a state that the server does not know": (
        lambda: asynccvat.CvatClient.requests(CLIENT, status="done"),
        ac.ConfigError,
        "status must be one of queued, started, finished, failed, not 'done'",
    ),
    "the requests of an action that the server does not know": (
        lambda: asynccvat.CvatClient.requests(CLIENT, action="exports"),
        ac.ConfigError,
        "action must be one of export, import, create, not 'exports'",
    ),
    "the requests of a format without a name": (
        lambda: asynccvat.CvatClient.requests(CLIENT, export_format=""),
        ac.ConfigError,
        "export_format is empty.",
    ),
    "the requests of a text": (
        lambda: asynccvat.CvatClient.requests(CLIENT, task_ids="12"),
        ac.ConfigError,
        "task_ids must be a list of ids, like [147, 148], not '12'",
    ),
    "a verification of a list": (
        lambda: asynccvat.verify(DEST, client=CLIENT, against_server=True, selection=[1]),
        TypeError,
        "a selection must be a Selection, not list",
    ),
    "a verification in words": (
        lambda: asynccvat.verify(DEST, threads="4"),
        TypeError,
        "threads must be a whole number, not '4'",
    ),
    "a client that is not open": (
        lambda: CLIENT.request_export(1, "COCO 1.0"),
        RuntimeError,
        "the client is not open",
    ),
    "a run that is not begun": (
        lambda: ac.open_mirror(CLIENT, DEST).wait(),
        RuntimeError,
        "the run has not begun",
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_wrong_call_is_refused_before_anything_is_done(name: str) -> None:
    call, kind, message = CALLS[name]
    with pytest.raises(kind) as caught:
        await call()
    assert str(caught.value).startswith(message)
    assert not DEST.parent.exists()


async def test_a_client_that_is_opened_twice_at_once_is_opened_once() -> None:
    client = ac.CvatClient("https://cvat.invalid", token="a" * 40)
    results = await asyncio.gather(client.open(), client.open(), return_exceptions=True)
    await client.close()
    assert [type(result) for result in results] == [ac.CvatClient, RuntimeError]

"""A read-only access token mirrors, and an upload says at once that it cannot write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from engine_serving import QUICK, Serving, connected, data, error, serving, stack

import asynccvat as ac
from asynccvat.errors import PermissionDeniedError
from asynccvat.models import AccessToken
from asynccvat.simulator import Fault

__all__ = ["data", "stack"]

pytestmark = pytest.mark.anyio

UPLOAD = ac.UploadOptions(durable=False)
CVAT = "annotations.xml"
SAID = (
    "cannot {} at {}: the access token {!r} is read-only, as CVAT makes them by default. Log in "
    "with `asynccvat login --read-write`, or give another token."
)


@asynccontextmanager
async def reading(*, read_only: bool = True) -> AsyncIterator[tuple[Serving, ac.CvatClient]]:
    """Run a server, and a client with an access token."""
    async with serving(2) as serve:
        value = serve.server.create_access_token(read_only=read_only)
        async with connected(serve.server, token=value) as client:
            yield serve, client


async def token_of(client: ac.CvatClient) -> AccessToken:
    token = await client.access_token()
    assert token is not None
    return token


async def test_a_read_only_token_mirrors_and_does_not_upload(data: Path) -> None:
    async with reading() as (serve, client):
        assert (await ac.mirror(client, data, options=QUICK)).ok
        path = data / "task1" / CVAT
        path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"', 1))
        name = (await token_of(client)).name
        for attempt in (
            lambda: ac.upload(client, data, options=UPLOAD),
            lambda: ac.plan_upload(client, data, options=UPLOAD),
            lambda: ac.upload_annotations(client, 1, path),
        ):
            with pytest.raises(PermissionDeniedError) as caught:
                await attempt()
            assert str(caught.value) == SAID.format("upload", client.origin, name)
        assert serve.calls("POST /api/tasks/1/annotations") == []


async def test_a_token_that_writes_is_asked_about_once(data: Path) -> None:
    async with reading(read_only=False) as (serve, client):
        assert (await ac.mirror(client, data, options=QUICK)).ok
        assert serve.calls("access_tokens/self") == []
        for old, new in (("0", "1"), ("1", "0")):
            for path in data.glob(f"task*/{CVAT}"):
                path.write_text(path.read_text().replace(f'occluded="{old}"', f'occluded="{new}"'))
            assert (await ac.upload(client, data, options=UPLOAD)).ok
        assert len(serve.calls("access_tokens/self")) == 1


async def test_user_and_password_are_not_asked_about(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1))
    assert await serve.client.access_token() is None
    await ac.mirror(serve.client, data, options=QUICK)
    path = data / "task1" / CVAT
    path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"', 1))
    assert (await ac.upload(serve.client, data, options=UPLOAD)).ok
    assert serve.calls("access_tokens") == []


async def test_a_server_that_does_not_tell_refuses_each_task(data: Path) -> None:
    async with reading() as (serve, client):
        serve.server.faults.add(Fault(path="access_tokens/self", status=404, body="no", times=None))
        assert (await ac.mirror(client, data, options=QUICK)).ok
        path = data / "task1" / CVAT
        path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"', 1))
        assert await client.access_token() is None
        report = await ac.upload(client, data, options=UPLOAD)
        assert isinstance(error(report, 1), PermissionDeniedError)


async def test_requests_are_not_cancelled_with_it_and_that_is_said() -> None:
    async with reading() as (serve, client):
        serve.server.pause_exports()
        first, second = [await client.request_export(number, "COCO 1.0") for number in (1, 2)]
        del first
        with pytest.raises(PermissionDeniedError, match=r"cannot cancel requests at .*read-only"):
            await client.cancel_requests([second.rq_id])
        serve.server.release_exports()

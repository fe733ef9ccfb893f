"""Logins from Python: what they keep, what they refuse, and what they leave at the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

import asynccvat as ac
from asynccvat.models import TokenStore
from asynccvat.simulator import SimulatedServer, SimulatorOptions

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimulatedServer]:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("CVAT_URL", "CVAT_ACCESS_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    async with SimulatedServer(SimulatorOptions(tasks=1, frames=1)) as running:
        yield running


def with_password(server: SimulatedServer) -> ac.CvatClient:
    return ac.CvatClient(server.url, username=server.username, password=server.password)


async def test_a_login_is_used_by_clients_that_are_made_from_settings(
    server: SimulatedServer,
) -> None:
    async with with_password(server) as client:
        made = await ac.login(client, label="mine", lifetime=timedelta(days=3), store="file")
    assert made.account is not None
    assert made.account.user.username == "admin"
    assert made.login.store is TokenStore.FILE
    assert made.login.made_token is not None
    assert (await asyncio.to_thread(ac.saved_logins)).logins == (made.login,)
    async with await asyncio.to_thread(ac.CvatClient.from_settings) as client:
        account = await ac.whoami(client)
        assert account.token == made.login.token
        assert account.version == "2.54.1"
        with pytest.raises(ac.PermissionDeniedError):
            await client.create_access_token("another")
        with pytest.raises(ac.PermissionDeniedError):
            await client.revoke_access_token(made.login.made_token.id)
    async with with_password(server) as client:
        ended = await ac.logout(client=client)
    assert ended.revoked == made.login.token
    assert (await asyncio.to_thread(ac.saved_logins)).logins == ()
    assert server.accounts.access_tokens == {}


async def test_a_logout_with_a_client_of_another_server_forgets_nothing(
    server: SimulatedServer,
) -> None:
    async with with_password(server) as client:
        await ac.login(client, store="file")
    async with ac.CvatClient("http://127.0.0.1:1", username="a", password="other-secret") as other:
        with pytest.raises(ac.ConfigError, match=r"Give a client of the login's server\."):
            await ac.logout(client=other)
    assert (
        len((await asyncio.to_thread(ac.saved_logins)).logins)
        == len(server.accounts.access_tokens)
        == 1
    )


async def test_a_token_revoked_elsewhere_is_no_obstacle_to_a_logout(
    server: SimulatedServer,
) -> None:
    async with with_password(server) as client:
        made = await ac.login(client, store="file")
        assert made.login.made_token is not None
        assert await client.revoke_access_token(made.login.made_token.id)
        assert not await client.revoke_access_token(made.login.made_token.id)
        await ac.logout(client=client)
    assert (await asyncio.to_thread(ac.saved_logins)).logins == ()


async def test_a_new_token_s_value_is_in_no_repr(server: SimulatedServer) -> None:
    async with with_password(server) as client:
        made = await client.create_access_token("mine", read_only=False)
    assert made is not None
    assert made.value not in repr(made)
    assert not made.token.read_only


async def test_an_unknown_store_is_refused_before_a_token_is_made(server: SimulatedServer) -> None:
    async with with_password(server) as client:
        with pytest.raises(ac.ConfigError, match="the store must be keyring or file, not 'cloud'"):
            await ac.login(client, store="cloud")
    assert server.calls == []

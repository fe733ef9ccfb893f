"""Logins from Python: what they keep, what they refuse, and what they leave at the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from keyrings import MemoryKeyring, memory_keyring

import asynccvat as ac
from asynccvat.models import TokenStore
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions, UserSpec

__all__ = ["memory_keyring"]

pytestmark = pytest.mark.anyio

BOB = (UserSpec("bob", "bobs-own-secret"),)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimulatedServer]:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("CVAT_URL", "CVAT_ACCESS_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    async with SimulatedServer(SimulatorOptions(tasks=1, frames=1, users=BOB)) as running:
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


async def test_a_client_of_another_user_revokes_no_token_and_says_so(
    server: SimulatedServer,
) -> None:
    async with with_password(server) as client:
        made = await ac.login(client, name="lab", store="file")
    bob = ac.CvatClient(server.url, username="bob", password="bobs-own-secret")
    async with bob:
        with pytest.raises(ac.ConfigError, match=r"for 'admin', and the client for 'bob'\. Give a"):
            await ac.logout(client=bob)
        assert (await asyncio.to_thread(ac.saved_logins)).find("lab") == made.login
        replacing = await ac.login(bob, name="lab", store="file")
    assert (replacing.revoked, replacing.left) == (None, made.login.token)
    assert len(server.accounts.access_tokens) == 2


async def test_users_who_log_in_at_once_get_logins_of_their_own(server: SimulatedServer) -> None:
    async with (
        with_password(server) as admin,
        ac.CvatClient(server.url, username="bob", password="bobs-own-secret") as bob,
    ):
        made = await asyncio.gather(*(ac.login(one, store="file") for one in (admin, bob)))
    known = await asyncio.to_thread(ac.saved_logins)
    assert sorted(login.username for login in known.logins) == ["admin", "bob"]
    assert {one.login.name for one in made} == {login.name for login in known.logins}
    assert [one.replaced for one in made] == [None, None]


async def test_a_user_who_logs_in_twice_at_once_leaves_one_token(server: SimulatedServer) -> None:
    async with with_password(server) as one, with_password(server) as other:
        await asyncio.gather(*(ac.login(client, store="file") for client in (one, other)))
    (login,) = (await asyncio.to_thread(ac.saved_logins)).logins
    assert login.made_token is not None
    assert list(server.accounts.access_tokens) == [login.made_token.id]


async def test_a_login_with_the_token_of_an_earlier_one_still_revokes_it_in_the_end(
    server: SimulatedServer, memory_keyring: MemoryKeyring
) -> None:
    async with with_password(server) as client:
        made = await ac.login(client)
    (token,) = memory_keyring.entries.values()
    async with ac.CvatClient(server.url, token=token) as client:
        moved = await ac.login(client, store="file")
    assert (moved.revoked, moved.left, memory_keyring.entries) == (None, None, {})
    assert moved.login.made_token == made.login.token
    async with with_password(server) as client:
        assert (await ac.logout(client=client)).revoked == made.login.token


async def test_a_token_that_can_neither_be_kept_nor_revoked_is_named(
    server: SimulatedServer, memory_keyring: MemoryKeyring
) -> None:
    memory_keyring.full = True
    server.faults.add(Fault(path="/api/auth/access_tokens/", method="DELETE", status=403))
    async with with_password(server) as client:
        with pytest.raises(ac.ConfigError) as raised:
            await ac.login(client, label="mine")
    assert raised.value.message.startswith("cannot write the system's keyring: no room. ")
    assert raised.value.message.endswith(
        " The access token 'mine' that was made for it could not be revoked, and still works. "
        f"Revoke it at {server.url}/profile."
    )


async def test_a_login_that_is_cancelled_while_it_is_saved_keeps_a_token_that_works(
    server: SimulatedServer, memory_keyring: MemoryKeyring
) -> None:
    loop = asyncio.get_running_loop()
    write = memory_keyring.set_password

    async def log_in() -> None:
        async with with_password(server) as client:
            await ac.login(client)

    task = asyncio.create_task(log_in())

    def cancelling(service: str, username: str, password: str) -> None:
        asyncio.run_coroutine_threadsafe(cancel(task), loop).result()
        write(service, username, password)

    memory_keyring.set_password = cancelling  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await task
    async with await asyncio.to_thread(ac.CvatClient.from_settings) as client:
        assert (await ac.whoami(client)).user.username == "admin"


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()

"""`login`, `logout` and `whoami`: a login lasts, and its secrets are where they belong."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import Shell
from gateway import gateway
from keyrings import MemoryKeyring, memory_keyring
from official_clients import COMMAND, needs_cli, run
from terminals import CTRL_C, CTRL_D, on_a_terminal

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

__all__ = ["memory_keyring"]


@pytest.fixture
def own() -> Iterator[SimulatedServer]:
    """A server for one test, whose tokens it may count."""
    with serve_in_thread(SimulatorOptions(tasks=2, frames=1)) as server:
        yield server


def give(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))


def with_password(
    shell: Shell, server: SimulatedServer, monkeypatch: pytest.MonkeyPatch, *more: str
) -> str:
    """Log in with a password, and return what was said."""
    give(monkeypatch, server.password)
    where = " in the personal workspace" if "--org" in more else ""
    ended = shell("login", server.url, "-u", "admin", "--password-stdin", *more)
    assert ended.code == 0, ended.err
    assert ended.out == f"{server.url}: CVAT 2.54.1, logged in as admin{where}\n"
    return ended.err


def tokens(server: SimulatedServer) -> list[tuple[str, bool]]:
    return [(one.name, one.read_only) for one in server.accounts.access_tokens.values()]


def stored(tmp_path: Path) -> dict[str, dict[str, str]]:
    """The profiles of CVAT's own tools."""
    path = tmp_path / "home" / "cvat-sdk" / "auth.json"
    profiles: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8"))["profiles"]
    return profiles


def name_of(server: SimulatedServer) -> str:
    return server.url.removeprefix("http://").replace(":", "-")


def test_after_a_login_commands_need_neither_address_nor_password(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = with_password(bare_shell, own, monkeypatch)
    ((name, read_only),) = tokens(own)
    assert name.startswith("asynccvat, ")
    assert read_only
    year = (datetime.now(UTC) + timedelta(days=365)).date().isoformat()
    assert f"Made the access token {name!r}: read-only, expires on {year}.\n" in said
    assert "file of profiles that CVAT's own tools read, too" in said
    assert bare_shell("mirror", "data").code == 0
    assert (tmp_path / "data" / "task1").is_dir()
    ended = bare_shell("whoami")
    assert ended.out == (
        f"{own.url}: CVAT 2.54.1, logged in as admin\n"
        f"access token {name!r}: read-only, expires on {year}\n"
        f"credentials: from the login {name_of(own)!r} in {tmp_path}/home/cvat-sdk/auth.json\n"
    )


def test_a_token_of_stdin_is_checked_and_kept(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = own.create_access_token()
    give(monkeypatch, token)
    ended = bare_shell("login", own.url, "--token-stdin", "--name", "lab")
    assert ended.code == 0, ended.err
    assert "Checked the access token 'token': may read and write, does not expire." in ended.err
    assert stored(tmp_path)["lab"]["token"] == token
    assert len(tokens(own)) == 1
    ended = bare_shell("logout")
    assert ended.out == f"Logged out of {own.url} (login 'lab').\n"
    assert "The access token 'token' still works. If nothing else uses it, revoke" in ended.err
    assert stored(tmp_path) == {}
    assert len(tokens(own)) == 1


def test_what_a_new_token_may_do_is_sent_explicitly(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--read-write", "--token-name", "builds", "--expires", "0")
    said = with_password(bare_shell, own, monkeypatch, *options)
    assert tokens(own) == [("builds", False)]
    assert "Made the access token 'builds': may read and write, does not expire." in said
    give(monkeypatch, own.password)
    bare_shell(
        "login", own.url, "-u", "admin", "--password-stdin", "--read-only", "--name", "other"
    )
    assert [read_only for _, read_only in tokens(own)] == [False, True]
    for call in own.calls:
        assert call.path != "/api/auth/logout"


def test_a_second_login_replaces_the_first_and_revokes_its_token(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_password(bare_shell, own, monkeypatch, "--token-name", "first")
    said = with_password(bare_shell, own, monkeypatch, "--token-name", "second")
    assert "Revoked the token 'first' of the earlier login." in said
    assert tokens(own) == [("second", True)]
    give(monkeypatch, own.create_access_token())
    ended = bare_shell("login", own.url, "--token-stdin")
    assert (
        "warning: the access token 'second' of the earlier login still works. Revoke it at "
        f"{own.url}/profile." in ended.err
    )
    assert len(bare_shell("whoami", "--all", "--json").json) == 1


def test_a_logout_revokes_the_token_that_the_login_made(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_password(bare_shell, own, monkeypatch, "--token-name", "mine")
    other = own.create_access_token()
    give(monkeypatch, own.password)
    ended = bare_shell("logout", "--password-stdin")
    assert (ended.code, ended.err) == (0, "The access token 'mine' is revoked.\n")
    assert [one.value for one in own.accounts.access_tokens.values()] == [other]
    assert stored(tmp_path) == {}
    ended = bare_shell("list-tasks")
    assert ended.code == 2
    assert "no server is given. Run `asynccvat login`" in ended.err
    ended = bare_shell("logout")
    assert (ended.code, ended.err) == (
        2,
        "Error: there is no saved login. Save one with `asynccvat login`.\n",
    )
    assert not [call for call in own.calls if call.path == "/api/auth/logout"]


def test_a_logout_with_a_wrong_password_forgets_nothing(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_password(bare_shell, own, monkeypatch)
    give(monkeypatch, "wrong-password")
    ended = bare_shell("logout", "--password-stdin")
    assert ended.code == 3
    kept = f"The login {name_of(own)!r} is kept. '--keep-token' forgets it without the server."
    assert ended.err.startswith(f"{kept}\nError: ")
    assert len(stored(tmp_path)) == len(tokens(own)) == 1
    give(monkeypatch, "")
    ended = bare_shell("logout", "--keep-token")
    assert (ended.code, len(tokens(own))) == (0, 1)
    assert "still works" in ended.err
    assert stored(tmp_path) == {}


def test_a_wrong_password_makes_no_login(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    give(monkeypatch, "wrong-password")
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin")
    assert ended.code == 3
    assert "Unable to log in with provided credentials" in ended.err
    assert tokens(own) == []
    assert not (tmp_path / "home").exists()


def test_an_expired_token_makes_no_login_and_is_told_of_later(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    give(monkeypatch, own.create_access_token(expiry=datetime(2020, 1, 1, tzinfo=UTC)))
    assert bare_shell("login", own.url, "--token-stdin").code == 3
    with_password(bare_shell, own, monkeypatch, "--expires", "1")
    path = tmp_path / "home" / "asynccvat" / "logins.json"
    logins = json.loads(path.read_text("utf-8"))
    logins["logins"][0]["token"]["expiry_date"] = "2026-01-01T00:00:00Z"
    path.write_text(json.dumps(logins), "utf-8")
    own.accounts.access_tokens[2].expiry = datetime(2026, 1, 1, tzinfo=UTC)
    assert "read-only, expired on 2026-01-01" in bare_shell("whoami", "--all").out
    ended = bare_shell("list-tasks")
    assert ended.code == 3
    assert (
        f"warning: the access token of the login {name_of(own)!r} expired on 2026-01-01. Run: "
        f"asynccvat login {own.url}\n" in ended.err
    )


def test_a_token_that_cannot_be_kept_is_revoked_again(
    bare_shell: Shell,
    own: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    memory_keyring: MemoryKeyring,
) -> None:
    memory_keyring.full = True
    give(monkeypatch, own.password)
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin")
    assert ended.code == 2
    assert "cannot write the system's keyring: no room. Check that it runs, or log in" in ended.err
    assert len([call for call in own.calls if call.method == "DELETE"]) == 1
    assert tokens(own) == []


def test_what_would_win_over_the_login_is_named(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.create_access_token())
    ended = bare_shell("login", own.url)
    assert ended.code == 0
    assert (
        "warning: the environment's CVAT_ACCESS_TOKEN wins over this login. Remove it to use the "
        "login.\n" in ended.err
    )


def test_an_old_server_has_no_tokens_and_the_key_of_the_login_is_kept(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, version="2.40.0")) as old:
        give(monkeypatch, old.password)
        ended = bare_shell("login", old.url, "-u", "admin", "--password-stdin")
        assert ended.code == 0, ended.err
        assert "The key of a login is kept. It may do whatever admin may" in ended.err
        assert bare_shell("list-tasks").code == 0
        assert bare_shell("logout").code == 0
        assert old.accounts.by_id[1].token is not None


def test_a_lost_answer_makes_no_second_token(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.faults.add(Fault(path="/api/auth/access_tokens$", method="POST", status=502))
    give(monkeypatch, own.password)
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin")
    assert ended.code == 4
    assert "cannot make an access token" in ended.err
    posts = [call for call in own.calls if call.method == "POST" and "access_tokens" in call.path]
    assert len(posts) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("login",), "no server is given. Give its address: asynccvat login https://cvat.ex"),
        (("login", "https://cvat.invalid"), "no credentials are given. Use --token-stdin, or --us"),
        (("login", "ftp://cvat.invalid"), "the server URL 'ftp://cvat.invalid' does not start"),
        (("login", "a.invalid", "--url", "b.invalid"), "--url names the server, too. Remove one"),
        (("login", "a.invalid", "--profile", "lab"), "--profile is not for 'login'. Remove it"),
        (("login", "a.invalid", "--token-stdin", "-u", "ann"), "--username gives credentials, too"),
        (("login", "a.invalid", "--token-stdin"), "--token-stdin found no token. Write it to the"),
        (("login", "a.invalid", "-u", "ann", "--password-stdin", "--token-stdin"), "--token-stdin"),
        (("logout", "--token", "x"), "--token is not for 'logout'. Remove it."),
        (("logout", "lab"), "there is no saved login 'lab'. Save one with `asynccvat login`."),
    ],
)
def test_what_a_login_lacks_is_said(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    give(monkeypatch, "")
    ended = bare_shell(*arguments)
    assert ended.code == 2
    assert message in ended.err


def test_names_of_logins_and_profiles_do_not_collide(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "cvat-sdk"
    folder.mkdir(mode=0o700, parents=True)
    profiles = {name_of(own): {"server": own.url, "token": "theirs", "created_date": ""}}
    path = folder / "auth.json"
    path.write_text(json.dumps({"version": 1, "profiles": profiles}), "utf-8")
    path.chmod(0o600)
    with_password(bare_shell, own, monkeypatch)
    assert set(stored(tmp_path)) == {name_of(own), f"{name_of(own)}-2"}
    assert stored(tmp_path)[name_of(own)]["token"] == "theirs"
    give(monkeypatch, own.password)
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin", "--name", name_of(own))
    assert ended.code == 2
    assert "CVAT's own tools saved a profile of that name. Choose another name." in ended.err
    with serve_in_thread(SimulatorOptions(tasks=1)) as other:
        give(monkeypatch, other.password)
        ended = bare_shell(
            "login", other.url, "-u", "admin", "--password-stdin", "--name", f"{name_of(own)}-2"
        )
    assert f"that login is for {own.url}. Choose another name, or log out of it" in ended.err


def test_a_token_goes_to_the_keyring_if_there_is_one(
    bare_shell: Shell,
    own: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    memory_keyring: MemoryKeyring,
) -> None:
    said = with_password(bare_shell, own, monkeypatch)
    assert "with the token in the system's keyring.\n" in said
    assert list(memory_keyring.entries) == [(f"asynccvat {own.url}", name_of(own))]
    assert not (tmp_path / "home" / "cvat-sdk").exists()
    ended = bare_shell("whoami", "--json")
    assert ended.json["settings"]["token"] == (
        f"the login {name_of(own)!r} in the system's keyring"
    )
    memory_keyring.locked = True
    ended = bare_shell("whoami")
    assert ended.code == 2
    assert "cannot read the system's keyring: Failed to unlock the collection. Unlock" in ended.err
    memory_keyring.locked = False
    give(monkeypatch, own.password)
    assert bare_shell("logout", "--password-stdin").code == 0
    assert memory_keyring.entries == {}


def test_a_token_that_stays_in_a_locked_keyring_is_named(
    bare_shell: Shell,
    own: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    memory_keyring: MemoryKeyring,
) -> None:
    with_password(bare_shell, own, monkeypatch)
    memory_keyring.locked = True
    said = with_password(bare_shell, own, monkeypatch, "--store", "file")
    assert (
        "warning: the token of the earlier login could not be removed from the system's keyring, "
        f"entry 'asynccvat {own.url}'. Remove it there.\n" in said
    )
    assert bare_shell("whoami").code == 0
    assert len(tokens(own)) == 1


def test_a_keyring_that_is_asked_for_must_be_there(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, own.password)
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin", "--store", "keyring")
    assert ended.code == 2
    assert "this system has no keyring that runs. Or choose the store 'file'." in ended.err
    assert tokens(own) == []


def test_saved_logins_are_listed_without_a_server(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_password(bare_shell, own, monkeypatch, "--name", "lab")
    with_password(bare_shell, own, monkeypatch, "--name", "plant", "--org", "")
    calls = len(own.calls)
    ended = bare_shell("whoami", "--all")
    header, lab, plant = ended.out.splitlines()
    assert header == "login\tdefault\tserver\tuser\tstore\ttoken"
    assert lab.startswith(f"lab\t\t{own.url}\tadmin\tfile\tread-only, expires on ")
    assert plant.startswith(f"plant\tyes\t{own.url}\t")
    assert [login["default"] for login in bare_shell("whoami", "--all", "--json").json] == [
        False,
        True,
    ]
    assert len(own.calls) == calls
    assert "in the personal workspace" in bare_shell("whoami").out


def test_an_empty_list_of_logins_says_how_to_save_one(bare_shell: Shell) -> None:
    ended = bare_shell("whoami", "--all")
    assert ended.err == "There is no saved login. Save one with `asynccvat login`.\n"
    assert bare_shell("whoami", "--all", "--json").json == []


@needs_cli
def test_cvat_s_own_command_line_uses_the_login(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_password(bare_shell, own, monkeypatch)
    command = [sys.executable, "-c", COMMAND]
    home = tmp_path / "home"
    assert run([*command, "profile", "list"], home).split() == [
        name_of(own),
        own.url,
        "(default)",
    ]
    assert run([*command, "task", "ls"], home).split() == ["2", "1"]


@pytest.mark.usefixtures("bare_shell")
def test_on_a_terminal_it_asks_for_everything_and_shows_no_secret(
    own: SimulatedServer, tmp_path: Path
) -> None:
    answers = (
        ("like https://cvat.example.com: ", own.url),
        ("Access token: ", ""),
        ("User name at", "admin"),
        ("Password of admin at", own.password),
        ("[y/N] ", "y"),
    )
    shown = on_a_terminal(tmp_path, ("login",), answers)
    assert f"{own.url}: CVAT 2.54.1, logged in as admin" in shown
    assert "may read and write" in shown
    assert [read_only for _, read_only in tokens(own)] == [False]
    shown += on_a_terminal(tmp_path, ("logout",), (("(Enter to leave it): ", own.password),))
    assert "is revoked." in shown
    assert tokens(own) == []
    assert own.password not in shown


@pytest.mark.usefixtures("bare_shell")
@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (("login",), "like https://cvat.example.com: "),
        (("login", "cvat.invalid"), "Access token: "),
        (("login", "cvat.invalid", "-u", "ann"), "Password of ann at"),
    ],
)
def test_a_question_that_is_ended_ends_the_command_on_a_line_of_its_own(
    tmp_path: Path, arguments: tuple[str, ...], question: str, key: str
) -> None:
    shown = on_a_terminal(tmp_path, arguments, ((question, key),), code=130)
    assert shown.splitlines()[-1] == "Stopped."


@pytest.mark.usefixtures("bare_shell")
def test_no_address_is_no_empty_option(tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, ("login",), (("like https://cvat.example.com: ", ""),), code=2)
    assert "Error: no server is given. Give its address: asynccvat login" in shown


@pytest.mark.parametrize("line", ["insecure: true", "proxy: http://127.0.0.1:9"])
@pytest.mark.parametrize("arguments", [("login",), ("whoami", "-u", "ann"), ("init", "data")])
def test_nothing_is_asked_for_where_a_file_that_was_only_found_decides_who_can_read_it(
    bare_shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    line: str,
) -> None:
    (tmp_path / "server.yaml").write_text(f"url: https://cvat.invalid\n{line}\n", "utf-8")
    monkeypatch.setattr("asynccvat.cli.credentials.on_a_terminal", lambda: True)
    monkeypatch.setattr("asynccvat.cli.credentials.ask", lambda _: pytest.fail("asked"))
    monkeypatch.setattr("asynccvat.cli.credentials.ask_hidden", lambda _: pytest.fail("asked"))
    ended = bare_shell(*arguments)
    assert ended.code == 2
    assert "would decide who can read what is typed, and this file may come from" in ended.err


def test_a_login_from_variables_of_the_same_server_is_no_other_server(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_URL", f"{own.url}/tasks")
    give(monkeypatch, own.create_access_token())
    assert "wins over" not in bare_shell("login", "--token-stdin").err
    with serve_in_thread(SimulatorOptions(tasks=1)) as other:
        give(monkeypatch, other.create_access_token())
        ended = bare_shell("login", other.url, "--token-stdin")
    assert "warning: the environment's CVAT_URL wins over this login." in ended.err


def test_a_token_that_is_left_is_told_with_the_reason(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_password(bare_shell, own, monkeypatch, "--token-name", "mine")
    give(monkeypatch, "")
    assert bare_shell("logout").err == (
        "The access token 'mine' still works: to revoke it needs the password. If nothing else "
        f"uses it, revoke it at {own.url}/profile.\n"
    )


def test_a_user_with_too_many_tokens_is_told_so(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for _ in range(50):
        own.create_access_token()
    give(monkeypatch, own.password)
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin")
    assert ended.code == 2
    assert "cannot make an access token: " in ended.err
    assert "the maximum allowed number of Personal Access Tokens for a user" in ended.err
    assert not (tmp_path / "home" / "asynccvat").exists()


def test_a_login_warns_of_an_address_that_is_not_encrypted(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server stands in for the proxy: it is asked for absolute URLs.
    monkeypatch.setenv("HTTP_PROXY", own.url)
    give(monkeypatch, own.create_access_token())
    ended = bare_shell("login", "http://cvat.test", "--token-stdin")
    assert ended.err.startswith(
        "warning: http://cvat.test is not encrypted: anybody on the way can read the credentials."
    )


KEY = "gateway-key-1234567"
WANTED = {"X-Api-Key": KEY, "Proxy-Authorization": "Basic Ym9iOnByb3h5LXNlY3JldC0xMjM0NTY3"}


@pytest.mark.usefixtures("memory_keyring")
@pytest.mark.parametrize("store", ["file", "keyring"])
def test_after_a_login_commands_pass_the_gateway_before_the_server(
    bare_shell: Shell,
    own: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    store: str,
) -> None:
    with gateway(own.url, WANTED) as address:
        proxy = address.replace("://", "://bob:proxy-secret-1234567@")
        options = ("--header", f"X-Api-Key: {KEY}", "--proxy", proxy, "--store", store)
        give(monkeypatch, own.password)
        ended = bare_shell("login", "http://cvat.test", "-u", "admin", "--password-stdin", *options)
        assert ended.code == 0, ended.err
        assert "Kept with the token: the header X-Api-Key.\n" in ended.err
        assert f"Kept with the token: the proxy {address}.\n" in ended.err
        assert bare_shell("mirror", "data").code == 0
        assert (tmp_path / "data" / "task1").is_dir()
        (listed,) = bare_shell("whoami", "--all", "--json").json
        assert (listed["headers"], listed["proxy"]) == (["X-Api-Key"], address)
        kept = (tmp_path / "home" / "asynccvat" / "logins.json").read_text("utf-8")
        assert KEY not in kept
        assert "proxy-secret" not in kept
        assert bare_shell("whoami", "--header", "X-Api-Key: of-somebody-else").code != 0
        give(monkeypatch, own.password)
        ended = bare_shell("logout", "--password-stdin")
    assert ended.code == 0, ended.err
    assert "is revoked." in ended.err
    assert tokens(own) == []


def test_the_login_for_the_server_of_a_mirror_updates_it(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_password(bare_shell, own, monkeypatch)
    assert bare_shell("mirror", "data").code == 0
    with serve_in_thread(SimulatorOptions(tasks=1)) as other:
        with_password(bare_shell, other, monkeypatch)
        calls = len(other.calls)
        assert bare_shell("mirror", "data").code == 0
        assert bare_shell("diff", "data").code == 0
        assert len(other.calls) == calls


def test_a_gateway_without_the_call_for_tokens_makes_no_login_that_may_do_everything(
    bare_shell: Shell, own: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own.faults.add(Fault(path="/api/auth/access_tokens$", method="POST", status=404, times=None))
    give(monkeypatch, own.password)
    ended = bare_shell("login", own.url, "-u", "admin", "--password-stdin")
    assert ended.code == 2
    assert "has no such call (404), although it is CVAT 2.54.1. A gateway may not let" in ended.err
    assert not (tmp_path / "home" / "asynccvat").exists()

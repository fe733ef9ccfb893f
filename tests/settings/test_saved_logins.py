"""Saved logins: which one is used, where its token is kept, and which files are refused."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from keyrings import MemoryKeyring, memory_keyring
from msgspec.structs import replace
from settings_files import OTHER, URL, load, posix, write

from asynccvat.core.login_secrets import NO_GATEWAY, Gateway, LoginSecrets
from asynccvat.core.logins import SavedLogin, SavedLogins, TokenStore, fingerprint
from asynccvat.core.models import AccessToken
from asynccvat.errors import ConfigError
from asynccvat.settings import load_side, private_files
from asynccvat.settings.connection import ConnectionSettings
from asynccvat.settings.logins import LoginFiles, read_saved
from asynccvat.settings.private_files import write_private

if sys.platform != "win32":
    import fcntl

__all__ = ["memory_keyring"]

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> LoginFiles:
    return LoginFiles(tmp_path / "own" / "auth.json", tmp_path / "asynccvat" / "logins.json")


def saved(
    files: LoginFiles,
    name: str,
    url: str = URL,
    store: TokenStore = TokenStore.FILE,
    gateway: Gateway = NO_GATEWAY,
    **more: Any,
) -> SavedLogin:
    """Save a login whose token is the name's own."""
    login = SavedLogin(
        name=name,
        url=url,
        username="ann",
        store=store,
        fingerprint=fingerprint(f"token.of-{name}"),
        saved=NOW,
        **more,
    )
    files.save(lambda _: login, LoginSecrets(f"token.of-{name}", gateway))
    return login


def loaded(directory: Path, files: LoginFiles, **options: Any) -> tuple[str, str | None]:
    settings = load(directory, profiles=files.profiles, logins=files.logins, **options)
    return settings.url, settings.token


def test_the_latest_login_gives_server_and_token(tmp_path: Path, files: LoginFiles) -> None:
    saved(files, "lab")
    saved(files, "plant", OTHER)
    assert loaded(tmp_path, files) == (OTHER, "token.of-plant")
    assert loaded(tmp_path, files, profile="lab") == (URL, "token.of-lab")
    assert loaded(tmp_path, files, url=URL) == (URL, "token.of-lab")


def test_the_default_of_cvat_s_tools_stays_and_counts_without_a_login(
    tmp_path: Path, files: LoginFiles
) -> None:
    saved(files, "lab")
    login = saved(files, "plant", OTHER)
    document = json.loads(files.profiles.read_text("utf-8"))
    assert document["default_profile"] == "lab"
    files.remove(login)
    assert loaded(tmp_path, files) == (URL, "token.of-lab")


def test_options_environment_and_file_win_over_a_login(tmp_path: Path, files: LoginFiles) -> None:
    saved(files, "lab")
    assert loaded(tmp_path, files, token="flag", url=OTHER) == (OTHER, "flag")
    environment = {"CVAT_ACCESS_TOKEN": "variable"}
    assert loaded(tmp_path, files, environment=environment) == (URL, "variable")
    write(tmp_path, f"url: {OTHER}\ntoken: of-file")
    assert loaded(tmp_path, files) == (OTHER, "of-file")
    assert loaded(tmp_path, files, profile="lab") == (URL, "token.of-lab")


def test_a_server_without_a_login_gets_no_token(tmp_path: Path, files: LoginFiles) -> None:
    saved(files, "lab")
    assert loaded(tmp_path, files, url=OTHER) == (OTHER, None)


def test_logins_can_be_left_out(tmp_path: Path, files: LoginFiles) -> None:
    saved(files, "lab")
    with pytest.raises(ConfigError, match="no server is given"):
        loaded(tmp_path, files, saved=False)


def test_a_login_gives_organization_and_certificates_for_its_server_only(
    tmp_path: Path, files: LoginFiles
) -> None:
    saved(files, "lab", organization="street-lab", ca_bundle="/ca.pem", client_cert="/own.pem")
    saved(files, "plant", OTHER, insecure=True)
    places = {"profiles": files.profiles, "logins": files.logins}
    settings = load(tmp_path, profile="lab", **places)
    assert (settings.organization, settings.verify) == ("street-lab", Path("/ca.pem"))
    assert settings.connection.client_cert == Path("/own.pem")
    chosen = {"CVAT_ORGANIZATION": "other"}
    assert load(tmp_path, profile="lab", environment=chosen, **places).organization == "other"
    settings = load(tmp_path, **places)
    assert (settings.url, settings.organization, settings.verify) == (OTHER, None, False)
    assert load(tmp_path, url=URL, **places).verify == Path("/ca.pem")


def test_a_token_that_expires_soon_is_told_only_if_it_is_used(
    tmp_path: Path, files: LoginFiles
) -> None:
    soon = AccessToken(id=7, expiry_date=datetime.now(UTC) + timedelta(days=2))
    saved(files, "lab", token=soon)
    places = {"profiles": files.profiles, "logins": files.logins}
    (warning,) = load(tmp_path, **places).warnings
    assert warning.startswith("the access token of the login 'lab' expires on ")
    assert load(tmp_path, url=URL, token="other", **places).warnings == ()
    assert load(tmp_path, url=OTHER, **places).warnings == ()


GATEWAY = Gateway(headers={"X-Key": "hidden-1", "X-B": "hidden-2"}, proxy="http://me:hi-3@proxy:1")


@pytest.mark.parametrize("store", TokenStore)
def test_a_login_gives_headers_and_proxy_for_its_server_only(
    tmp_path: Path, files: LoginFiles, memory_keyring: MemoryKeyring, store: TokenStore
) -> None:
    saved(files, "lab", store=store, gateway=GATEWAY)
    saved(files, "plant", OTHER, store=store)
    places = {"profiles": files.profiles, "logins": files.logins}
    for chosen in ({"profile": "lab"}, {"url": URL}):
        connection = load(tmp_path, **places, **chosen).connection
        assert dict(connection.headers) == GATEWAY.headers
        assert connection.proxy is not None
        assert connection.proxy.address == GATEWAY.proxy
    side = load_side("lab", "--from", profiles=files.profiles, logins=files.logins)
    assert (side.token, dict(side.connection.headers)) == ("token.of-lab", GATEWAY.headers)
    for other in ({}, {"profile": "plant"}, {"url": OTHER}, {"url": OTHER, "token": "x"}):
        assert load(tmp_path, **places, **other).connection == ConnectionSettings()
    # What is left of a login that replaces it without a gateway?
    saved(files, "lab", store=store)
    assert load(tmp_path, profile="lab", **places).connection == ConnectionSettings()
    everything = files.profiles.read_text("utf-8") if files.profiles.exists() else ""
    assert "hidden" not in f"{everything}{memory_keyring.entries}"


@pytest.mark.usefixtures("memory_keyring")
@pytest.mark.parametrize("store", TokenStore)
def test_options_and_variables_win_over_what_a_gateway_wanted_at_the_login(
    tmp_path: Path, files: LoginFiles, store: TokenStore
) -> None:
    saved(files, "lab", store=store, gateway=GATEWAY)
    places = {"profiles": files.profiles, "logins": files.logins}
    own = {"headers": ["X-Other: hidden-4"], "proxy": "http://own:2"}
    for chosen in ({}, {"profile": "lab"}):
        connection = load(tmp_path, **places, **chosen, **own).connection
        assert dict(connection.headers) == {"X-Other": "hidden-4"}
        assert connection.proxy is not None
        assert connection.proxy.host == "own"
    environment = {"CVAT_HEADERS": "X-Env: hidden-5"}
    connection = load(tmp_path, environment=environment, **places).connection
    assert dict(connection.headers) == {"X-Env": "hidden-5"}
    # The variable may be for another server than the login that an option names.
    connection = load(tmp_path, environment=environment, profile="lab", **places).connection
    assert dict(connection.headers) == GATEWAY.headers


def test_a_file_that_was_only_found_uses_the_proxy_of_a_login_and_no_other(
    tmp_path: Path, files: LoginFiles
) -> None:
    saved(files, "lab", gateway=GATEWAY)
    places = {"profiles": files.profiles, "logins": files.logins}
    write(tmp_path, f"url: {URL}\n")
    connection = load(tmp_path, **places).connection
    assert (connection.proxy is not None, dict(connection.headers)) == (True, GATEWAY.headers)
    write(tmp_path, f"url: {URL}\nproxy: http://elsewhere\n")
    with pytest.raises(ConfigError, match="`proxy` would decide who can read the headers of the l"):
        load(tmp_path, **places)
    write(tmp_path, f"url: {OTHER}\n")
    assert load(tmp_path, **places).connection == ConnectionSettings()


def test_no_list_of_logins_holds_what_a_gateway_wants(files: LoginFiles) -> None:
    names = tuple(GATEWAY.headers)
    login = saved(files, "lab", gateway=GATEWAY, headers=names, proxy="http://proxy:1")
    assert files.logins is not None
    text = files.logins.read_text("utf-8") + repr(files.read())
    assert "X-Key" in text
    assert "hi" not in text.replace("this", "")
    assert files.read().logins == (login,)


def test_a_gateway_that_was_damaged_by_hand_is_named(tmp_path: Path, files: LoginFiles) -> None:
    saved(files, "lab", gateway=GATEWAY)
    text = files.profiles.read_text("utf-8")
    files.profiles.write_text(text.replace('"http://me:hi-3@proxy:1"', "7"), "utf-8")
    with pytest.raises(ConfigError, match="headers or the proxy of the profile 'lab' are damaged"):
        loaded(tmp_path, files)


def test_a_profile_that_cvat_s_tools_replaced_is_no_login_any_more(
    tmp_path: Path, files: LoginFiles
) -> None:
    login = saved(files, "lab", organization="street-lab")
    document = json.loads(files.profiles.read_text("utf-8"))
    document["profiles"]["lab"]["token"] = "another.token"
    files.profiles.write_text(json.dumps(document), "utf-8")
    assert read_saved(files).saved["lab"].login is None
    assert loaded(tmp_path, files) == (URL, "another.token")
    files.remove(login)
    assert loaded(tmp_path, files) == (URL, "another.token")
    assert files.read().logins == ()


@posix
def test_files_of_logins_are_for_their_user_alone(files: LoginFiles) -> None:
    saved(files, "lab")
    assert files.logins is not None
    for path in (files.logins, files.profiles):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {other.name for other in path.parent.iterdir()} <= {path.name, "logins.lock"}
    files.logins.chmod(0o644)
    with pytest.raises(ConfigError, match=r"logins\.json' has permissions 644 instead of 600"):
        files.read()


@posix
def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(files: LoginFiles) -> None:
    files.profiles.parent.mkdir(mode=0o700)
    files.profiles.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"auth\.json' is not a file\. Move it away"):
        saved(files, "lab")
    assert files.logins is not None
    assert files.read().logins == ()
    with pytest.raises(ConfigError, match="cannot be written: "):
        write_private(files.logins / "below", b"{}")


# Several programs at once


def test_logins_that_are_saved_at_once_all_stay(files: LoginFiles) -> None:
    names = [f"lab-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as threads:
        logins = list(threads.map(lambda name: saved(files, name), names))
    assert sorted(login.name for login in files.read().logins) == names
    assert set(read_saved(files).saved) == set(names)
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(files.remove, logins[1:]))
    assert files.read().logins == (logins[0],)


@posix
def test_a_login_knows_what_another_program_saved_just_before_it(files: LoginFiles) -> None:
    login = saved(files, "lab")
    late = threading.Thread(target=saved, args=(files, "plant"))

    def login_for(known: SavedLogins) -> SavedLogin:
        late.start()
        assert files.logins is not None
        lock = files.logins.with_suffix(".lock")
        with lock.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return replace(known.logins[0], username="bob")

    assert files.save(login_for, LoginSecrets("token.of-lab")).before == login
    late.join()
    assert [(one.name, one.username) for one in files.read().logins] == [
        ("lab", "bob"),
        ("plant", "ann"),
    ]


def test_a_logout_keeps_the_login_that_replaced_what_it_ends(
    tmp_path: Path, files: LoginFiles
) -> None:
    ended = saved(files, "lab")
    files.save(
        lambda _: replace(ended, fingerprint=fingerprint("token.new")), LoginSecrets("token.new")
    )
    files.remove(ended)
    assert loaded(tmp_path, files) == (URL, "token.new")


@posix
def test_a_program_that_changes_logins_for_ever_is_told_of(
    files: LoginFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.logins is not None
    monkeypatch.setattr(private_files, "LOCK_SECONDS", 0.0)
    cannot = pytest.raises(ConfigError, match=r"logins\.json' cannot be changed: another program")
    with private_files.locked(files.logins), cannot:
        saved(files, "lab")
    saved(files, "lab")


@posix
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_logins(
    tmp_path: Path, files: LoginFiles, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    saved(files, "lab")
    assert loaded(tmp_path, files) == (URL, "token.of-lab")


# The keyring


def test_a_token_in_the_keyring_is_in_no_file(
    tmp_path: Path, files: LoginFiles, memory_keyring: MemoryKeyring
) -> None:
    login = saved(files, "lab", store=TokenStore.KEYRING)
    assert memory_keyring.entries == {(f"asynccvat {URL}", "lab"): "token.of-lab"}
    assert not files.profiles.exists()
    assert loaded(tmp_path, files) == (URL, "token.of-lab")
    files.remove(login)
    assert memory_keyring.entries == {}
    with pytest.raises(ConfigError, match="no server is given"):
        loaded(tmp_path, files)


def test_a_login_that_moves_to_another_store_leaves_no_token_behind(
    files: LoginFiles, memory_keyring: MemoryKeyring
) -> None:
    saved(files, "lab")
    saved(files, "lab", store=TokenStore.KEYRING)
    assert json.loads(files.profiles.read_text("utf-8"))["profiles"] == {}
    saved(files, "lab")
    assert memory_keyring.entries == {}


def test_a_keyring_that_stays_locked_is_no_obstacle_to_a_login_in_the_file(
    tmp_path: Path, files: LoginFiles, memory_keyring: MemoryKeyring
) -> None:
    saved(files, "lab", store=TokenStore.KEYRING)
    memory_keyring.locked = True
    saved(files, "lab")
    assert loaded(tmp_path, files) == (URL, "token.of-lab")


@pytest.mark.usefixtures("memory_keyring")
def test_a_changed_list_sends_no_token_of_the_keyring_elsewhere(
    tmp_path: Path, files: LoginFiles
) -> None:
    saved(files, "lab", store=TokenStore.KEYRING)
    assert files.logins is not None
    text = files.logins.read_text("utf-8")
    files.logins.write_text(text.replace(URL, OTHER), "utf-8")
    with pytest.raises(ConfigError, match=f"no token for the login 'lab' at {OTHER}. Run: asyncc"):
        loaded(tmp_path, files)


def test_a_locked_keyring_is_said_where_its_token_is_needed(
    tmp_path: Path, files: LoginFiles, memory_keyring: MemoryKeyring
) -> None:
    saved(files, "lab", store=TokenStore.KEYRING)
    memory_keyring.locked = True
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, files)
    assert raised.value.message == (
        "cannot read the system's keyring: Failed to unlock the collection. Unlock it, or log in "
        "with `asynccvat login --store file`, which keeps the token in a file."
    )
    assert loaded(tmp_path, files, url=URL, token="other") == (URL, "other")


@pytest.mark.usefixtures("memory_keyring")
def test_a_side_of_a_copy_may_be_a_login_in_the_keyring(files: LoginFiles) -> None:
    saved(files, "lab", store=TokenStore.KEYRING, organization="street-lab")
    side = load_side("lab", "--from", profiles=files.profiles, logins=files.logins)
    assert (side.url, side.token, side.organization) == (URL, "token.of-lab", "street-lab")


def test_a_token_that_cannot_be_kept_changes_nothing(
    files: LoginFiles, memory_keyring: MemoryKeyring
) -> None:
    saved(files, "lab", store=TokenStore.KEYRING)
    before = files.read(), dict(memory_keyring.entries)
    memory_keyring.full = True
    with pytest.raises(ConfigError, match="cannot write the system's keyring: no room"):
        saved(files, "plant", OTHER, store=TokenStore.KEYRING)
    assert (files.read(), memory_keyring.entries) == before

"""Settings that belong to a destination: its own file, and the login for its server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from settings_files import OTHER, URL, load, write

from asynccvat.core.login_secrets import LoginSecrets
from asynccvat.core.logins import SavedLogin, TokenStore, fingerprint
from asynccvat.core.settings_text import SettingsChoices
from asynccvat.errors import ConfigError
from asynccvat.settings.destinations import recorded_server, write_settings_file
from asynccvat.settings.logins import LoginFiles


@pytest.fixture
def files(tmp_path: Path) -> LoginFiles:
    return LoginFiles(tmp_path / "own" / "auth.json", tmp_path / "asynccvat" / "logins.json")


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "data"


def log_in(files: LoginFiles, name: str, url: str, organization: str | None = None) -> None:
    token = f"token.of-{name}"
    login = SavedLogin(
        name=name,
        url=url,
        username="ann",
        store=TokenStore.FILE,
        fingerprint=fingerprint(token),
        organization=organization,
        saved=datetime(2026, 11, 30, tzinfo=UTC),
    )
    files.save(lambda _: login, LoginSecrets(token))


def record(destination: Path, content: object) -> None:
    folder = destination / ".asynccvat"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "destination.json").write_text(json.dumps(content), "utf-8")


def used(tmp_path: Path, files: LoginFiles, destination: Path, **more: object) -> str | None:
    settings = load(
        tmp_path, profiles=files.profiles, logins=files.logins, destination=destination, **more
    )
    return settings.token


def test_a_destination_gets_the_login_for_its_server(
    tmp_path: Path, files: LoginFiles, destination: Path
) -> None:
    log_in(files, "lab", URL)
    log_in(files, "plant", OTHER)
    assert used(tmp_path, files, destination) == "token.of-plant"
    record(destination, {"origin": URL})
    assert used(tmp_path, files, destination) == "token.of-lab"
    assert used(tmp_path, files, destination, url=OTHER) == "token.of-plant"
    assert used(tmp_path, files, destination, profile="plant") == "token.of-plant"


def test_of_several_logins_for_its_server_that_of_its_organization_is_meant(
    tmp_path: Path, files: LoginFiles, destination: Path
) -> None:
    log_in(files, "all", URL)
    log_in(files, "street", URL, "street-lab")
    log_in(files, "plant", OTHER)
    record(destination, {"origin": URL, "organization": "street-lab"})
    assert used(tmp_path, files, destination) == "token.of-street"
    record(destination, {"origin": URL, "organization": None})
    assert used(tmp_path, files, destination) == "token.of-all"
    log_in(files, "all-2", URL)
    assert used(tmp_path, files, destination) == "token.of-all-2"  # the default one
    log_in(files, "plant", OTHER)
    assert used(tmp_path, files, destination) == "token.of-plant"  # none is clearly meant


@pytest.mark.parametrize("content", [[], {}, {"origin": 5}, "x"])
def test_a_destination_that_says_nothing_readable_changes_nothing(
    tmp_path: Path, files: LoginFiles, destination: Path, content: object
) -> None:
    log_in(files, "plant", OTHER)
    record(destination, content)
    assert recorded_server(destination) is None
    assert used(tmp_path, files, destination) == "token.of-plant"
    (destination / ".asynccvat" / "destination.json").write_bytes(b"\xff")
    assert recorded_server(destination) is None


def test_a_destination_s_own_file_goes_before_that_of_the_working_directory(
    tmp_path: Path, files: LoginFiles, destination: Path
) -> None:
    write(tmp_path, f"url: {OTHER}\nproject_id: 3")
    write_settings_file(destination, SettingsChoices(url=URL, project_id=5), "data")
    log_in(files, "lab", URL)
    settings = load(tmp_path, profiles=files.profiles, logins=files.logins, destination=destination)
    assert (settings.url, settings.token, settings.project_id) == (URL, "token.of-lab", 5)
    assert load(tmp_path, profiles=files.profiles).project_id == 3


def test_a_destination_s_own_file_gets_no_secret_of_another_place(
    tmp_path: Path, files: LoginFiles, destination: Path
) -> None:
    write_settings_file(destination, SettingsChoices(url=URL), "data")
    with pytest.raises(ConfigError, match="refusing to send the token of the environment's CVAT"):
        used(tmp_path, files, destination, environment={"CVAT_ACCESS_TOKEN": "a.secret"})


def test_a_settings_file_is_never_replaced(destination: Path) -> None:
    path = write_settings_file(destination, SettingsChoices(url=URL), "data")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"server\.yaml' is there already\. Edit it, or remove"):
        write_settings_file(destination, SettingsChoices(url=OTHER), "data")
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot be written: Not a directory"):
        write_settings_file(path / "below", SettingsChoices(url=URL), "data")


@pytest.mark.parametrize("line", ["insecure: true", "ca_bundle: /other.pem", "proxy: http://p:1"])
def test_a_file_that_is_only_found_decides_not_who_reads_a_login_s_token(
    tmp_path: Path, files: LoginFiles, destination: Path, line: str
) -> None:
    log_in(files, "lab", URL)
    path = write(tmp_path, f"url: {URL}\n{line}", "data/server.yaml")
    key = line.partition(":")[0]
    with pytest.raises(ConfigError) as raised:
        used(tmp_path, files, destination)
    assert raised.value.message.startswith(
        f"{path}, line 2: `{key}` would decide who can read the token of the login 'lab' in "
    )
    assert used(tmp_path, files, destination, config=path) == "token.of-lab"
    variables = {"CVAT_URL": URL, "CVAT_ACCESS_TOKEN": "a.secret"}
    with pytest.raises(ConfigError, match=f"`{key}` would decide who can read the token of the en"):
        used(tmp_path, files, destination, environment=variables)
    write(tmp_path, f"url: {URL}\ntoken: own\n{line}", "data/server.yaml")
    assert used(tmp_path, files, destination) == "own"


def test_a_file_may_say_of_certificates_what_the_login_says(
    tmp_path: Path, files: LoginFiles, destination: Path
) -> None:
    token = "token.of-lab"
    login = SavedLogin(
        name="lab",
        url=URL,
        username="ann",
        store=TokenStore.FILE,
        fingerprint=fingerprint(token),
        ca_bundle="/own.pem",
        saved=datetime(2026, 11, 30, tzinfo=UTC),
    )
    files.save(lambda _: login, LoginSecrets(token))
    write_settings_file(destination, SettingsChoices(url=URL, ca_bundle="/own.pem"), "data")
    assert used(tmp_path, files, destination) == token

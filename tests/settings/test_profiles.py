"""The profiles of CVAT's own tools: which one is used, and which files are refused."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from settings_files import OTHER, URL, load, make_default, posix, said, save_profiles, write

from asynccvat.errors import ConfigError
from asynccvat.settings import Settings


def test_the_default_profile_gives_server_and_token_if_nothing_else_does(
    tmp_path: Path,
) -> None:
    path = save_profiles(tmp_path, lab=URL, plant=OTHER)
    with pytest.raises(ConfigError, match="no server is given"):
        load(tmp_path)
    make_default(path, default_profile="plant")
    assert load(tmp_path) == Settings(url=OTHER, token="token-of-plant")
    write(tmp_path, "organization: lab\nproject_id: 3")
    settings = load(tmp_path)
    assert (settings.url, settings.token) == (OTHER, "token-of-plant")
    assert (settings.organization, settings.project_id) == ("lab", 3)


@pytest.mark.parametrize(
    ("flags", "environment", "file", "expected"),
    [
        ({"url": URL}, {}, "", (URL, "token-of-lab")),
        ({}, {"CVAT_URL": URL}, "", (URL, "token-of-lab")),
        ({}, {}, f"url: {URL}", (URL, "token-of-lab")),
        ({"url": URL, "token": "flag"}, {}, "", (URL, "flag")),
        ({}, {"CVAT_URL": URL, "CVAT_ACCESS_TOKEN": "env"}, "", (URL, "env")),
        ({}, {}, f"url: {URL}\ntoken: file", (URL, "file")),
        ({"url": URL, "username": "ann"}, {}, "", (URL, None)),
        # A password alone does not identify the user.
        ({"url": URL}, {"CVAT_PASSWORD": "leftover"}, "", (URL, "token-of-lab")),
    ],
)
def test_options_environment_and_file_win_over_profiles(
    tmp_path: Path,
    flags: dict[str, str],
    environment: dict[str, str],
    file: str,
    expected: tuple[str, str | None],
) -> None:
    make_default(save_profiles(tmp_path, lab=URL, plant=OTHER), default_profile="plant")
    write(tmp_path, file)
    settings = load(tmp_path, environment=environment, **flags)
    assert (settings.url, settings.token) == expected


@pytest.mark.parametrize("own", [OTHER, "http://cvat.example.com", "https://cvat.example.com:8443"])
def test_a_profile_s_token_is_for_its_own_server_only(tmp_path: Path, own: str) -> None:
    make_default(save_profiles(tmp_path, lab=own), default_profile="lab")
    assert load(tmp_path, url=URL) == Settings(url=URL)


@pytest.mark.parametrize("own", ["https://CVAT.example.com:443/", "cvat.example.com"])
def test_a_profile_is_found_by_any_spelling_of_its_server(tmp_path: Path, own: str) -> None:
    save_profiles(tmp_path, lab=own)
    assert load(tmp_path, url=URL) == Settings(url=URL, token="token-of-lab")


def test_an_unreadable_url_is_an_error_and_gets_no_token_of_a_profile(
    tmp_path: Path,
) -> None:
    save_profiles(tmp_path, lab=URL)
    with pytest.raises(ConfigError, match=r"^--url: the server URL 'ftp://cvat' does not start"):
        load(tmp_path, url="ftp://cvat")


def test_several_profiles_for_a_server_need_a_default_or_a_name(
    tmp_path: Path,
) -> None:
    path = save_profiles(tmp_path, ann=URL, bob=URL, plant=OTHER)
    make_default(path, default_profile="plant")
    with pytest.raises(ConfigError, match=r"'ann' and 'bob' are for .*--profile"):
        load(tmp_path, url=URL)
    make_default(path, default_profile="bob")
    assert load(tmp_path, url=URL).token == "token-of-bob"


def test_a_named_profile_wins_over_environment_and_file(tmp_path: Path) -> None:
    save_profiles(tmp_path, lab=URL, plant=OTHER)
    write(tmp_path, "url: https://file\ntoken: file\norganization: field")
    environment = {"CVAT_URL": "https://env", "CVAT_USERNAME": "env", "CVAT_PASSWORD": "env"}
    settings = load(tmp_path, profile="plant", environment=environment)
    assert (settings.url, settings.username, settings.password) == (OTHER, None, None)
    assert (settings.token, settings.organization) == ("token-of-plant", "field")


@pytest.mark.parametrize("flag", ["url", "username", "password", "token"])
def test_a_named_profile_excludes_another_server_or_credentials(tmp_path: Path, flag: str) -> None:
    save_profiles(tmp_path, lab=URL)
    with pytest.raises(ConfigError, match=rf"^--profile gives .* excludes --{flag}\. Remove"):
        load(tmp_path, profile="lab", **{flag: URL})


def test_an_unknown_profile_is_an_error_that_names_the_saved_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no saved login or profile 'lab'\. Save one with `asynccvat lo"
    ):
        load(tmp_path, profile="lab")
    save_profiles(tmp_path, plant=URL, quarry=URL)
    with pytest.raises(ConfigError, match=r"no saved login or profile 'planet'\. Did you mean 'pl"):
        load(tmp_path, profile="planet")
    with pytest.raises(ConfigError, match=r"profile 'zzz'\. Choose from 'plant', 'quarry'"):
        load(tmp_path, profile="zzz")
    with pytest.raises(ConfigError, match=r"--profile is empty"):
        load(tmp_path, profile="")


def test_credentials_without_a_server_use_the_default_server_of_cvats_tools(
    tmp_path: Path,
) -> None:
    path = save_profiles(tmp_path, lab=OTHER)
    make_default(path, default_server="cvat.example.com", default_profile="lab")
    settings = load(tmp_path, username="ann", password="secret")
    assert settings == Settings(url=URL, username="ann", password="secret")
    make_default(path, default_profile="deleted")
    assert load(tmp_path) == Settings(url=URL)
    make_default(path, default_server="ftp://x")
    with pytest.raises(ConfigError, match=r"auth\.json, default_server: the server URL 'ftp://x'"):
        load(tmp_path)


def test_the_file_of_profiles_is_read_only_if_needed(tmp_path: Path) -> None:
    save_profiles(tmp_path, document="broken")
    assert load(tmp_path, url=URL, token="t").token == "t"
    with pytest.raises(ConfigError, match="CVAT's tools did not write this"):
        load(tmp_path, url=URL)


@posix
@pytest.mark.parametrize(
    ("folder", "file", "message"),
    [
        (0o755, 0o600, r"the folder '.*own' has permissions 755 instead of 700. Run: chmod 700 '"),
        (
            0o700,
            0o644,
            r"the file '.*auth\.json' has permissions 644 instead of 600. Run: chmod 600",
        ),
        (0o700, 0o400, r"the file '.*auth\.json' has permissions 400 instead of 600"),
    ],
)
def test_profiles_that_others_may_read_or_write_are_refused(
    tmp_path: Path, folder: int, file: int, message: str
) -> None:
    path = save_profiles(tmp_path, lab=URL)
    path.chmod(file)
    path.parent.chmod(folder)
    with pytest.raises(ConfigError, match=f"^refusing to use .*auth\\.json': {message}"):
        load(tmp_path, url=URL)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], r"CVAT's tools did not write this"),
        ({"profiles": {}}, r"there is no 'version'\. Save the profiles again"),
        ({"version": 2}, r"has version 2, but asynccvat reads version 1"),
        ({"version": 1, "profiles": []}, r"'profiles' is not an object"),
        ({"version": 1, "profiles": {"lab": "hidden"}}, r"the profile 'lab' has no server"),
        (
            {"version": 1, "profiles": {"lab": {"server": URL, "token": ""}}},
            r"the profile 'lab' has no token. Save it again with `cvat-cli profile create --force",
        ),
    ],
)
def test_profiles_that_cvats_tools_did_not_write_are_an_error(
    tmp_path: Path, document: object, message: str
) -> None:
    save_profiles(tmp_path, document)
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, url=URL)
    assert str(tmp_path / "own" / "auth.json") in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_unreadable_file_of_profiles_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = save_profiles(tmp_path, lab=URL)
    path.write_text('{"version": 1,\n "token": "hidden}', "utf-8")
    with pytest.raises(ConfigError, match=r"auth\.json, line 2: this is not JSON") as caught:
        load(tmp_path)
    assert "hidden" not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"auth\.json: this is not a text file"):
        load(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match=r"auth\.json' is not a file"):
        load(tmp_path)


def test_a_file_of_profiles_without_permission_to_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_profiles(tmp_path, lab=URL)
    read = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self)

    # A mode would not stop root, as which the tests may run.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match=r"auth\.json' cannot be read: Permission denied"):
        load(tmp_path)


def test_profiles_in_a_closed_folder_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_profiles(tmp_path, lab=URL)
    look = Path.stat

    def refuse(self: Path, **options: Any) -> os.stat_result:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return look(self, **options)

    # As it is for cron or sudo where HOME is another user's.
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(
        ConfigError, match=r"auth\.json' cannot be read: Permission denied\. .*HOME"
    ):
        load(tmp_path)
    assert load(tmp_path, url=URL, token="t").token == "t"


def test_a_profile_for_the_server_of_the_work_is_used(tmp_path: Path) -> None:
    path = save_profiles(tmp_path, lab=URL, other=OTHER)
    make_default(path, default_profile="other")
    assert load(tmp_path, named=said(url=URL)).token == "token-of-lab"


@pytest.mark.skipif(importlib.util.find_spec("cvat_sdk") is None, reason="cvat-sdk is absent")
def test_profiles_are_read_from_the_file_of_cvats_own_tools(tmp_path: Path) -> None:
    # In another process, because importing the SDK warns.
    script = (
        "from cvat_sdk.core.auth import AuthStore, ProfileEntry\n"
        "store = AuthStore()\n"
        f"store.put_profile('lab', ProfileEntry({URL!r}, 'secret', '2026-11-23T11:42:53Z'))\n"
        f"store.put_profile('plant', ProfileEntry({OTHER!r}, 'other', ''))\n"
        "print(store.path)\n"
    )
    home = tmp_path / "home"
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    saved = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    path = Path(saved.stdout.strip())
    before = path.read_bytes()
    asked = "from asynccvat.settings.profiles import profiles_path; print(profiles_path())"
    ours = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True
    )
    assert ours.stdout == saved.stdout
    # The first that is saved becomes the default.
    assert load(tmp_path, profiles=path) == Settings(url=URL, token="secret")
    assert load(tmp_path, profiles=path, profile="plant") == Settings(url=OTHER, token="other")
    assert path.read_bytes() == before

"""The places of settings, which of them win, and how each mistake is named."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.errors import ConfigError
from asynccvat.settings import Settings, load_settings
from asynccvat.settings.values import SettingValue

URL = "https://cvat.example.com"
OTHER = "https://other.example.com"

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


def load(directory: Path, **options: Any) -> Settings:
    options.setdefault("environment", {})
    options.setdefault("profiles", directory / "own" / "auth.json")
    return load_settings(directory=directory, **options)


def write(directory: Path, text: str, name: str = "server.yaml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def save_profiles(directory: Path, document: object = None, **profiles: str) -> Path:
    """An auth.json as CVAT's tools write it: names and servers; each token is the name's own."""
    path = directory / "own" / "auth.json"
    path.parent.mkdir(mode=0o700)
    if document is None:
        document = {
            "version": 1,
            "profiles": {
                name: {"server": server, "token": f"token-of-{name}", "created_date": ""}
                for name, server in profiles.items()
            },
        }
    path.write_text(json.dumps(document), "utf-8")
    path.chmod(0o600)
    return path


def make_default(path: Path, **entries: str) -> None:
    """Set `default_profile` or `default_server`."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | entries), "utf-8")


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "url: https://file\nusername: file\npassword: file\norganization: file\n")
    settings = load(
        tmp_path,
        url="https://flag",
        environment={"CVAT_URL": "https://env", "CVAT_USERNAME": "env"},
    )
    assert settings.url == "https://flag"
    assert settings.username == "env"
    assert settings.password == "file"
    assert settings.organization == "file"


def said(**settings: str) -> dict[str, SettingValue]:
    """What a piece of work says of its server."""
    return {name: SettingValue(text, f"steps.yaml, {name}") for name, text in settings.items()}


def test_settings_of_the_work_win_over_the_environment_and_options_over_both(
    tmp_path: Path,
) -> None:
    environment = {"CVAT_USERNAME": "env", "CVAT_PASSWORD": "env", "CVAT_PROJECT_ID": "5"}
    named = said(url=URL, username="work")
    settings = load(tmp_path, named=named, environment=environment)
    assert (settings.url, settings.username, settings.password) == (URL, "work", "env")
    assert settings.project_id == 5
    assert load(tmp_path, named=named, username="flag", password="x").username == "flag"


def test_no_secret_is_sent_to_another_server_than_its_own(tmp_path: Path) -> None:
    write(tmp_path, f"url: {OTHER}\ntoken: of-other\norganization: lab\ninsecure: true\n")
    settings = load(
        tmp_path,
        named=said(url=URL),
        environment={"CVAT_URL": OTHER, "CVAT_USERNAME": "env", "CVAT_PASSWORD": "env"},
    )
    assert (settings.url, settings.username, settings.password) == (URL, None, None)
    assert (settings.token, settings.organization, settings.verify) == (None, None, True)
    # What names the same server, or none, counts.
    settings = load(tmp_path, named=said(url=f"{OTHER}/"), environment={"CVAT_ORGANIZATION": "env"})
    assert (settings.token, settings.organization) == ("of-other", "env")
    # And what the work says is for its own server alone.
    settings = load(tmp_path, named=said(url=URL, token="work"), url="https://flag", token=None)
    assert (settings.url, settings.token) == ("https://flag", None)


def test_settings_of_the_work_without_a_server_are_combined(tmp_path: Path) -> None:
    write(tmp_path, f"url: {OTHER}\ntoken: of-other\n")
    settings = load(tmp_path, named=said(project_id="7"), environment={"CVAT_URL": URL})
    assert (settings.url, settings.project_id) == (URL, 7)


def test_a_profile_for_the_server_of_the_work_is_used(tmp_path: Path) -> None:
    path = save_profiles(tmp_path, lab=URL, other=OTHER)
    make_default(path, default_profile="other")
    assert load(tmp_path, named=said(url=URL)).token == "token-of-lab"


def test_every_variable_of_the_environment_is_read(tmp_path: Path) -> None:
    environment = {
        "CVAT_URL": URL,
        "CVAT_USERNAME": "alice",
        "CVAT_PASSWORD": "secret",
        "CVAT_ORGANIZATION": "lab",
        "CVAT_PROJECT_ID": "5",
    }
    assert load(tmp_path, environment=environment) == Settings(
        url=URL, username="alice", password="secret", organization="lab", project_id=5
    )
    environment = {"CVAT_URL": URL, "CVAT_ACCESS_TOKEN": "token"}
    assert load(tmp_path, environment=environment) == Settings(url=URL, token="token")


def test_the_process_s_own_environment_and_folder_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CVAT_USERNAME", "CVAT_PASSWORD", "CVAT_ACCESS_TOKEN", "CVAT_SERVER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CVAT_URL", URL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_path", lambda name, *_: tmp_path / name)
    own = tmp_path / "cvat-sdk" / "auth.json"
    save_profiles(tmp_path, lab=URL).parent.rename(own.parent)
    write(tmp_path, "project_id: 3\norganization: lab")
    settings = load_settings()
    assert (settings.url, settings.project_id, settings.organization) == (URL, 3, "lab")
    assert settings.token == "token-of-lab"


def test_empty_variables_count_as_unset(tmp_path: Path) -> None:
    write(tmp_path, f"url: {URL}")
    environment = {"CVAT_URL": "", "CVAT_PROJECT_ID": "", "CVAT_SERVER_CONFIG": ""}
    assert load(tmp_path, environment=environment).url == URL


def test_the_file_is_named_by_option_then_environment_then_default(tmp_path: Path) -> None:
    flag = write(tmp_path, "url: https://flag", "flag.yaml")
    variable = write(tmp_path, "url: https://env", "env.yaml")
    environment = {"CVAT_SERVER_CONFIG": str(variable)}
    write(tmp_path, "url: https://config", "config/server.yaml")
    write(tmp_path, "url: https://here")
    assert load(tmp_path, config=flag, environment=environment).url == "https://flag"
    assert load(tmp_path, environment=environment).url == "https://env"
    assert load(tmp_path).url == "https://config"
    (tmp_path / "config/server.yaml").unlink()
    assert load(tmp_path).url == "https://here"


def test_values_of_the_file_stay_the_text_that_was_written(tmp_path: Path) -> None:
    write(tmp_path, f"url: {URL}\nusername: 007\npassword: yes\nproject_id: 012\n")
    settings = load(tmp_path)
    assert (settings.username, settings.password, settings.project_id) == ("007", "yes", 12)


def test_keys_without_a_value_are_not_set(tmp_path: Path) -> None:
    write(tmp_path, f"url: {URL}\nusername:\npassword: ~\ntoken: ''\norganization: null\n")
    assert load(tmp_path) == Settings(url=URL)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    write(tmp_path, "# nothing yet\n")
    assert load(tmp_path, url=URL) == Settings(url=URL)


def test_access_token_is_another_name_for_token(tmp_path: Path) -> None:
    write(tmp_path, f"url: {URL}\naccess_token: abc\n")
    assert load(tmp_path).token == "abc"


@pytest.mark.parametrize(
    ("flags", "environment", "file", "expected"),
    [
        ({"username": "a", "password": "b"}, {"CVAT_ACCESS_TOKEN": "t"}, "", ("a", "b", None)),
        ({"token": "t"}, {"CVAT_USERNAME": "a", "CVAT_PASSWORD": "b"}, "", (None, None, "t")),
        ({}, {"CVAT_USERNAME": "a"}, "token: t\npassword: b", ("a", "b", None)),
        ({}, {"CVAT_PASSWORD": "b"}, "token: t", (None, None, "t")),
        ({"password": "b"}, {"CVAT_USERNAME": "a"}, "", ("a", "b", None)),
        ({"username": "a", "token": "t"}, {}, "", (None, None, "t")),
    ],
)
def test_token_and_user_exclude_each_other_and_the_higher_place_decides(
    tmp_path: Path,
    flags: dict[str, str],
    environment: dict[str, str],
    file: str,
    expected: tuple[str | None, ...],
) -> None:
    write(tmp_path, f"url: {URL}\n{file}\n")
    settings = load(tmp_path, environment=environment, **flags)
    assert (settings.username, settings.password, settings.token) == expected


def test_a_user_without_a_password_has_password_missing(tmp_path: Path) -> None:
    assert load(tmp_path, url=URL, username="a").password_missing
    assert not load(tmp_path, url=URL, username="a", password="b").password_missing
    assert not load(tmp_path, url=URL, token="t").password_missing


def test_certificates_are_checked_as_the_highest_place_says(tmp_path: Path) -> None:
    write(tmp_path, f"url: {URL}\nca_bundle: ca/lab.pem\n")
    assert load(tmp_path).verify == tmp_path / "ca/lab.pem"
    assert load(tmp_path, insecure=True).verify is False
    assert load(tmp_path, ca_bundle=Path("/other.pem")).verify == Path("/other.pem")
    write(tmp_path, f"url: {URL}\ninsecure: true\n")
    assert load(tmp_path).verify is False
    write(tmp_path, f"url: {URL}\ninsecure: no\n")
    assert load(tmp_path).verify is True
    assert load(tmp_path, url=URL, config=write(tmp_path, "", "e.yaml")).verify is True


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    text = repr(load(tmp_path, url=URL, username="a", password="hidden-1"))
    text += repr(load(tmp_path, url=URL, token="hidden-2"))
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url: {u}\npasword: x\n", "line 2: there is no setting 'pasword'. Did you mean 'passw"),
        ("url: {u}\nzzz: x\n", "line 2: there is no setting 'zzz'. The settings are url, "),
        ("url: {u}\n\nurl: {u}\n", "line 3: 'url' is set already"),
        ("token: a\naccess_token: b\n", "line 2: 'access_token' is set already"),
        ("url: {u}\nusername: [a, b]\n", "line 2: 'username' must be a single value"),
        ("url: {u}\n? [a]\n: b\n", "line 2: there is no setting ''"),
        ("url: {u}\nproject_id: five\n", "line 2: 'five' is not a project's id"),
        ("url: {u}\nproject_id: -1\n", "line 2: '-1' is not a project's id"),
        ("url: {u}\nproject_id: 0\n", "line 2: '0' is not a project's id"),
        ("url: {u}\ninsecure: maybe\n", "line 2: 'maybe' is neither true nor false"),
        ("url: {u}\nca_bundle: a\ninsecure: on\n", "line 2: a CA bundle checks"),
        ("url: ftp://x\n", "line 1: the server URL 'ftp://x' does not start with http"),
        ("- url\n", "line 1: this is not a setting. Write lines like"),
        ("just text\n", "line 1: this is not a setting. Write lines like"),
        ("url: {u}\npassword: 'hidden\n", "this is not YAML"),
        ("url: {u}\n\tpassword: hidden\n", "line 2: this is not YAML"),
        ("url: {u}\npassword: hid\x07den\n", "this is not YAML: it holds characters that"),
        ("username: a\n", "no server is given. Use --url or --profile, set CVAT_URL, or write"),
        ("url: {u}\npassword: hidden\n", "line 2: there is a password, but no user name"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text.replace("{u}", URL))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    said = str(caught.value)
    assert message in said
    assert "hidden" not in said
    assert said.startswith((str(path), "no server"))


def test_mistakes_in_options_and_environment_are_named_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^the environment's CVAT_PROJECT_ID: 'x' is not a project"
    ):
        load(tmp_path, url=URL, environment={"CVAT_PROJECT_ID": "x"})
    with pytest.raises(ConfigError, match=r"^the environment's CVAT_PROJECT_ID: '-3' is not a"):
        load(tmp_path, url=URL, environment={"CVAT_PROJECT_ID": "-3"})
    with pytest.raises(ConfigError, match=r"^--url: the server URL 'cvat' does not start with"):
        load(tmp_path, url="cvat")


def test_a_named_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*cannot be read: No such file.*--config"):
        load(tmp_path, config=tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, config=tmp_path)


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_bytes(b"url: \xff\xfe")
    with pytest.raises(ConfigError, match="not a text file"):
        load(tmp_path)


@given(text=st.text(max_size=80))
def test_any_text_as_file_gives_settings_or_a_configuration_error(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, "utf-8", newline="")
    try:
        settings = load_settings(url=URL, token="t", config=path, environment={})
    except ConfigError:
        return
    assert settings.url == URL


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
        # A password alone says nothing of who somebody is.
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
    with pytest.raises(ConfigError, match=r"^--url: the server URL 'cvat' does not start"):
        load(tmp_path, url="cvat")


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
    with pytest.raises(ConfigError, match=r"no profile 'lab'\. Save one with `cvat-cli profile cr"):
        load(tmp_path, profile="lab")
    save_profiles(tmp_path, plant=URL, quarry=URL)
    with pytest.raises(ConfigError, match=r"auth\.json has no profile 'planet'\. Did you mean 'pl"):
        load(tmp_path, profile="planet")
    with pytest.raises(ConfigError, match=r"no profile 'zzz'\. Choose from 'plant', 'quarry'"):
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
    with pytest.raises(ConfigError, match=f"^refusing to use .*auth\\.json: {message}"):
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
    assert str(caught.value).startswith(str(tmp_path / "own" / "auth.json"))
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
    with pytest.raises(ConfigError, match=r"auth\.json is not a file"):
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

    # Whoever is root may read everything.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match=r"auth\.json cannot be read: Permission denied"):
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
    with pytest.raises(ConfigError, match=r"auth\.json cannot be read: Permission denied\. .*HOME"):
        load(tmp_path)
    assert load(tmp_path, url=URL, token="t").token == "t"


@posix
@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        ("username: a\npassword: hidden", 0o644, True),
        ("token: hidden", 0o640, True),
        ("token: hidden", 0o600, False),
        ("username: a", 0o644, False),
        ("username: a\npassword:", 0o644, False),
    ],
)
def test_there_is_a_warning_about_secrets_that_others_can_read(
    tmp_path: Path, text: str, mode: int, warned: bool
) -> None:
    path = write(tmp_path, f"url: {URL}\n{text}")
    path.chmod(mode)
    warnings = load(tmp_path).warnings
    assert bool(warnings) == warned
    for warning in warnings:
        assert warning.startswith(f"{path}, line ")
        assert f"mode is {mode:04o}" in warning
        assert f"chmod 600 '{path}'" in warning
        assert "hidden" not in warning


@pytest.mark.skipif(importlib.util.find_spec("cvat_sdk") is None, reason="cvat-sdk is absent")
def test_profiles_are_read_from_the_file_of_cvats_own_tools(tmp_path: Path) -> None:
    # In a process of its own: importing the SDK warns.
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

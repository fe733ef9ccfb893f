"""The places of settings, which of them win, and how each mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_files import OTHER, URL, load, posix, said, save_profiles, write

from asynccvat.errors import ConfigError
from asynccvat.settings import Settings, load_settings


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
    write(tmp_path, f"url: {URL}\nusername:\npassword: ~\ntoken: null\norganization:\n")
    assert load(tmp_path) == Settings(url=URL)


@pytest.mark.parametrize("name", ["url", "username", "password", "token", "project_id"])
def test_a_key_with_an_empty_text_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, f"\n{name}: ''\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, url=URL)
    assert str(caught.value) == (
        f"{path}, line 2: {name!r} is empty. Give a value, or remove the line."
    )


def test_an_empty_organization_is_the_personal_workspace(tmp_path: Path) -> None:
    write(tmp_path, f"url: {URL}\norganization: ''\n")
    assert load(tmp_path).organization == ""


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
    settings = load(tmp_path, environment={**environment, "CVAT_URL": URL}, **flags)
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
        ("username: a\n", "no server is given. Run `asynccvat login`, use --url or --profile, set"),
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
    with pytest.raises(
        ConfigError, match=r"^--url: the server URL 'ftp://cvat' does not start with"
    ):
        load(tmp_path, url="ftp://cvat")


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


SECRET = {"CVAT_ACCESS_TOKEN": "hidden"}
ACCOUNT = {"CVAT_USERNAME": "ann", "CVAT_PASSWORD": "hidden"}


@pytest.mark.parametrize("name", ["server.yaml", "config/server.yaml"])
@pytest.mark.parametrize(
    ("given", "file", "what"),
    [
        ({"environment": SECRET}, "", "the token of the environment's CVAT_ACCESS_TOKEN"),
        ({"environment": ACCOUNT}, "", "the password of the environment's CVAT_PASSWORD"),
        ({"environment": ACCOUNT}, "username: eve", "the password of the environment's CVAT_PAS"),
        ({"token": "hidden"}, "", "the token of --token"),
        ({"username": "ann", "password": "hidden"}, "", "the password of --password"),
        ({"named": said(token="hidden")}, "", "the token of steps.yaml, token"),
    ],
)
def test_a_file_that_was_only_found_redirects_no_secret_of_another_place(
    tmp_path: Path, name: str, given: dict[str, Any], file: str, what: str
) -> None:
    path = write(tmp_path, f"{file}\nurl: {OTHER}\n", name)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **given)
    message = str(caught.value)
    assert message.startswith(f"refusing to send {what}")
    assert f"to '{OTHER}': only {path}, line 2 names that server" in message
    assert f"give --config {path}, or name the server with --url." in message
    assert "hidden" not in message
    # The user names the file, or the server: then it is theirs to say.
    assert load(tmp_path, config=path, **given).url == OTHER
    environment = {"CVAT_SERVER_CONFIG": str(path), **given.get("environment", {})}
    assert load(tmp_path, **{**given, "environment": environment}).url == OTHER
    assert load(tmp_path, url=URL, **given).url == URL


def test_a_file_s_own_secret_and_one_that_is_asked_for_go_to_its_server(tmp_path: Path) -> None:
    write(tmp_path, f"url: {OTHER}\ntoken: of-other\n")
    assert load(tmp_path).token == "of-other"
    write(tmp_path, f"url: {OTHER}\n")
    settings = load(tmp_path, username="ann")
    assert (settings.url, settings.username, settings.password_missing) == (OTHER, "ann", True)


@pytest.mark.parametrize(
    ("line", "flag"), [("insecure: true", "--insecure"), ("ca_bundle: x.pem", "--ca-bundle")]
)
def test_a_file_that_was_only_found_weakens_no_other_server(
    tmp_path: Path, line: str, flag: str
) -> None:
    path = write(tmp_path, f"{line}\n")
    name = line.partition(":")[0]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, url=URL, token="t")
    assert str(caught.value) == (
        f"{path}, line 1: `{name}` is for the server that this file names, not for that of --url. "
        f"Give {flag} instead, or --config {path}."
    )
    assert load(tmp_path, url=URL, token="t", config=path).verify is not True
    write(tmp_path, f"url: {URL}\n{line}\n")
    asking = load(tmp_path, url=URL, username="ann")
    assert asking.verify is not True
    assert asking.asking_refused == (
        f"{path}, line 2: `{name}` would decide who can read what is typed, and this file may come "
        f"from somebody else. Give {flag} instead, or --config {path}."
    )
    assert load(tmp_path, url=URL, username="ann", config=path).asking_refused is None
    write(tmp_path, f"url: {URL}\ntoken: own\n{line}\n")
    assert load(tmp_path, url=URL).verify is not True
    write(tmp_path, f"url: {URL}\n{line}\n")
    with pytest.raises(ConfigError, match=f"`{name}` would decide who can read the token of --tok"):
        load(tmp_path, url=URL, token="t")
    write(tmp_path, "insecure: no\n")
    assert load(tmp_path, url=URL, token="t").verify is True


def test_settings_tell_the_place_of_each(tmp_path: Path) -> None:
    path = write(tmp_path, "organization: lab\nproject_id: 3\nusername: unused\n")
    settings = load(tmp_path, url=URL, environment=SECRET)
    assert settings.places == (
        ("url", "--url"),
        ("token", "the environment's CVAT_ACCESS_TOKEN"),
        ("organization", f"{path}, line 1"),
        ("project_id", f"{path}, line 2"),
    )

"""Clients made from the environment, and from what the command line reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import asynccvat as ac
from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES

TOKEN = "12345678." + "a1" * 16


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    for variable in (*VARIABLES.values(), CONFIG_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_a_client_reads_the_file_of_settings_as_the_command_line_does(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"url: https://cvat.example.com\ntoken: {TOKEN}\norganization: lab\n")
    file.chmod(0o600)
    client = ac.CvatClient.from_settings()
    assert (client.origin, client.organization) == ("https://cvat.example.com", "lab")


def test_arguments_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(f"url: https://a.example.com\ntoken: {TOKEN}\norganization: lab\n")
    file.chmod(0o600)
    monkeypatch.setenv("CVAT_ORGANIZATION", "team")
    assert ac.CvatClient.from_settings(config=file).organization == "team"
    client = ac.CvatClient.from_settings(config=file, organization="mine")
    assert (client.origin, client.organization) == ("https://a.example.com", "mine")


def test_a_password_that_nothing_gives_is_missed_with_a_word_on_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CVAT_URL", "https://cvat.example.com")
    monkeypatch.setenv("CVAT_USERNAME", "ann")
    with pytest.raises(ac.ConfigError, match=r"no password for 'ann' .*\. Set CVAT_PASSWORD"):
        ac.CvatClient.from_settings()


def test_the_environment_gives_all_but_what_is_named() -> None:
    environment = {
        "CVAT_URL": "https://cvat.example.com",
        "CVAT_ACCESS_TOKEN": TOKEN,
        "CVAT_ORGANIZATION": "lab",
    }
    policy = ac.RetryPolicy(attempts=1)
    client = ac.CvatClient.from_environment(environment=environment, policy=policy)
    assert client.organization == "lab"
    client = ac.CvatClient.from_environment(environment=environment, organization="")
    assert client.organization == ""


def test_the_address_of_a_task_s_page_is_no_server_for_a_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", TOKEN)
    url = "https://cvat.example.com/tasks/147"
    with pytest.raises(ac.ConfigError, match=r"names task 147\. Give https://"):
        ac.CvatClient.from_settings(url=url)
    with pytest.raises(ac.ConfigError, match=r"has task 147 in it\. Give "):
        ac.CvatClient(url, token=TOKEN)

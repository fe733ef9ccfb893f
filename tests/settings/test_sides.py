"""One side of a copy: a settings file or a saved profile, and nothing from any other place."""

from __future__ import annotations

from pathlib import Path

import pytest
from settings_files import OTHER, URL, make_default, save_profiles, write

from asynccvat.errors import ConfigError
from asynccvat.settings.sides import load_side


def test_a_settings_file_is_a_side(tmp_path: Path) -> None:
    path = write(tmp_path, f"url: {URL}\ntoken: of-file\norganization: lab", "old.yaml")
    settings = load_side(str(path), "--from")
    assert (settings.url, settings.token, settings.organization) == (URL, "of-file", "lab")


def test_a_saved_profile_is_a_side(tmp_path: Path) -> None:
    profiles = save_profiles(tmp_path, old=URL, new=OTHER)
    settings = load_side("new", "--to", organization="lab", profiles=profiles)
    assert (settings.url, settings.token) == (OTHER, "token-of-new")
    assert settings.organization == "lab"


def test_an_organization_of_the_command_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, f"url: {URL}\ntoken: of-file\norganization: lab", "old.yaml")
    assert load_side(str(path), "--from", organization="").organization == ""


def test_no_other_place_gives_a_side_its_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "of-environment")
    monkeypatch.setenv("CVAT_URL", OTHER)
    profiles = save_profiles(tmp_path, old=URL)
    make_default(profiles, default_profile="old")
    path = write(tmp_path, f"url: {URL}", "old.yaml")
    with pytest.raises(ConfigError, match="no credentials") as raised:
        load_side(str(path), "--from", profiles=profiles)
    assert "of-environment" not in str(raised.value)


@pytest.mark.parametrize(
    ("side", "text", "said"),
    [
        ("", None, "--from is empty"),
        ("none.yaml", None, "--from: there is no settings file"),
        ("old.yaml", "token: secret-1", "names no server"),
        ("old.yaml", f"url: {URL}\nusername: ann", "no password"),
        ("old.yaml", f"url: {URL}/tasks/5\ntoken: secret-1", "names task 5"),
        ("lab", None, "--from: there is no saved login or profile 'lab'"),
        ("settings", f"url: {URL}", "Give './settings'"),
    ],
)
def test_a_side_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str, text: str | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        write(tmp_path, text, side)
    with pytest.raises(ConfigError, match=said) as raised:
        load_side(side, "--from", profiles=tmp_path / "none.json")
    assert "secret-1" not in str(raised.value)


def test_a_file_that_others_can_read_has_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, f"url: {URL}\ntoken: secret-1", "old.yaml")
    path.chmod(0o644)
    (warning,) = load_side(str(path), "--from").warnings
    assert "chmod 600" in warning

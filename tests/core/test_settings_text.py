"""Settings files that are written: they are read as what was chosen, whatever it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.settings_text import SettingsChoices, settings_text
from asynccvat.settings import load_settings

URL = "https://cvat.example.com"


def read(text: str) -> dict[str, Any]:
    value = yaml.load(text, Loader=yaml.BaseLoader)
    assert isinstance(value, dict)
    return value


def test_what_was_not_chosen_stands_there_as_a_comment() -> None:
    text = settings_text(SettingsChoices(url=URL), "data/")
    assert read(text) == {"url": URL}
    for key in ("organization", "project_id", "ca_bundle", "client_cert", "client_key", "proxy"):
        assert f"\n# {key}: " in text
    assert text.startswith("# Settings of asynccvat for data/.\n")
    assert text.endswith("#   asynccvat mirror data/\n")
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_chosen_is_set() -> None:
    choices = SettingsChoices(
        url=URL,
        organization="street-lab",
        project_id=5,
        project_name="street: night",
        format="COCO 1.0",
        images=True,
        insecure=True,
        ca_bundle="/etc/own ca.pem",
        client_cert="/ann.pem",
        client_key="/ann.key",
    )
    text = settings_text(choices, "my data")
    assert read(text) == {
        "url": URL,
        "organization": "street-lab",
        "project_id": "5",
        "insecure": "true",
        "ca_bundle": "/etc/own ca.pem",
        "client_cert": "/ann.pem",
        "client_key": "/ann.key",
    }
    assert "project_id: 5  # street: night\n" in text
    assert "#   asynccvat mirror 'my data' --format 'COCO 1.0' --images\n" in text


@given(
    st.sampled_from(["", "null", "no", "5", "a: b", "#x", "~", "- a"]) | st.text(max_size=20),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_name_changes_what_the_file_means(slug: str, project: str, folder: str) -> None:
    choices = SettingsChoices(url=URL, organization=slug, project_id=5, project_name=project)
    assert read(settings_text(choices, folder)) == {
        "url": URL,
        "organization": slug,
        "project_id": "5",
    }


@pytest.mark.parametrize("slug", ["", "null", "true", "5"])
def test_the_settings_are_loaded_as_chosen(tmp_path: Path, slug: str) -> None:
    path = tmp_path / "server.yaml"
    path.write_text(settings_text(SettingsChoices(url=URL, organization=slug), "data"), "utf-8")
    settings = load_settings(config=path, environment={}, profiles=tmp_path / "none")
    assert (settings.url, settings.organization) == (URL, slug)

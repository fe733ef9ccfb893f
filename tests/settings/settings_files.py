"""Settings as tests write and load them: YAML files and files of profiles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

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


def said(**settings: str) -> dict[str, SettingValue]:
    """What a piece of work says of its server."""
    return {name: SettingValue(text, f"steps.yaml, {name}") for name, text in settings.items()}

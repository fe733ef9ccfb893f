"""Fixtures that the whole suite shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How quick a machine is at the moment is no property of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def anyio_backend() -> str:
    """Only asyncio is claimed."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and archives of a real server; tests that need it skip without."""
    folder = Path(os.environ.get("ASYNCCVAT_SHARED", ROOT.parent / "shared"))
    if not (folder / "contract").is_dir():
        pytest.skip(f"the recordings of a real CVAT server are not at {folder}")
    return folder

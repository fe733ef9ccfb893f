"""Archives made to fill a disk or a memory: refused or read at a bounded cost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from archive_builder import build
from bombs import BOMBS, MIB, many

from asynccvat.core.paths import NameRules
from asynccvat.core.zip import ArchiveLimits, Directory, TailNeeded, read_directory
from asynccvat.errors import ArchiveLimitError

pytestmark = pytest.mark.proof("Hostile archives and destinations")

SCRIPT = Path(__file__).with_name("bombs.py")


NAMES = [
    pytest.param(name, marks=pytest.mark.thorough) if bomb.thorough else name
    for name, bomb in BOMBS.items()
]


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What came of each of them, in a process whose memory is limited."""
    thorough = request.config.getoption("thorough")
    names = [name for name, bomb in BOMBS.items() if thorough or not bomb.thorough]
    command = [sys.executable, str(SCRIPT), *names]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_costs_no_more_than_it_may(told: dict[str, Any], name: str) -> None:
    bomb = BOMBS[name]
    for way, outcome in enumerate(told[name]):
        assert outcome["written"] <= bomb.disk + outcome["spooled"], (way, outcome)
        assert outcome["length"] < 2000, "an error is to be read by somebody"
        if bomb.refused is None:
            assert outcome["error"] is None, way
        else:
            assert re.search(bomb.refused, outcome["error"]), (way, outcome["error"])


def read_end(end: bytes, size: int) -> Directory | TailNeeded:
    """Read an archive that ends with these bytes, and has zeros before them."""
    while True:
        found = read_directory(end, size, limits=ArchiveLimits(), rules=NameRules())
        if isinstance(found, Directory) or found.length > len(end) + 1000:
            return found
        end = bytes(found.length - len(end)) + end


@pytest.mark.parametrize("size", [256 * MIB + 1, 2 * 1024 * MIB, 0xFFFFFFFE])
def test_a_directory_of_gigabytes_is_refused_before_it_is_requested(size: int) -> None:
    end = build(end={"size": size, "offset": 0, "count": 40_000, "here": 40_000})
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveLimitError, match="the limit is 268435456"):
            read_end(end, size + len(end))
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_more_members_than_16_bits_count_are_listed() -> None:
    data = many(65_536)
    directory = read_end(data, len(data))
    assert isinstance(directory, Directory)
    assert len(directory.entries) == 65_536
    with pytest.raises(ArchiveLimitError, match="holds 65536 or more members, the limit is 65535"):
        read_directory(data, len(data), limits=ArchiveLimits(members=65_535), rules=NameRules())


def test_a_directory_within_the_limit_is_requested_and_not_more() -> None:
    size = 200 * MIB
    end = build(end={"size": size, "offset": 0, "count": 40_000, "here": 40_000})
    assert read_end(end, size + len(end)) == TailNeeded(size + len(end))

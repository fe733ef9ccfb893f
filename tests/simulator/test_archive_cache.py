"""Large archives are in files of one folder, which is removed with the cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from asynccvat.simulator.queues.archives import ArchiveCache

THREADS = 16


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    """Let threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_archives_written_at_the_same_time_share_the_folder() -> None:
    cache = ArchiveCache({})
    barrier = Barrier(THREADS)

    def begin(_: int) -> Path:
        barrier.wait(20)
        return cache._new_path()

    with ThreadPoolExecutor(THREADS) as threads:
        paths = list(threads.map(begin, range(THREADS)))

    assert len(set(paths)) == THREADS
    (folder,) = {path.parent for path in paths}
    assert folder.is_dir()
    cache.close()
    assert not folder.exists()

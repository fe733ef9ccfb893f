"""Large archives lie in files, all in one folder that lives as long as their cache."""

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
    """Have threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_archives_begun_at_once_share_the_folder() -> None:
    cache = ArchiveCache({})
    together = Barrier(THREADS)

    def begin(_: int) -> Path:
        together.wait(20)
        return cache._new_path()

    with ThreadPoolExecutor(THREADS) as threads:
        paths = list(threads.map(begin, range(THREADS)))

    assert len(set(paths)) == THREADS
    (folder,) = {path.parent for path in paths}
    assert folder.is_dir()
    cache.close()
    assert not folder.exists()

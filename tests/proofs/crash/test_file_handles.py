"""However much runs at once, it stays within the file handles that a process may have."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import run
from mirror_processes import read_folders

import asynccvat as ac
from asynccvat.archives.reader import ArchiveReader
from asynccvat.cli.signals import raise_handle_limit
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.fs import files, handles
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

ENOUGH = 4096
"""Handles from which two hundred transfers need no warning."""

AT_ONCE = {256: range(8, 9), 1024: range(32, 65), 8192: range(150, 201)}
"""By how many files may be open, how many archives are read at once."""

OF_OTHERS = 64
"""Handles that are left alone, for whatever else a process does."""

pytestmark = pytest.mark.proof("File handles")


@contextmanager
def limited(limit: int) -> Iterator[None]:
    """Let this process have so many files open, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_now() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir())) - 1  # but for that of the listing


class Most:
    """Looks at each opening of a file how many are open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen = 0
        for name in ("open_folder", "open_for_writing"):
            monkeypatch.setattr(files, name, self._counted(getattr(files, name)))

    def _counted(self, call: Callable[..., int]) -> Callable[..., int]:
        def counted(*args: object, **kwargs: object) -> int:
            fd = call(*args, **kwargs)
            self.seen = max(self.seen, open_now())
            return fd

        return counted


class Reading:
    """Counts how many archives are read at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self._now = 0
        read = ArchiveReader.read

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._now += 1
            self.most = max(self.most, self._now)
            try:
                return await read(*args, **kwargs)
            finally:
                self._now -= 1

        monkeypatch.setattr(ArchiveReader, "read", counted)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("nobody tells here how many files are open")
    with ServerProcess(SimulatorOptions(tasks=300, frames=4, frame_bytes=90_000)) as running:
        yield running


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL"):
        monkeypatch.setattr(intervals, name, 0.02)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("limit", "tasks"),
    [
        (256, 60),
        pytest.param(256, 300, marks=pytest.mark.thorough),
        pytest.param(1024, 300, marks=pytest.mark.thorough),
        pytest.param(8192, 300, marks=pytest.mark.thorough),
    ],
)
async def test_hundreds_of_transfers_at_once_stay_within_the_limit_and_leave_nothing_open(
    tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch, limit: int, tasks: int
) -> None:
    """They share a line so slow that all that may be under way at once are."""
    wanted = ac.Selection(task_ids=range(1, tasks + 1))
    options = ac.MirrorOptions(
        transfers=200,
        concurrency=64,
        durable=False,
        bandwidth=tasks * (250_000 if limit < ENOUGH else 50_000),
    )
    before = open_now()
    most, reading = Most(monkeypatch), Reading(monkeypatch)
    with limited(limit):
        async with ac.CvatClient(server.url, token=server.token) as client:
            spec = ac.ExportSpec(images=True)
            report = await ac.mirror(client, tmp_path / "m", wanted, spec, options=options)
    assert report.ok, report.to_json()
    assert len(read_folders(tmp_path / "m")) == tasks
    if limit < ENOUGH:
        (warning,) = report.warnings
        assert f"only {limit} files open" in warning
        assert "ulimit -n" in warning
    else:
        assert report.warnings == ()
    assert reading.most in AT_ONCE[limit]
    # The kernel would refuse more than the limit: what is left is for the rest of the process.
    assert 20 < most.seen - before <= limit - OF_OTHERS
    assert open_now() == before


@pytest.mark.anyio
async def test_out_of_handles_a_run_says_what_to_do_and_goes_on_with_more_of_them(
    tmp_path: Path, server: ServerProcess, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    """The kernel itself refuses to open anything more, sooner or later."""
    dest = tmp_path / "m"
    some = ac.Selection(task_ids=range(1, 9))
    again = ac.MirrorOptions(force=True)
    spares = range(1, 24) if thorough else range(2, 24, 11)
    refused = 0
    for spare in spares:
        async with ac.CvatClient(server.url, token=server.token) as client:
            before = open_now()
            try:
                with limited(before + spare):
                    report = await ac.mirror(client, dest, some, options=again)
                problems = [one.error for one in report.failures]
            except ac.AsyncCvatError as error:
                problems = [error]
            for problem in problems:
                refused += 1
                assert "Too many open files" in str(problem), repr(problem)
                assert "ulimit -n" in str(problem)
            report = await ac.mirror(client, dest, some)
            assert report.ok, report.to_json()
    assert refused
    count_cases(len(spares))


def test_what_is_shared_out_never_exceeds_the_limit() -> None:
    writers = RangeOptions().parallel
    for limit in range(128, 5000, 7):
        for wanted in (1, 8, 64, 200, 1000):
            share = handles.share(limit, wanted, writers=writers)
            # Each writer: its folders, the file, and two folders more on the way to one.
            archive = 4 + writers * (share.folders + 3)
            connections = handles.connections(limit, 100)
            assert share.transfers * archive + connections + 64 + 20 <= limit
            assert 1 <= share.transfers <= wanted
    assert handles.share(256, 8, writers=writers).transfers == 8, "macOS has 256 by default"
    assert handles.share(1024, 8, writers=writers) == handles.Share(8, 16)


def test_no_limit_at_all_is_plenty() -> None:
    assert handles.share(1 << 20, 200, writers=3) == handles.Share(200, 16)
    assert handles.connections(1 << 20, 100) == 100


@pytest.mark.thorough
def test_the_command_needs_not_be_warned(tmp_path: Path, server: ServerProcess) -> None:
    with limited(256):
        ended = run(server, tmp_path / "m", "-t", "1,2,3", "--transfers", "200")
    assert ended.code == 0
    assert "warning" not in ended.err
    assert len(ended.err.splitlines()) == 1, "more than what the destination mirrors"


def test_the_command_line_lets_itself_have_as_many_as_it_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with limited(256):
        raise_handle_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 16_384), hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_where_no_more_is_granted_than_a_system_says_less_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def grant(_resource: int, limits: tuple[int, int]) -> None:
        asked.append(limits[0])
        if limits[0] > 10_240:
            raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", grant)
    raise_handle_limit()
    assert asked == [16_384, 10_240]

"""Broken and hostile archives among good ones, mirrored: each fails alone, and leaves nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_judging import by_zipfile
from archive_kinds import KINDS
from archive_surgery import mutate

import asynccvat as ac
from asynccvat.archives import session
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Hostile archives and destinations")]

OPTIONS = ac.MirrorOptions(durable=False, concurrency=16)


def hostile_archives(share: float) -> list[bytes]:
    """Cut and change an archive of each kind."""
    found = []
    for kind, data in KINDS.items():
        chance = random.Random(kind)
        lengths = range(len(data))
        found += [data[:n] for n in chance.sample(lengths, round(share * len(data)))]
        found += [mutate(data, chance.randrange(1000)) for _ in range(round(share * 40))]
    return found


@pytest.mark.parametrize("way", ["ranges", "in memory", "spooled"])
async def test_each_hostile_archive_fails_alone_and_leaves_nothing(
    tmp_path: Path,
    thorough: bool,
    count_cases: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    if way == "spooled":
        monkeypatch.setattr(session, "IN_MEMORY", 0)
    archives, dest = tmp_path / "archives", tmp_path / "dest"
    archives.mkdir()
    good = list(KINDS.values())
    served = [*good, *hostile_archives(1.0 if thorough else 0.01)]
    for task_id, data in enumerate(served, start=1):
        (archives / f"task{task_id}.zip").write_bytes(data)
    options = SimulatorOptions(tasks=0, projects=0, archives=archives)
    async with (
        SimulatedServer(options) as server,
        ac.CvatClient(server.url, username=server.username, password=server.password) as client,
    ):
        if way != "ranges":
            server.faults.add(Fault(path="dataset/download", ignore_range=True, times=None))
        report = await ac.mirror(client, dest, options=OPTIONS)
    count_cases(len(served))

    assert report.stopped_by is None
    failed = {one.task_id: one.error for one in report.outcomes if one.error is not None}
    assert all(isinstance(error, ac.errors.ArchiveError) for error in failed.values()), failed
    assert not failed.keys() & set(range(1, len(good) + 1))
    assert len(failed) > (len(served) - len(good)) / 2
    for task_id, data in enumerate(served, start=1):
        folder = dest / f"task{task_id}"
        assert folder.exists() == (task_id not in failed)
        if task_id not in failed:
            here = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            others = by_zipfile(data)
            assert others is not None
            assert here == {name: data for name, data in others.items() if data is not None}
    own = dest / ".asynccvat"
    assert len(list((own / "receipts").iterdir())) == len(served) - len(failed)
    assert list((own / "staging").iterdir()) == []
    assert {path.name for path in dest.iterdir()} == {
        ".asynccvat",
        *(f"task{task_id}" for task_id in range(1, len(served) + 1) if task_id not in failed),
    }

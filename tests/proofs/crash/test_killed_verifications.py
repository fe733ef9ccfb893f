"""A verification killed at any file: the next one reads the rest, and only that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from mirror_processes import processes

import asynccvat
from asynccvat.core.plans import verify as verifying
from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, encode_receipt
from asynccvat.core.records.verify_journal import decode_journal
from asynccvat.fs import files

pytestmark = pytest.mark.proof("Verify")

TASKS, FILES = 6, 3


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror as `mirror` leaves it, without the mirror."""
    dest = tmp_path_factory.mktemp("mirror")
    (dest / ".asynccvat/receipts").mkdir(parents=True)
    for task_id in range(1, TASKS + 1):
        members = []
        for number in range(FILES):
            content = f"file {number} of {task_id}".encode()
            file = dest / f"task{task_id}" / f"{number}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
            mtime_ns = file.stat().st_mtime_ns
            members.append(MemberRecord(file.name, len(content), crc32(content), mtime_ns))
        head = ReceiptHead(
            task_id=task_id,
            folder=f"task{task_id}",
            format="COCO 1.0",
            images=True,
            updated_date="v1",
            origin="https://cvat.example.com",
            digest="0",
            files=FILES,
            bytes=sum(member.size for member in members),
            requested_at="",
            committed_at="",
        )
        receipt = encode_receipt(Receipt(head, tuple(members)))
        (dest / f".asynccvat/receipts/{task_id}.json").write_bytes(receipt)
    return dest


def _verify(pipe: Connection, dest: Path, die_at: int | None) -> None:
    """Verify task by task, telling which files are read, and die before one of them."""
    verifying.SLICE_BYTES = 1
    reading = files.read_into
    read: set[int] = set()

    def read_into(fd: int, buffer: memoryview) -> int:
        inode = os.fstat(fd).st_ino
        if inode not in read:
            read.add(inode)
            if len(read) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            pipe.send(inode)
        return reading(fd, buffer)

    setattr(files, "read_into", read_into)  # noqa: B010 - as the effects of other tests
    report = asyncio.run(asynccvat.verify(dest, threads=1))
    pipe.send((report.ok, report.resumed))


def verify(dest: Path, die_at: int | None = None) -> tuple[set[int], tuple[bool, int] | None]:
    """Verify in a process of its own: the files that it read, and what it said at its end."""
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=_verify, args=(theirs, dest, die_at))
    process.start()
    theirs.close()
    told = list(_until_its_end(ours))
    process.join(60)
    assert process.exitcode == (0 if die_at is None else -signal.SIGKILL)
    end = told.pop() if die_at is None else None
    return set(told), end


def _until_its_end(pipe: Connection) -> Iterator[Any]:
    with pipe, contextlib.suppress(EOFError, ConnectionResetError):
        while pipe.poll(60):
            yield pipe.recv()


def inodes(dest: Path, *task_ids: int) -> set[int]:
    return {file.stat().st_ino for id_ in task_ids for file in (dest / f"task{id_}").iterdir()}


def test_killed_at_any_file_it_goes_on_with_the_rest(
    mirror: Path, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    everything = inodes(mirror, *range(1, TASKS + 1))
    cases = range(1, len(everything) + 1) if thorough else [11]
    journal = mirror / ".asynccvat/verify.journal"
    most = 0
    for number in cases:
        before, _ = verify(mirror, die_at=number)
        noted = decode_journal(journal.read_bytes(), now=int(time.time()))
        after, end = verify(mirror)
        assert end == (True, len(noted))
        assert before | after == everything
        # Of a task that was noted nothing is read twice, and all of the others.
        assert after == everything - inodes(mirror, *noted)
        assert not journal.exists()
        most = max(most, len(noted))
    assert most >= (TASKS - 2 if thorough else 2)
    count_cases(len(cases))

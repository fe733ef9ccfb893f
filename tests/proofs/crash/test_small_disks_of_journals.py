"""A real file system that fills up during a restore, an import or a `create`.

Another program really fills it, right before one of the command's effects. The journal has no room
then, so nothing more is begun. Later there is room again, and the same command ends as if there
always had been: nothing was made twice.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from failing_disk import hurry
from server_changes import PROJECT, held, put_backups, put_datasets, put_media
from small_disks import (
    Ended,
    Moment,
    OtherProgram,
    Shell,
    check_refused,
    command_line,
    mounted,
    name_server,
)

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Full disks")

SAMPLE = 4


@pytest.fixture(scope="module")
def tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted(tmp_path_factory.mktemp("tmpfs"), "tmpfs") as place:
        yield place


@dataclass(frozen=True)
class Shape:
    """One kind of command on a small disk.

    Attributes:
        begins: Puts what it reads into a new folder.
        arguments: The command, given that folder.
    """

    begins: Callable[[Path], object]
    arguments: Callable[[Path], list[str]]


SHAPES = {
    "restore": Shape(put_backups, lambda folder: ["restore", str(folder)]),
    "restored project": Shape(
        partial(put_backups, projects=True), lambda folder: ["restore", str(folder), "--projects"]
    ),
    "import-dataset": Shape(
        put_datasets,
        lambda folder: [
            *("import-dataset", str(PROJECT), *map(str, sorted(folder.glob("*.zip")))),
            *("--format", "COCO 1.0"),
        ],
    ),
    "create": Shape(
        put_media,
        lambda folder: ["create", str(folder), "--project", str(PROJECT)],
    ),
}


@dataclass(frozen=True)
class Disk:
    """A small disk, and the command line.

    Attributes:
        place: The file system.
        shell: Runs a command.
        moment: Counts effects, and fills the disk before one.
        patch: Names the server of a command.
    """

    place: Path
    shell: Shell
    moment: Moment
    patch: pytest.MonkeyPatch

    def ended(self, shape: Shape, at: int | None, left: int = 0) -> tuple[Ended, Any]:
        """Run on a disk that is full from an effect on, and again with room.

        Returns:
            How the first command ended, and what the server has at last.
        """
        for path in self.place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder = self.place / "data"
        shape.begins(folder)
        other = OtherProgram(self.place)
        arguments = shape.arguments(folder)
        with serve_in_thread(SimulatorOptions(tasks=1, frames=1)) as server:
            name_server(self.patch, server.url, server.username, server.password)
            self.moment.set(at, partial(other.fill, left=left, inodes=False))
            try:
                first = self.shell(arguments)
            finally:
                self.moment.set(None)
                other.free()
            check_refused(first)
            if at is not None:
                again = self.shell(arguments)
                assert again.code == 0, again
            return first, asyncio.run(held(server))


@pytest.fixture
def disk(tmpfs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Disk:
    hurry(monkeypatch)
    return Disk(tmpfs, command_line(capsys), Moment(monkeypatch), monkeypatch)


@pytest.mark.parametrize("name", SHAPES)
def test_a_disk_that_fills_up_ends_the_command_with_one_line_and_with_room_it_makes_the_rest(
    disk: Disk, name: str, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    shape = SHAPES[name]
    first, wanted = disk.ended(shape, None)
    assert first.code == 0, first
    effects = disk.moment.last
    refused = 0
    moments = range(1, effects + 1) if thorough else range(1, effects + 1, effects // SAMPLE)
    for at in moments:
        for left in (0, 100) if thorough else (100 * (at % 2),):
            try:
                ended, found = disk.ended(shape, at, left)
                assert found == wanted
            except BaseException as error:
                error.add_note(f"full before effect {at} of {effects}, {left} bytes left")
                raise
            refused += ended.code != 0
            count_cases(1)
    assert refused > len(moments) // 3, "the disk was hardly ever full"

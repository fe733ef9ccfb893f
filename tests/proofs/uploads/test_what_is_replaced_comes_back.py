"""Uploads, other people's edits and undos in any order: nothing that was replaced is gone.

After each step, every state that one of our calls replaced is kept, except states of our own
uploads that are older than the newest ten. An undo puts back exactly what it says, with every kind
of annotation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_serving import Serving, data, error, outcome, serving
from test_nothing_replaced_is_lost import FRAMES, Annotator

import asynccvat as ac
from asynccvat.core.records.replaced import NEWEST, content_digest
from asynccvat.errors import TaskChangedError

__all__ = ["data"]

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Nothing of the server's is lost")]

RUNS, STEPS = 3, 30
THOROUGH_RUNS = 20


class Player:
    """Change one task in any order, and know what has to be kept of it.

    Attributes:
        kept: The digests of states that have to be kept.
        left: What our last call left in the task.
    """

    def __init__(self, serve: Serving, folder: Path, chance: random.Random) -> None:
        self.kept: set[str] = set()
        self.left: str | None = None
        self._serve = serve
        self._folder = folder
        self._chance = chance
        self._make = Annotator(serve, chance, plain=False)
        self._replaced: list[str] = []

    async def upload(self) -> None:
        """Upload a file of our own, whatever the task holds."""
        before = await self.held()
        boxes = "".join(
            f'<image id="{frame}" name="{name}"><box label="{self._label}" occluded="0" '
            f'xtl="{self._chance.randrange(9)}" ytl="1" xbr="50" ybr="50"></box></image>'
            for frame, name in enumerate(self._names)
        )
        file = self._folder.parent / "own.xml"
        file.write_text(f"<annotations>{boxes}</annotations>")
        options = ac.UploadOptions(durable=False, lossy=True, backup_dir=self._folder)
        report = await ac.upload(self._serve.client, {1: file}, options=options)
        assert report.ok, report.failures
        await self._note(before)

    async def edit(self) -> None:
        """Change the task as another user may."""
        given: dict[str, Any] = {
            "shapes": self._make.some(self._make.shape),
            "tags": self._make.some(self._make.tag),
            "tracks": self._make.some(self._make.track),
        }
        await self._serve.annotate(1, **given)

    async def undo(self) -> None:
        """Undo, and once more with `overwrite` if that is refused."""
        before = await self.held()
        report = await self._undo(overwrite=False)
        if not report.ok and isinstance(error(report, 1), TaskChangedError):
            assert self.left != before
            assert await self.held() == before
            report = await self._undo(overwrite=True)
        elif not report.ok:
            assert not list(self._folder.glob("1-*")), error(report, 1)
            return
        assert report.ok, report.failures
        one = outcome(report, 1)
        if one.action is ac.Action.UPLOADED:
            assert one.path is not None
            assert await self.held() == content_digest(one.path.read_bytes())
            await self._note(before)

    async def held(self) -> str:
        return content_digest((await self._serve.client.annotations(1)).raw)

    def check(self) -> None:
        """Make sure that everything is kept that has to be."""
        states = {content_digest(path.read_bytes()) for path in self._folder.glob("1-*.json")}
        assert self.kept <= states, "a person's work is gone"
        assert set(self._replaced[-NEWEST:]) <= states, "the newest are gone"
        assert len(list(self._folder.glob("1-*.own.json"))) <= NEWEST

    async def _undo(self, *, overwrite: bool) -> ac.RunReport:
        options = ac.UploadOptions(durable=False, overwrite=overwrite)
        return await ac.undo_upload(self._serve.client, self._folder, [1], options=options)

    async def _note(self, before: str) -> None:
        if before != self.left:
            self.kept.add(before)
        # What the newest file holds already is not kept again.
        if self._replaced[-1:] != [before]:
            self._replaced.append(before)
        self.left = await self.held()

    @property
    def _label(self) -> str:
        return self._serve.server.tasks[1].labels[0].name

    @property
    def _names(self) -> list[str]:
        return [frame.name for frame in self._serve.server.tasks[1].frames()]


async def test_every_state_that_is_replaced_is_kept_and_comes_back(
    data: Path, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    runs = THOROUGH_RUNS if thorough else RUNS
    for number in range(runs):
        chance = random.Random(f"replaced {number}")
        async with serving(1, frames=FRAMES) as serve:
            folder = data / str(number) / "replaced"
            folder.mkdir(parents=True)
            player = Player(serve, folder, chance)
            for _ in range(STEPS):
                # Uploads come in rows, as every night.
                await chance.choice((player.upload, player.upload, player.edit, player.undo))()
                player.check()
    count_cases(runs * STEPS)

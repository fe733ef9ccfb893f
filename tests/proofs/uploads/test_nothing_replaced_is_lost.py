"""Whatever a task has: an upload in any format keeps every kind of it, or is refused.

Each case annotates a task, mirrors it in a format, touches the file and uploads it. The simulated
server converts as recorded of CVAT: tracks to shapes, shapes to tracks, and leaves out what the
format lacks.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Serving, data, error, outcome, serving

import asynccvat as ac
from asynccvat.errors import AnnotationLossError
from asynccvat.models import AnnotationCounts
from asynccvat.simulator.formats.archives import WRITTEN_FORMATS
from asynccvat.simulator.formats.readers import READ_FORMATS

__all__ = ["data"]

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Nothing of the server's is lost")]

FORMATS = [name for name in WRITTEN_FORMATS if name.startswith("CVAT ") or name in READ_FORMATS]
UPLOAD = ac.UploadOptions(durable=False, force=True)
FRAMES = 4
CASES = 8
THOROUGH_CASES = 60

POINTS: dict[str, list[float]] = {
    "rectangle": [5, 6, 70, 80],
    "polygon": [1, 1, 90, 5, 40, 80],
    "polyline": [1, 1, 90, 5, 40, 80],
    "points": [5, 6],
    "ellipse": [50, 50, 80, 20],
    "cuboid": [10, 10, 10, 60, 50, 10, 50, 60, 70, 20, 70, 50, 60, 20, 60, 50],
    "mask": [0, 4, 10, 10, 11, 11],
}
TRACKED = ("rectangle", "polygon", "polyline", "points", "ellipse", "cuboid")


class Annotator:
    """Make annotations of random kinds for one task."""

    def __init__(self, serve: Serving, chance: random.Random, *, plain: bool) -> None:
        """Annotate with all kinds, or plainly, with what every format carries."""
        labels = serve.server.tasks[1].labels
        self._chance = chance
        self._plain = plain
        self._labels = [label for label in labels if not label.attributes] if plain else labels

    def some(self, make: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
        return [make() for _ in range(self._chance.choice((0, 0, 1, 3)))]

    def shape(self) -> dict[str, Any]:
        type_ = "rectangle" if self._plain else self._chance.choice(tuple(POINTS))
        return {**self._common(), "type": type_, "points": POINTS[type_]}

    def tag(self) -> dict[str, Any]:
        return self._common()

    def track(self) -> dict[str, Any]:
        type_ = "rectangle" if self._plain else self._chance.choice(TRACKED)
        first = self._chance.randrange(FRAMES - 1)
        frames = (first, self._chance.randrange(first + 1, FRAMES))
        seen = [{"type": type_, "frame": frame, "points": POINTS[type_]} for frame in frames]
        return {**self._common(), "frame": first, "shapes": seen}

    def _common(self) -> dict[str, Any]:
        label = self._chance.choice(self._labels)
        return {
            "label_id": label.id,
            "frame": self._chance.randrange(FRAMES),
            "group": 0 if self._plain else self._chance.choice((0, 0, 0, 7)),
        }


async def has(serve: Serving) -> AnnotationCounts:
    return (await serve.client.annotations(1)).counts


def kinds(counts: AnnotationCounts) -> dict[str, int]:
    """The numbers that an import must not change."""
    types = {f"of type {name}": count for name, count in counts.types.items()}
    return {
        "tracks": counts.tracks,
        "shapes": counts.shapes,
        "tags": counts.tags,
        "in groups": counts.grouped,
        **types,
    }


@pytest.mark.parametrize("name", FORMATS)
async def test_each_kind_of_annotation_stays_or_the_upload_is_refused(
    data: Path, name: str, *, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    cases = THOROUGH_CASES if thorough else CASES
    accepted = 0
    async with serving(1, frames=FRAMES) as serve:
        for case in range(cases):
            make = Annotator(serve, random.Random(f"{name} {case}"), plain=case % 2 == 0)
            given = {
                "shapes": make.some(make.shape),
                "tags": [] if case % 2 == 0 else make.some(make.tag),
                "tracks": make.some(make.track),
            }
            await serve.annotate(1, **given)
            before = await has(serve)
            place = data / str(case)
            await ac.mirror(serve.client, place, None, name, options=QUICK)
            report = await ac.upload(serve.client, place, options=UPLOAD)
            after = await has(serve)
            said = json.dumps(given)
            assert kinds(after) == kinds(before), f"{said}: {outcome(report, 1).failure}"
            if not outcome(report, 1).ok:
                assert isinstance(error(report, 1), AnnotationLossError), said
                continue
            accepted += 1
            assert outcome(report, 1).warnings == (), said
    count_cases(cases)
    assert accepted, "every upload was refused, which proves nothing"

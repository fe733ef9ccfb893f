"""Tasks of the simulator with any annotations: their JSON, and what the simulator exports."""

from __future__ import annotations

import dataclasses
import io
import itertools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st
from task_files import files_of

from asynccvat.simulator.formats.annotations_json import annotations_json, label_json
from asynccvat.simulator.formats.annotations_json_reader import read_annotations_json
from asynccvat.simulator.formats.archives import write_archive
from asynccvat.simulator.routes.serializers import data_meta_json, job_json, task_json
from asynccvat.simulator.world.annotations import Attribute, Label
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import TaskMedia
from asynccvat.simulator.world.tasks import Task

ORIGIN: Final = "http://127.0.0.1:8080"
WIDTH: Final = 640
HEIGHT: Final = 480

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = st.text("ab<>&\"'é\n\t. 0", min_size=1, max_size=6)


@dataclass(frozen=True)
class SimulatedTask:
    """A task of the simulator."""

    task: Task

    @property
    def raw(self) -> dict[str, Any]:
        """What the API says of it."""
        task = self.task
        return {
            "task": task_json(task, ORIGIN),
            "labels": [label_json(label) for label in task.labels],
            "jobs": [job_json(job, task, ORIGIN) for job in task.jobs()],
            "meta": data_meta_json(task),
            "annotations": annotations_json(task.annotations()),
        }

    @property
    def files(self) -> Mapping[str, bytes]:
        """Its files in a mirror of JSON."""
        return files_of(self.raw)

    def exported(self, format_name: str) -> dict[str, bytes]:
        """Return the files that the simulator exports of it."""
        stream = io.BytesIO()
        write_archive(stream, self.task, format_name, False, base_url=ORIGIN)
        with zipfile.ZipFile(stream) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def labels_named(names: list[str]) -> tuple[Label, ...]:
    """Return a label of each kind that has attributes or points, with these seven names."""
    car, lane, body, head, hand, color, seen = names
    attributes = (
        Attribute(1, color, False, "select", "red", ("red", "green")),
        Attribute(2, seen, True, "checkbox", "false", ("false",)),
    )
    points = tuple(
        Label(number, name, "#00ff00", "points", (), None)
        for number, name in ((4, head), (5, hand))
    )
    drawing = '<circle data-label-id="4"></circle><circle data-label-id="5"></circle>'
    return (
        Label(1, car, "#ff0000", "any", attributes, None),
        Label(2, lane, "#0000ff", "any", (), None),
        Label(3, body, "#00ff00", "skeleton", attributes[:0], None, points, drawing),
    )


NUMBERS = st.floats(0, 400, width=32).map(lambda number: round(number, 3))
CORNERS = {"rectangle": 2, "ellipse": 2, "cuboid": 8}


def points_of(kind: str) -> st.SearchStrategy[list[float]]:
    """Return points that fit a kind of shape."""
    if kind == "mask":
        return st.integers(1, 20).map(lambda run: [1.0, run, 1.0, 4.0, 6.0, 4.0 + run + 1, 6.0])
    if kind == "rectangle":
        axis = st.tuples(NUMBERS, NUMBERS).map(sorted)
        return st.tuples(axis, axis).map(
            lambda axes: [axes[0][0], axes[1][0], axes[0][1], axes[1][1]]
        )
    if kind in CORNERS:
        return st.lists(NUMBERS, min_size=2 * CORNERS[kind], max_size=2 * CORNERS[kind])
    return st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=5).map(
        lambda corners: [number for corner in corners for number in corner]
    )


def values_of(label: Label, *, mutable: bool | None = None) -> st.SearchStrategy[list[Any]]:
    """Return values for all attributes of a label, or for those that are mutable or not."""
    wanted = [one for one in label.attributes if mutable is None or one.mutable is mutable]
    values = [st.builds(dict[str, Any], spec_id=st.just(one.id), value=TEXTS) for one in wanted]
    return st.tuples(*values).map(list)


@st.composite
def shapes(draw: st.DrawFn, labels: tuple[Label, ...], size: int) -> dict[str, Any]:
    """A shape of any type."""
    kind = draw(st.sampled_from([*CORNERS, "polygon", "polyline", "points", "mask", "skeleton"]))
    label = labels[2] if kind == "skeleton" else draw(st.sampled_from(labels[:2]))
    common = {
        "frame": draw(st.integers(0, size - 1)),
        "group": draw(st.sampled_from([None, 0, 3])),
        "source": draw(st.sampled_from(["manual", "file", "semi-auto"])),
        "z_order": draw(st.integers(-1, 2)),
        "occluded": draw(st.booleans()),
    }
    shape = {**common, "label_id": label.id, "type": kind, "attributes": draw(values_of(label))}
    if kind != "skeleton":
        rotation = draw(st.sampled_from([0.0, 12.5])) if kind in ("rectangle", "ellipse") else 0.0
        return {**shape, "points": draw(points_of(kind)), "rotation": rotation}
    elements = [
        {
            "label_id": point.id,
            "type": "points",
            "frame": common["frame"],
            "points": draw(st.lists(NUMBERS, min_size=2, max_size=2)),
            "outside": draw(st.booleans()),
            "occluded": draw(st.booleans()),
        }
        for point in label.sublabels
    ]
    return {**shape, "points": [], "elements": elements}


@st.composite
def tracks(draw: st.DrawFn, labels: tuple[Label, ...], size: int) -> dict[str, Any]:
    """A track of a type that moves straight."""
    kind = draw(st.sampled_from(["rectangle", "ellipse", "cuboid"]))
    label = draw(st.sampled_from(labels[:2]))
    frames = sorted(draw(st.sets(st.integers(0, size + 2), min_size=1, max_size=4)))
    rotation = draw(st.sampled_from([0.0, 33.25])) if kind != "cuboid" else 0.0
    keyframes = [
        {
            "frame": frame,
            "type": kind,
            "points": draw(points_of(kind)),
            "rotation": rotation,
            "occluded": draw(st.booleans()),
            "outside": draw(st.booleans()),
            "z_order": draw(st.integers(0, 2)),
            "attributes": draw(values_of(label, mutable=True)),
        }
        for frame in frames
    ]
    return {
        "frame": frames[0],
        "label_id": label.id,
        "group": draw(st.sampled_from([0, 4])),
        "source": "manual",
        "attributes": draw(values_of(label, mutable=False)),
        "shapes": keyframes,
    }


@st.composite
def simulated_tasks(draw: st.DrawFn) -> SimulatedTask:
    """A task of images with any annotations."""
    labels = labels_named(draw(st.lists(NAMES, min_size=7, max_size=7, unique=True)))
    size = draw(st.integers(1, 6))
    tags = st.builds(
        lambda frame, values: {"frame": frame, "label_id": 1, "attributes": values},
        st.integers(0, size - 1),
        values_of(labels[0]),
    )
    given = {
        "shapes": draw(st.lists(shapes(labels, size), max_size=5)),
        "tags": draw(st.lists(tags, max_size=2)),
        "tracks": draw(st.lists(tracks(labels, size), max_size=3)),
    }
    when = datetime(2026, 11, 3, 4, 5, 6, draw(st.sampled_from([0, 120_300])), tzinfo=UTC)
    task = Task(
        id=7,
        name=draw(NAMES),
        project_id=None,
        labels=labels,
        size=size,
        created_date=when,
        updated_date=when,
        subset=draw(st.sampled_from(["", "Train"])),
        deleted_frames=() if given["tracks"] else tuple(draw(st.sets(st.integers(0, size - 1)))),
    )
    task = dataclasses.replace(
        task,
        given=read_annotations_json(given, task, itertools.count(1)),
        media=draw(media_of(task.frames())),
    )
    is_video = task.media is not None and task.media.video is not None
    return SimulatedTask(dataclasses.replace(task, mode="interpolation") if is_video else task)


@st.composite
def media_of(draw: st.DrawFn, frames: tuple[Frame, ...]) -> TaskMedia | None:
    """Images or a video of which every so many frames are in the task."""
    if draw(st.booleans()):
        return None
    start, step = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    video = draw(st.sampled_from([None, "a/b.mp4"]))
    if video is not None:
        frames = tuple(
            dataclasses.replace(
                frames[0], index=index, name=f"frame_{start + index * step:06d}.PNG"
            )
            for index in range(len(frames))
        )
    return TaskMedia(
        frames=frames,
        originals=(),
        video=video,
        start_frame=start,
        stop_frame=start + step * len(frames) - 1,
        frame_filter=f"step={step}" if step > 1 else "",
    )

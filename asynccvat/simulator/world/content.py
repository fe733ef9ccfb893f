"""Frames, annotations and labels of generated tasks, made from a seed.

`tasks` holds the tasks themselves, `jpeg` draws the pictures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Protocol

from asynccvat.simulator.world.annotations import (
    Annotations,
    Attribute,
    Label,
    Shape,
    ShapeType,
    Tag,
    Track,
    TrackedShape,
)
from asynccvat.simulator.world.jpeg import draw_jpeg
from asynccvat.simulator.world.png import draw_png

# Names like those of a recorded task: hidden, nested, quoted, with URL and shell characters.
_UNICODE_FRAME_NAMES: Final = (
    ".hidden/x.jpg",
    "a/b/c/d/e/f/plain.jpg",
    "emoji 😀/😀.jpg",
    "quote's/\u200bzero.jpg",  # a zero-width space
    "Ünïcødé/a b & c (1)/im%20g+#1.jpg",
    "вложено/папка один/кадр №1.jpg",
    "вложено/папка один/кадр №2.jpg",
    "日本語/深い/フォルダ/画像.jpg",
)


class FrameSource(Protocol):
    """Where the bytes of a frame are that a client sent; see `media.StoredFile`."""

    def read(self) -> bytes:
        """Return the bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One image or point cloud of a task.

    `seed` and `size` (bytes) determine its content, unless it was sent: then `source` has it.
    """

    index: int
    name: str
    width: int
    height: int
    seed: int
    size: int | None
    source: FrameSource | None = None

    def data(self) -> bytes:
        """Return the file; a generated one is drawn, the same bytes at every call."""
        if self.source is not None:
            return self.source.read()
        if self.name.endswith(".pcd"):
            return _point_cloud(self.seed)
        if self.name.endswith(".PNG"):  # of a video
            return draw_png(self.seed, self.width, self.height)
        return draw_jpeg(self.seed, self.width, self.height, self.size)


@dataclass(frozen=True, slots=True)
class GeneratedContent:
    """How frames and annotations of generated tasks are made.

    One value serves many tasks.

    Attributes:
        seed: Other seeds give other pictures and annotations.
        frame_bytes: Length of each JPEG file, or None for a few kilobytes.
        boxes_per_frame: Rectangles on each frame; with 0 the tasks have no annotations at all.
        width: Width of each frame, in pixels.
        height: Height of each frame, in pixels.
        unicode_names: Whether frames have nested folders and names beyond ASCII.
        names: Names of the first frames, instead of generated ones.
    """

    seed: int = 0
    frame_bytes: int | None = None
    boxes_per_frame: int = 2
    width: int = 640
    height: int = 480
    unicode_names: bool = False
    names: tuple[str, ...] = ()

    def frame(self, task_id: int, media_revision: int, index: int, dimension: str = "2d") -> Frame:
        """Describe one frame of a task."""
        name = f"street_{index:04d}.jpg"
        if self.unicode_names:
            name = _UNICODE_FRAME_NAMES[index % len(_UNICODE_FRAME_NAMES)]
            if index >= len(_UNICODE_FRAME_NAMES):
                name = f"{index // len(_UNICODE_FRAME_NAMES)}/{name}"
        if index < len(self.names):
            name = self.names[index]
        elif dimension == "3d":
            name = f"cloud_{index:04d}.pcd"
        seed = (self.seed * 1_000_003 + task_id) * 1_000_003 + index
        seed += media_revision * 1_000_000_007
        return Frame(index, name, self.width, self.height, seed, self.frame_bytes)

    def annotations(
        self, task_id: int, revision: int, labels: tuple[Label, ...], frames: int
    ) -> Annotations:
        """Make the annotations of one revision of a task.

        Args:
            task_id: The task.
            revision: Other revisions give other annotations.
            labels: The four labels of `project_labels`.
            frames: Number of frames of the task.
        """
        if not self.boxes_per_frame:
            return Annotations()
        shapes: list[Shape] = []
        tags: list[Tag] = []
        for frame in range(frames):
            rng = random.Random(f"{self.seed} {task_id} {revision} {frame}")
            self._annotate_frame(rng, labels, frame, shapes, tags)
        return Annotations(tuple(shapes), tuple(tags))

    def _annotate_frame(
        self,
        rng: random.Random,
        labels: tuple[Label, ...],
        frame: int,
        shapes: list[Shape],
        tags: list[Tag],
    ) -> None:
        """Add rectangles, and on the first frame a polygon, points and a tag."""
        box_label, polygon_label, points_label, tag_label = labels
        quarter = _quarters(rng)

        def add(type_: ShapeType, label: Label, points: tuple[float, ...]) -> None:
            values = tuple((attribute, _value(attribute, rng)) for attribute in label.attributes)
            number, occluded = len(shapes) + 1, rng.random() < 0.25
            shapes.append(
                Shape(number, type_, label, frame, points, occluded, rng.randrange(2), values)
            )

        for _ in range(self.boxes_per_frame):
            left = quarter(0, self.width * 0.8)
            top = quarter(0, self.height * 0.8)
            right = left + quarter(1, self.width * 0.2)
            bottom = top + quarter(1, self.height * 0.2)
            add("rectangle", box_label, (left, top, right, bottom))
        if frame == 0:
            x, y = quarter(0, self.width * 0.8), quarter(0, self.height * 0.8)
            wide, high = self.width // 8, self.height // 8
            corners = (x, y, x + wide, y + 5.25, x + 50, y + high, x + 3, y + 50)
            add("polygon", polygon_label, corners)
            add("points", points_label, (x, y, x + wide, y + high))
            tags.append(Tag(len(tags) + 1, tag_label, frame))


def tracks(annotations: Annotations, frames: int) -> Annotations:
    """Return the annotations of a video: each rectangle of the first frame moves to the last one.

    Nobody draws other shapes or tags there.
    """
    return Annotations(
        tracks=tuple(
            _track(shape, frames - 1)
            for shape in annotations.shapes
            if shape.type == "rectangle" and shape.frame == 0
        )
    )


def _track(shape: Shape, last: int) -> Track:
    def seen(number: int, frame: int) -> TrackedShape:
        return TrackedShape(
            id=number,
            type=shape.type,
            frame=frame,
            points=tuple(point + frame for point in shape.points),
            occluded=shape.occluded,
            outside=False,
            z_order=shape.z_order,
            attributes=tuple((one, value) for one, value in shape.attributes if one.mutable),
        )

    keyframes = (0, last) if last else (0,)
    return Track(
        id=shape.id,
        label=shape.label,
        shapes=tuple(seen(2 * shape.id + (frame > 0), frame) for frame in keyframes),
        attributes=tuple((one, value) for one, value in shape.attributes if not one.mutable),
    )


def cuboids(annotations: Annotations) -> Annotations:
    """Return the annotations of a point cloud: a cuboid for each rectangle, and nothing else.

    CVAT's sixteen numbers are position, rotation and size, and seven zeros.
    """
    return Annotations(
        tuple(
            replace(
                shape, type="cuboid", points=(*shape.points[:2], *(0,) * 4, 2, 4, 1.5, *(0,) * 7)
            )
            for shape in annotations.shapes
            if shape.type == "rectangle"
        )
    )


def _point_cloud(seed: int) -> bytes:
    """Write a small PCD file of version 0.7."""
    rng = random.Random(seed)
    points = [f"{rng.randrange(100)} {rng.randrange(100)} {rng.randrange(9)}" for _ in range(16)]
    head = (
        "VERSION 0.7",
        "FIELDS x y z",
        "SIZE 4 4 4",
        "TYPE F F F",
        "COUNT 1 1 1",
        f"WIDTH {len(points)}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(points)}",
        "DATA ascii",
    )
    return "\n".join([*head, *points, ""]).encode()


PLAIN: Final = GeneratedContent()
"""The content of tasks for which nothing else was chosen."""


def _quarters(rng: random.Random) -> Callable[[float, float], float]:
    """Return a function that draws quarters of a pixel between two bounds.

    Quarters are exact in single precision too, in which CVAT's converters count.
    """
    return lambda low, high: rng.randint(int(low * 4), int(high * 4)) / 4


def _value(attribute: Attribute, rng: random.Random) -> str:
    if attribute.input_type == "checkbox":
        return rng.choice(("true", "false"))
    if attribute.input_type == "select":
        return rng.choice(attribute.values)
    return f'n{rng.randrange(100)} <é & "q">'


@lru_cache(maxsize=1024)
def project_labels(project_id: int | None) -> tuple[Label, ...]:
    """Return the four labels of generated tasks: for rectangles, polygons, points and tags.

    Label and attribute ids are those of the project; tasks without a project share one set.
    """
    base = (project_id or 0) * 4
    specs = (project_id or 0) * 3
    car = (
        Attribute(specs + 1, "parked", True, "checkbox", "false", ("false",)),
        Attribute(specs + 2, "make", False, "select", "other", ("other", "audi", "kia")),
    )
    person = (Attribute(specs + 3, "note", False, "text", "", ("",)),)
    return (
        Label(base + 1, "car", "#2080c0", "any", car, project_id),
        Label(base + 2, "person", "#00ff00", "any", person, project_id),
        Label(base + 3, "dot", "#260b79", "points", (), project_id),
        Label(base + 4, "sky", "#508040", "tag", (), project_id),
    )

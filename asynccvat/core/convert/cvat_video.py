"""Write `annotations.xml` of "CVAT for video 1.1": tracks, with their shape on every frame.

A shape without a track becomes a track on one frame. `cvat_images` writes the other format.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from asynccvat.core.convert.frames import exported_frames, frame_step
from asynccvat.core.convert.interpolation import tracked_shapes
from asynccvat.core.convert.task_json import Shape, TaskJson, Track, inexact
from asynccvat.core.convert.xml_head import xml_head
from asynccvat.core.convert.xml_texts import ELEMENTS, Names, Place, chunks, geometry, group


def cvat_video_xml(source: TaskJson) -> Iterator[bytes]:
    """Write the file in chunks.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task.
    """
    return chunks(xml_head(source), _tracks(source), iter(("</annotations>\n",)))


def _tracks(source: TaskJson) -> Iterator[str]:
    names = Names(source)
    numbers = {frame.index: frame.number for frame in exported_frames(source)}
    for number, track in enumerate(source.annotations.tracks):
        if track.elements or source.label_by_id[track.label_id].type == "skeleton":
            raise inexact("it has a track of a skeleton")
        yield _opening(number, track, names)
        for one in tracked_shapes(track, number, source.media.size):
            yield _place(one, numbers[one.frame], one.outside, one.keyframe, names)
        yield "  </track>\n"
    number = len(source.annotations.tracks)
    step, last = frame_step(source), source.media.stop_frame
    for shape in source.annotations.shapes:
        if shape.frame in numbers:
            frame = numbers[shape.frame]
            yield _opening(number, shape, names)
            yield from _on_frame(shape, frame, False, names)
            if frame + step < last:  # it does not end on the last frame, as recorded
                yield from _on_frame(shape, frame + step, True, names)
            yield "  </track>\n"
            number += 1


def _opening(number: int, one: Track | Shape, names: Names) -> str:
    return (
        f'  <track id="{number}" label={names.labels[one.label_id]} '
        f"source={quoteattr(one.source)}{group(one.group)}>\n"
    )


def _on_frame(shape: Shape, frame: int, outside: bool, names: Names) -> Iterator[str]:
    if shape.type != "skeleton":
        yield _place(shape, frame, outside, True, names)
    elif shape.elements:
        yield f'    <skeleton frame="{frame}" keyframe="1" z_order="{shape.z_order}">\n'
        for point in shape.elements:
            element = ELEMENTS[point.type]
            yield (
                f'      <{element} label={names.labels[point.label_id]} keyframe="1" '
                f'outside="{outside or point.outside:d}" occluded="{point.occluded:d}" '
                f"{geometry(point)}>\n"
                f"{names.attributes(point.attributes, '        ')}      </{element}>\n"
            )
        yield names.attributes(shape.attributes, "      ")
        yield "    </skeleton>\n"


def _place(shape: Place, frame: int, outside: bool, keyframe: bool, names: Names) -> str:
    element = ELEMENTS[shape.type]
    return (
        f'    <{element} frame="{frame}" keyframe="{keyframe:d}" outside="{outside:d}" '
        f'occluded="{shape.occluded:d}" {geometry(shape)} z_order="{shape.z_order}">\n'
        f"{names.attributes(shape.attributes, '      ')}    </{element}>\n"
    )

"""Write the head of CVAT's XML: the task, its segments and its labels.

Source: `TaskData.meta_for_task` in `cvat/apps/dataset_manager/bindings.py` of CVAT. What the JSON
lacks is left empty or replaced; `comparable` says what that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from asynccvat.core.convert.task_json import Label, TaskJson, User, inexact
from asynccvat.core.convert.xml_texts import texts


def xml_head(source: TaskJson) -> Iterator[str]:
    """Write all that stands before the annotations."""
    task, media = source.task, source.media
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
    yield "  <meta>\n    <task>\n"
    yield from texts(
        6,
        ("id", task.id),
        ("name", task.name),
        ("size", media.size),
        ("mode", task.mode),
        ("overlap", task.overlap),
        ("bugtracker", task.bug_tracker or ""),
        ("created", _date(task.created_date)),
        ("updated", _date(task.updated_date)),
        ("subset", source.subset),
        ("start_frame", media.start_frame),
        ("stop_frame", media.stop_frame),
        ("frame_filter", media.frame_filter or ""),
    )
    yield from _segments(source)
    yield from _user("owner", task.owner)
    yield from _user("assignee", task.assignee)
    yield "      <labels>\n"
    for label, parent in source.all_labels:
        yield from _label(label, parent)
    yield "      </labels>\n"
    if source.is_video:
        video = media.frames[0]
        yield "      <original_size>\n"
        yield from texts(8, ("width", video.width), ("height", video.height))
        yield "      </original_size>\n"
        yield from texts(6, ("source", video.name.rpartition("/")[2]))
    yield "    </task>\n"
    # The server writes when it exported. A date of the task gives the same file each time.
    yield from texts(4, ("dumped", _date(task.updated_date)))
    yield "  </meta>\n"


def _segments(source: TaskJson) -> Iterator[str]:
    yield "      <segments>\n"
    jobs = (job for job in source.jobs if job.type == "annotation")
    for job in sorted(jobs, key=lambda job: job.id):
        yield "        <segment>\n"
        yield from texts(
            10,
            ("id", job.id),
            ("start", job.start_frame),
            ("stop", job.stop_frame),
            ("url", job.url),
        )
        yield "        </segment>\n"
    yield "      </segments>\n"


def _user(name: str, user: User | None) -> Iterator[str]:
    if user is None:
        yield from texts(6, (name, ""))
        return
    yield f"      <{name}>\n"
    yield from texts(8, ("username", user.username), ("email", ""))
    yield f"      </{name}>\n"


def _label(label: Label, parent: Label | None) -> Iterator[str]:
    yield "        <label>\n"
    yield from texts(10, ("name", label.name), ("color", label.color), ("type", label.type))
    yield "          <attributes>\n"
    for attribute in label.attributes:
        yield "            <attribute>\n"
        yield from texts(
            14,
            ("name", attribute.name),
            ("mutable", attribute.mutable),
            ("input_type", attribute.input_type),
            ("default_value", attribute.default_value),
            ("values", "\n".join(attribute.values)),
        )
        yield "            </attribute>\n"
    yield "          </attributes>\n"
    if parent is not None:
        yield from texts(10, ("parent", parent.name))
    if label.type == "skeleton":
        yield from texts(10, ("svg", _named_svg(label)))
    yield "        </label>\n"


def _named_svg(label: Label) -> str:
    """Return the drawing of a skeleton with the names of its points instead of their ids."""
    svg = label.svg
    for point in label.sublabels:
        svg = svg.replace(f'data-label-id="{point.id}"', f'data-label-name="{point.name}"')
    return svg


def _date(text: str) -> str:
    """Return a date as CVAT's exports write it."""
    try:
        return str(datetime.fromisoformat(text).astimezone(UTC))
    except ValueError:
        raise inexact(f"{text!r} is no date") from None

"""Backups are read as they were written, whatever images are called and however they are zipped."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynccvat.simulator.formats.backup_reader import NewNumbers, RestoreError, read_task_backup
from asynccvat.simulator.formats.backups import write_backup
from asynccvat.simulator.world.annotations import Annotations, Label
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import StoredFile, TaskMedia
from asynccvat.simulator.world.tasks import Task

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PARTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="/\\"), min_size=1
).filter(lambda part: part.strip(".") != "")
NAMES = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([".jpg", ".PNG", ".tar.jpeg"]),
)


def numbers() -> NewNumbers:
    return NewNumbers(itertools.count(1), itertools.count(1), itertools.count(1))


def task_with(files: dict[str, bytes], folder: Path) -> Task:
    """A task whose images are parts of one file."""
    path = folder / "sent"
    path.write_bytes(b"".join(files.values()))
    ends = list(itertools.accumulate(len(content) for content in files.values()))
    stored = {
        name: StoredFile(path, end - len(content), len(content))
        for (name, content), end in zip(files.items(), ends, strict=True)
    }
    frames = tuple(
        Frame(index, name, 10 + index, 20, 0, None, stored[name])
        for index, name in enumerate(files)
    )
    media = TaskMedia(frames, tuple(stored.items()), stop_frame=len(frames) - 1)
    label = Label(1, "car", "#ff0000", "any", (), None)
    return Task(
        1, "a task", None, (label,), len(frames), NOON, NOON, media=media, given=Annotations()
    )


def packed(data: bytes, method: int) -> bytes:
    """The same members, in the opposite order, by another method."""
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(result, "w", method) as new,
    ):
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    return result.getvalue()


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=4),
    st.sampled_from([None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
)
def test_images_come_back_in_order_with_their_bytes(
    files: dict[str, bytes], method: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stream = io.BytesIO()
        write_backup(stream, [task_with(files, Path(folder))], made_at=NOON)
        data = stream.getvalue()
        path = Path(folder, "backup.zip")
        path.write_bytes(data if method is None else packed(data, method))
        restored = read_task_backup(path, numbers())
        frames = restored.media.frames
        assert [(one.name, one.width) for one in frames] == [
            (name, 10 + index) for index, name in enumerate(files)
        ]
        assert [one.data() for one in frames] == list(files.values())
        assert {name: file.read() for name, file in restored.media.originals} == files


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_backup_that_is_cut_anywhere_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stream = io.BytesIO()
        write_backup(stream, [task_with({"a.jpg": b"pixels"}, Path(folder))], made_at=NOON)
        whole = stream.getvalue()
        path = Path(folder, "backup.zip")
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(RestoreError, match="zip file"):
            read_task_backup(path, numbers())


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_backup_that_is_changed_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stream = io.BytesIO()
        write_backup(stream, [task_with({"a.jpg": b"pixels"}, Path(folder))], made_at=NOON)
        changed = bytearray(stream.getvalue())
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
        path = Path(folder, "backup.zip")
        path.write_bytes(changed)
        with contextlib.suppress(RestoreError):
            read_task_backup(path, numbers())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = ("name", "version", "labels", "data", "jobs", "subset")


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(FIELDS), JSON)
def test_a_backup_with_any_json_in_a_field_is_read_or_refused(field: str, value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stream = io.BytesIO()
        write_backup(stream, [task_with({"a.jpg": b"pixels"}, Path(folder))], made_at=NOON)
        path = Path(folder, "backup.zip")
        with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "task.json":
                    content = json.dumps(json.loads(content) | {field: value}).encode()
                new.writestr(name, content)
        with contextlib.suppress(RestoreError):
            read_task_backup(path, numbers())

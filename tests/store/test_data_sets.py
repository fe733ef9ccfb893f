"""Check the folder of a data set: what is written, what stays, and whose files are whose."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynccvat.core.merge.report import MergedFiles
from asynccvat.errors import ConfigError, StoreError, UnsafePathError
from asynccvat.store import data_sets
from asynccvat.store.data_sets import DataSetFolder, open_data_set


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "mirror.jpg"
    path.write_bytes(b"image")
    return path


@contextlib.contextmanager
def finished(out: Path, *, overwrite: bool = False) -> Iterator[DataSetFolder]:
    with open_data_set(out, overwrite=overwrite) as folder:
        yield folder
        folder.finish()


def names(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def write(out: Path, *, overwrite: bool = False, **texts: bytes) -> MergedFiles:
    with finished(out, overwrite=overwrite) as folder:
        for name, text in texts.items():
            folder.add_text(f"{name}/file", text)
    return folder.counts


def place(out: Path, image: Path, name: str, *, link: bool) -> MergedFiles:
    with finished(out) as folder:
        folder.add_image(name, image, link=link)
    return folder.counts


def test_a_second_run_writes_only_what_changed(out: Path) -> None:
    write(out, a=b"1", b=b"2", c=b"3")
    before = (out / "a/file").stat().st_mtime_ns
    counts = write(out, a=b"1", b=b"other")
    assert counts == MergedFiles(written=1, unchanged=1, removed=1)
    assert (out / "a/file").stat().st_mtime_ns == before
    assert names(out) == [data_sets.RECORD, "a/file", "b/file"]
    assert not (out / "c").exists()


def test_a_body_is_written_between_its_head_and_its_tail(out: Path) -> None:
    with finished(out) as folder, folder.body() as body:
        body.write(b"body")
        folder.add_text("text", b"head ", body, b" tail")
    assert (out / "text").read_bytes() == b"head body tail"


@pytest.mark.parametrize("link", [True, False])
def test_an_image_is_linked_or_copied_once(out: Path, image: Path, link: bool) -> None:
    first = place(out, image, "images/a.jpg", link=link)
    assert (first.linked, first.copied) == (link, not link)
    assert place(out, image, "images/a.jpg", link=link) == MergedFiles(unchanged=1)
    found = out / "images/a.jpg"
    assert found.samefile(image) is link
    assert found.read_bytes() == b"image"


def test_a_link_becomes_a_copy_where_a_copy_is_wanted(out: Path, image: Path) -> None:
    place(out, image, "a.jpg", link=True)
    assert place(out, image, "a.jpg", link=False) == MergedFiles(copied=1)
    assert not (out / "a.jpg").samefile(image)


def test_a_changed_image_replaces_the_earlier_one(out: Path, image: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.jpg"
    newer.write_bytes(b"newer")
    for source in (image, newer):
        with finished(out) as folder:
            folder.add_image("a.jpg", source, link=True)
    assert (out / "a.jpg").read_bytes() == b"newer"
    assert image.read_bytes() == b"image"


def test_images_are_copied_where_they_cannot_be_linked(
    out: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with finished(out) as folder:
        folder.add_image("a.jpg", image, link=True)
    assert folder.counts == MergedFiles(copied=1)
    assert (out / "a.jpg").stat().st_mtime_ns == image.stat().st_mtime_ns


def test_other_failures_of_a_link_are_told(
    out: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", fail)
    with open_data_set(out, overwrite=False) as folder, pytest.raises(StoreError, match="drive"):
        folder.add_image("a.jpg", image, link=True)


def test_what_is_no_file_is_no_image(out: Path, tmp_path: Path) -> None:
    with (
        open_data_set(out, overwrite=False) as folder,
        pytest.raises(StoreError, match="is no regular file"),
    ):
        folder.add_image("a.jpg", tmp_path, link=True)


def test_an_edited_file_is_replaced_only_on_demand(out: Path) -> None:
    write(out, a=b"1")
    (out / "a/file").write_bytes(b"mine")
    with pytest.raises(StoreError, match="it was edited since the last merge"):
        write(out, a=b"2")
    assert (out / "a/file").read_bytes() == b"mine"
    assert write(out, overwrite=True, a=b"2").written == 1
    assert (out / "a/file").read_bytes() == b"2"


def test_a_file_of_others_is_replaced_only_on_demand(out: Path) -> None:
    write(out, a=b"1")
    (out / "b").mkdir()
    (out / "b/file").write_bytes(b"mine")
    with pytest.raises(StoreError, match="it is not of a merge"):
        write(out, a=b"1", b=b"2")
    with pytest.raises(StoreError, match="it is not of a merge"):
        write(out, a=b"1", b=b"2")
    assert (out / "b/file").read_bytes() == b"mine"
    assert write(out, overwrite=True, a=b"1", b=b"2").written == 1


def test_an_edited_file_that_is_no_longer_a_part_stays(out: Path) -> None:
    write(out, a=b"1", b=b"2", c=b"3")
    (out / "b/file").write_bytes(b"mine")
    (out / "c/file").unlink()
    with finished(out) as folder:
        folder.add_text("a/file", b"1")
    assert (folder.kept, folder.counts.removed) == (["b/file"], 0)
    assert (out / "b/file").read_bytes() == b"mine"


def test_a_link_is_never_followed_or_replaced(out: Path, tmp_path: Path) -> None:
    write(out, a=b"1")
    other = tmp_path / "other"
    other.write_bytes(b"2")
    (out / "a/file").unlink()
    (out / "a/file").symlink_to(other)
    with pytest.raises(StoreError, match="edited"):
        write(out, overwrite=True, a=b"2")
    assert other.read_bytes() == b"2"


def test_after_a_crash_the_next_run_knows_its_files(out: Path) -> None:
    write(out, a=b"1", b=b"2")
    with open_data_set(out, overwrite=False) as folder:  # it ends before the record is written
        folder.add_text("a/file", b"new")
        folder.add_text("c/file", b"3")
    with (out / ".asynccvat-merge.journal").open("ab") as journal:
        journal.write(b'["d/fi')
    (out / ".merging-abcdefgh").mkdir()  # as a killed run leaves it
    counts = write(out, a=b"newer", b=b"2")
    assert counts == MergedFiles(written=1, unchanged=1, removed=1)
    assert names(out) == [data_sets.RECORD, "a/file", "b/file"]
    assert not (out / ".merging-abcdefgh").exists()


def test_folders_with_other_files_are_refused(out: Path) -> None:
    out.mkdir()
    (out / "mine").write_bytes(b"")
    with pytest.raises(ConfigError, match="it holds files that are not of a merge"):
        write(out, a=b"1")
    write(out, overwrite=True, a=b"1")
    assert (out / "mine").exists()
    (out / ".asynccvat").mkdir()
    with pytest.raises(ConfigError, match="holds a mirror or backups"):
        write(out, a=b"1")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"version":2}\n', "of a newer asynccvat"),
        (b'{"version":1}\n["a"]\n', "is damaged"),
    ],
)
def test_a_damaged_record_is_refused(out: Path, content: bytes, why: str) -> None:
    out.mkdir()
    (out / data_sets.RECORD).write_bytes(content)
    with pytest.raises(StoreError, match=why):
        write(out, a=b"1")


def test_a_record_that_leads_outside_removes_nothing(out: Path) -> None:
    out.mkdir()
    victim = out.with_name("victim")
    victim.write_bytes(b"")
    found = victim.stat()
    (out / data_sets.RECORD).write_text(
        f'{{"version":1}}\n["../victim",{found.st_size},{found.st_mtime_ns}]\n'
    )
    with pytest.raises(UnsafePathError):
        write(out, a=b"1")
    assert victim.exists()


def test_a_path_that_leads_outside_is_refused(out: Path, image: Path) -> None:
    with open_data_set(out, overwrite=False) as folder:
        with pytest.raises(UnsafePathError):
            folder.add_text("../a", b"")
        with pytest.raises(UnsafePathError):
            folder.add_image("../a", image, link=True)
    assert not out.with_name("a").exists()


def test_a_journal_that_was_cut_spoils_no_later_run(out: Path) -> None:
    with open_data_set(out, overwrite=False) as folder:
        folder.add_text("a/file", b"1")
    with (out / ".asynccvat-merge.journal").open("ab") as journal:
        journal.write(b'["d/fi')
    for number in b"23":  # the second reads what the first, which is cut off again, has added
        with open_data_set(out, overwrite=False) as folder:
            folder.add_text("a/file", bytes([number]))
    assert write(out, a=b"4") == MergedFiles(written=1)


def test_the_index_is_missing_while_other_files_change(out: Path) -> None:
    def run(text: bytes, *, ends: bool = True) -> MergedFiles:
        with open_data_set(out, overwrite=False, index="data.yaml") as folder:
            folder.add_text("a/file", text)
            if ends:
                folder.add_text("data.yaml", b"names")
                folder.finish()
        return folder.counts

    run(b"1")
    before = (out / "data.yaml").stat()
    assert run(b"2") == MergedFiles(written=1, unchanged=1)
    assert (out / "data.yaml").stat().st_ino == before.st_ino
    run(b"3", ends=False)
    assert not (out / "data.yaml").exists()
    run(b"3")
    (out / "data.yaml").write_bytes(b"edited")
    with pytest.raises(StoreError, match=r"data\.yaml': it was edited"):
        run(b"4")
    assert (out / "a/file").read_bytes() == b"3"


def test_only_one_run_writes_to_a_data_set(out: Path) -> None:
    with (
        open_data_set(out, overwrite=False),
        pytest.raises(ConfigError, match="another merge writes to it"),
    ):
        write(out, a=b"1")
    write(out, a=b"1")


def test_no_data_set_lies_in_a_mirror(out: Path) -> None:
    (out / ".asynccvat").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds a mirror or backups"):
        write(out / "task1/set", a=b"1")
    assert not (out / "task1").exists()

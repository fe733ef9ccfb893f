"""Check uploads of damaged files, and errors of the system."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.commands.upload.local_files import find_source, prepared
from asynccvat.core.annotations.files import FileKind
from asynccvat.errors import AnnotationFileError, StoreError

VOC = "PASCAL VOC 1.1"


def zipped(method: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        numbers = "".join(str(number * number) for number in range(200))
        archive.writestr("ännotations.xml", f"<annotations>{numbers}</annotations>")
    return content.getvalue()


ZIPS = [
    zipped(method)
    for method in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_BZIP2,
        zipfile.ZIP_LZMA,
    )
]


@st.composite
def damaged_zips(draw: st.DrawFn) -> bytes:
    """A zip with some bytes changed or missing."""
    data = bytearray(draw(st.sampled_from(ZIPS)))
    places = st.integers(0, len(data) - 1)
    for place in draw(st.lists(places, min_size=1, max_size=4)):
        data[place] = draw(st.sampled_from([0, 255]) | st.integers(0, 255))
    start = draw(places)
    del data[start : start + draw(st.sampled_from([0, 0, 0, 1, 30]))]
    return bytes(data)


@given(damaged_zips())
def test_a_damaged_zip_is_refused_or_read_and_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(data)
    try:
        source = find_source(path, "CVAT 1.1").inspected()
    except AnnotationFileError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is allowed
    else:
        assert source.members is not None


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_content_is_damaged_is_to_be_made_again(tmp_path: Path, method: int) -> None:
    data = bytearray(zipped(method))
    data[60:80] = b"\xff" * 20
    path = tmp_path / "damaged.zip"
    path.write_bytes(data)
    with pytest.raises(AnnotationFileError, match=r"damaged\.zip': it is .*\)\. Make it again"):
        find_source(path, "CVAT 1.1").inspected()


def folder_to_pack(place: Path) -> Path:
    (place / "Annotations").mkdir()
    (place / "Annotations" / "street.xml").write_text("<annotation/>", "utf-8")
    return place


def test_packing_without_a_temporary_folder_fails_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = find_source(folder_to_pack(tmp_path), VOC)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(StoreError, match="TMPDIR"), prepared(source, FileKind.ZIP):
        pass


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "Read-only file system. Set TMPDIR"),
        (errno.EMFILE, "Too many open files. Raise the limit"),
    ],
)
def test_packing_without_a_temporary_file_fails_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    source = find_source(folder_to_pack(tmp_path), VOC)

    def refuse(**_options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with (
        pytest.raises(StoreError, match=rf"temporary file .*{said}"),
        prepared(source, FileKind.ZIP),
    ):
        pass


def test_a_temporary_zip_that_cannot_be_removed_fails_no_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = find_source(folder_to_pack(tmp_path), VOC)

    def refuse(_path: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with prepared(source, FileKind.ZIP) as (packed, _):
        monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.undo()
    packed.path.unlink()


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (OSError(errno.EIO, "failed"), AnnotationFileError, r"cannot read .*street\.zip': failed"),
        (OSError(errno.EINVAL, "seek"), AnnotationFileError, "Make it again"),
        (MemoryError(), MemoryError, "^$"),
    ],
)
def test_errors_of_the_system_are_not_errors_of_the_zip(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    raised: type[Exception],
    said: str,
) -> None:
    path = tmp_path / "street.zip"
    path.write_bytes(zipped(zipfile.ZIP_DEFLATED))

    def fail(_archive: zipfile.ZipFile) -> Any:
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "infolist", fail)
    with pytest.raises(raised, match=said):
        find_source(path, "CVAT 1.1").inspected()


def test_a_folder_with_an_unreadable_part_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_to_pack(tmp_path)
    (folder / "closed").mkdir()
    plain = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(AnnotationFileError, match=r"cannot read .*closed': Permission denied"):
        find_source(folder, VOC)

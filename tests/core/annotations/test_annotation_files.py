"""Check which file of a folder is chosen, and which files importers accept."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.files import (
    HEAD_BYTES,
    TAIL_BYTES,
    ChosenFiles,
    FileKind,
    accepted_kinds,
    check_file,
    check_members,
    choose_files,
    kind_of,
)
from asynccvat.core.models import Format
from asynccvat.errors import AnnotationFileError

CVAT = Format(name="CVAT 1.1", ext="XML, ZIP")
COCO = Format(name="COCO 1.0", ext="JSON, ZIP")
YOLO = Format(name="YOLO 1.1", ext="ZIP")
XML = b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n</annotations>\n'


def zipped(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # no date of today in it
    return target.getvalue()


def check_bytes(data: bytes, importer: Format = CVAT) -> FileKind:
    return check_file(data[:HEAD_BYTES], data[-TAIL_BYTES:], importer, name="f")


def chosen(*paths: str, format_name: str) -> str | tuple[str, ...]:
    found = choose_files(paths, format_name, folder="task1")
    return found.paths if found.packed else found.paths[0]


@pytest.mark.parametrize(
    ("paths", "format_name", "expected"),
    [
        (("annotations.xml",), "CVAT for images 1.1", "annotations.xml"),
        (("annotations.xml", "annotations_pseudo.xml"), "CVAT 1.1", "annotations_pseudo.xml"),
        (("annotations.xml", "images/1.jpg"), "CVAT for video 1.1", "annotations.xml"),
        (("other.zip",), "CVAT 1.1", "other.zip"),
        (
            ("annotations/instances_default.json", "annotations/instances_default_pseudo.json"),
            "COCO 1.0",
            "annotations/instances_default_pseudo.json",
        ),
        (
            ("annotations/instances_default.json",),
            "COCO 1.0",
            "annotations/instances_default.json",
        ),
        (("annotations/instances_Train.json",), "COCO 1.0", "annotations/instances_Train.json"),
        (
            ("annotations/instances_Train.json", "annotations/instances_Train_pseudo.json"),
            "COCO 1.0",
            "annotations/instances_Train_pseudo.json",
        ),
        (
            ("annotations/person_keypoints_default.json", "annotations/instances_default.json"),
            "COCO Keypoints 1.0",
            "annotations/person_keypoints_default.json",
        ),
        (("task1.zip", "labels/1.txt"), "YOLO 1.1", "task1.zip"),
    ],
)
def test_the_file_that_a_format_writes_is_chosen(
    paths: tuple[str, ...], format_name: str, expected: str
) -> None:
    assert chosen(*paths, format_name=format_name) == expected


@pytest.mark.parametrize(
    ("paths", "format_name", "both"),
    [
        (
            ("annotations/instances_a.json", "annotations/instances_b.json"),
            "COCO 1.0",
            "instances_a.json' and 'annotations/instances_b.json'",
        ),
        (("a.zip", "b.ZIP", "c.zip"), "YOLO 1.1", "'a.zip', 'b.ZIP' and 'c.zip'"),
    ],
)
def test_files_that_could_both_be_meant_are_named(
    paths: tuple[str, ...], format_name: str, both: str
) -> None:
    with pytest.raises(AnnotationFileError, match=f"cannot upload 'task1': it holds .*{both}"):
        choose_files(paths, format_name, folder="task1")


def test_an_error_names_the_files_that_are_missing() -> None:
    with pytest.raises(AnnotationFileError, match=r"annotations_pseudo\.xml, annotations\.xml"):
        choose_files(["readme.txt"], "CVAT for images 1.1", folder="task1")
    with pytest.raises(AnnotationFileError, match=r"instances_default\.json, annotations/inst"):
        choose_files([], "COCO 1.0", folder="task1")
    with pytest.raises(AnnotationFileError, match=r"no annotations to pack for 'YOLO 1\.1'"):
        choose_files(["images/1.jpg", ".hidden"], "YOLO 1.1", folder="task1")


def test_formats_of_many_files_are_packed_without_the_images() -> None:
    voc = ["Annotations/a.xml", "ImageSets/Main/default.txt", "JPEGImages/a.jpg", "labelmap.txt"]
    assert chosen(*voc, format_name="PASCAL VOC 1.1") == tuple(
        path for path in voc if "JPEG" not in path
    )
    yolo = ["obj_train_data/a.txt", "obj_train_data/a.PNG", "obj.data", "train.txt"]
    assert chosen(*yolo, format_name="YOLO 1.1") == (
        "obj.data",
        "obj_train_data/a.txt",
        "train.txt",
    )


def test_masks_and_images_whose_folder_is_their_label_are_packed() -> None:
    masks = ("SegmentationClass/a.png", "labelmap.txt")
    assert chosen("JPEGImages/a.png", *masks, format_name="Segmentation mask 1.1") == masks
    labelled = ("cat/a.jpg", "dog/b.jpg")
    assert chosen(*labelled, format_name="ImageNet 1.0") == labelled


@given(st.lists(st.sampled_from(["a.txt", "labels/b.txt", "data.yaml", ".x", "images/c.jpg"])))
def test_the_choice_does_not_depend_on_the_order(paths: list[str]) -> None:
    def outcome(order: list[str]) -> ChosenFiles | str:
        try:
            return choose_files(order, "YOLO 1.1", folder="f")
        except AnnotationFileError as error:
            return str(error)

    assert outcome(paths) == outcome(sorted(paths, reverse=True))


@pytest.mark.parametrize(
    ("data", "importer", "kind"),
    [
        (XML, CVAT, FileKind.XML),
        (b"\xef\xbb\xbf" + XML, CVAT, FileKind.XML),
        (XML.decode().replace("utf-8", "utf-16").encode("utf-16"), CVAT, FileKind.XML),
        (b"<!-- made by a model --><annotations/>", CVAT, FileKind.XML),
        (b"<!DOCTYPE annotations [<!ENTITY a 'b'>]><annotations/>", CVAT, FileKind.XML),
        (b'  {"images": [], "annotations": []}\n', COCO, FileKind.JSON),
        (b"<annotations></annotations>\n<!-- the end -->\n", CVAT, FileKind.XML),
        (zipped(**{"annotations.xml": XML}), CVAT, FileKind.ZIP),
        (zipped(a=b"1"), YOLO, FileKind.ZIP),
        (b"<other/>", Format(name="Kitti Raw Format 1.0", ext="ZIP, XML"), FileKind.XML),
        (b"{}", Format(name="Unheard of 1.0", ext="PARQUET"), FileKind.JSON),
    ],
)
def test_a_file_that_an_importer_can_read_is_accepted(
    data: bytes, importer: Format, kind: FileKind
) -> None:
    assert check_bytes(data, importer) is kind


@pytest.mark.parametrize(
    ("data", "importer", "why"),
    [
        (b"", CVAT, "cannot upload 'f': it is empty"),
        (b" \n", CVAT, "only blanks"),
        (bytes(4096), CVAT, "only blanks or zeros"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", CVAT, "an HTML page"),
        (b"<!-- nginx --><html>\n<h1>502 Bad Gateway</h1></html>\n", CVAT, "an HTML page"),
        (XML[:-5], CVAT, "XML that is cut short"),
        (b'{"images": [', COCO, "JSON that is cut short"),
        (zipped(a=b"1")[:-30], YOLO, "a zip that is cut short"),
        (zipped(), YOLO, "a zip that holds nothing"),
        (b"hello", CVAT, "neither XML nor a JSON object nor a zip"),
        (b"[]", COCO, "neither XML nor a JSON object nor a zip"),
        (b"{}", CVAT, r"'f': it is JSON, and 'CVAT 1\.1' reads XML or ZIP"),
        (XML, COCO, r"'f': it is XML, and 'COCO 1\.0' reads JSON or ZIP"),
        (b"<annotation><object/></annotation>", CVAT, "begins with <annotation> and CVAT's"),
        (b"< >", CVAT, "begins with no element"),
        (b"<annotations><image><box></box>", CVAT, "does not end with </annotations>"),
        (b'{"info": {}}', COCO, "has no 'images' and no 'annotations'"),
        (b'{"images": [}', COCO, "is not JSON"),
    ],
)
def test_a_file_that_an_importer_cannot_read_is_refused(
    data: bytes, importer: Format, why: str
) -> None:
    with pytest.raises(AnnotationFileError, match=why):
        check_bytes(data, importer)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_kind_or_are_refused_by_the_files_name(data: bytes) -> None:
    try:
        told = str(kind_of(data, data, name="f"))
    except AnnotationFileError as error:
        told = str(error)
    assert told in tuple(FileKind) or told.startswith("cannot upload 'f': it ")


@given(st.dictionaries(st.text(), st.integers()))
def test_any_json_object_is_json(value: dict[str, int]) -> None:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert check_bytes(data, Format(name="Unheard of 1.0", ext="JSON")) is FileKind.JSON


def test_a_long_json_file_can_have_its_annotations_anywhere() -> None:
    assert check_bytes(b'{"info": "' + b" " * HEAD_BYTES + b'"}', COCO) is FileKind.JSON


@pytest.mark.parametrize(
    ("members", "importer", "why"),
    [
        ({"a.txt": b""}, CVAT, "a zip without an XML file"),
        (
            {"annotations.xml": b"<html>x</html>"},
            CVAT,
            r"'annotations\.xml' in 'f': it begins with <html>",
        ),
        ({"__MACOSX/annotations.xml": b""}, CVAT, "a zip without an XML file"),
        ({"instances.json": b""}, COCO, r"a zip without annotations/\*\.json"),
    ],
)
def test_a_zip_without_annotations_is_refused(
    members: dict[str, bytes], importer: Format, why: str
) -> None:
    with pytest.raises(AnnotationFileError, match=why):
        check_members(members, importer, name="f")


@pytest.mark.parametrize(
    ("members", "importer"),
    [
        ({"annotations.xml": XML, "images/a.jpg": b""}, CVAT),
        ({"./annotations.xml": XML}, CVAT),
        ({"annotations/instances_default.json": b""}, COCO),
        ({"obj.data": b""}, YOLO),
    ],
)
def test_a_zip_with_annotations_is_accepted(members: dict[str, bytes], importer: Format) -> None:
    check_members(members, importer, name="f")


def test_the_end_of_a_long_file_shows_that_it_is_whole() -> None:
    long = b"<annotations>" + b" " * (HEAD_BYTES + TAIL_BYTES) + b"</annotations>"
    assert check_bytes(long) is FileKind.XML
    with pytest.raises(AnnotationFileError, match="cut short"):
        check_bytes(long[:-1])


def test_the_kinds_of_an_importer_are_those_that_the_server_names() -> None:
    assert accepted_kinds(COCO) == {FileKind.JSON, FileKind.ZIP}
    assert accepted_kinds(Format(name="x")) == frozenset()

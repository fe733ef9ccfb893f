"""Check that formats are found by the names that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.format_names import (
    KNOWN_FORMATS,
    exporter_for,
    format_without_server,
    means_json,
    meant_formats,
    short_names,
    with_json,
)
from asynccvat.core.models import Format, Formats
from asynccvat.core.specs import CVAT
from asynccvat.errors import ConfigError


def _server(*names: str) -> Formats:
    return Formats(exporters=tuple(Format(name=name) for name in names))


TODAY = _server(*(name for name in KNOWN_FORMATS if name != CVAT))
OLDER = _server("YOLO 1.1", "YOLOv8 Detection 1.0", "YOLOv8 Segmentation 1.0")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cvat", "CVAT"),
        ("CVAT 1.1", "CVAT"),
        ("cvat-video", "CVAT for video 1.1"),
        ("coco", "COCO 1.0"),
        ("Coco 1.0", "COCO 1.0"),
        (" coco_1.0 ", "COCO 1.0"),
        ("coco-keypoints", "COCO Keypoints 1.0"),
        ("yolo", "YOLO 1.1"),
        ("voc", "PASCAL VOC 1.1"),
        ("datumaro", "Datumaro 1.0"),
        ("datumaro3d", "Datumaro 3D 1.0"),
        ("mask", "Segmentation mask 1.1"),
        ("mot", "MOT 1.1"),
        ("mots", "MOTS PNG 1.0"),
        ("openimages", "Open Images V6 1.0"),
        ("yolo-seg", "Ultralytics YOLO Segmentation 1.0"),
        ("yolov8-obb", "Ultralytics YOLO Oriented Bounding Boxes 1.0"),
        ("yolo11 pose", "Ultralytics YOLO Pose 1.0"),
        ("ultralytics yolo detection", "Ultralytics YOLO Detection 1.0"),
        ("YOLOv8 Detection 1.0", "Ultralytics YOLO Detection 1.0"),
    ],
)
def test_a_short_name_means_one_format(text: str, name: str) -> None:
    assert exporter_for(text, TODAY, origin="http://cvat") == name
    assert format_without_server(text) in (name, text)


def test_an_older_server_has_the_formats_of_ultralytics_under_their_older_names() -> None:
    for text in ("yolo-seg", "Ultralytics YOLO Segmentation 1.0", "yolov8 segmentation"):
        assert exporter_for(text, OLDER, origin="http://cvat") == "YOLOv8 Segmentation 1.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ultralytics", "several such formats. Did you mean 'Ultralytics YOLO Detection 1.0', "),
        ("yolov8", "several such formats. Did you mean 'Ultralytics YOLO Detection 1.0', "),
        ("yolov5n", "no such format. Did you mean 'Ultralytics YOLO Detection 1.0', "),
        ("icdar", "'ICDAR Localization 1.0', 'ICDAR Recognition 1.0' or 'ICDAR Segmentation 1.0'?"),
        ("coco 2.0", "no such format. Did you mean 'COCO 1.0'"),
        ("cooc", "no such format. Did you mean 'COCO 1.0'"),
        ("png", "no such format. Did you mean 'MOTS PNG 1.0'?"),
        ("xyzzy", "no such format. List its formats with `asynccvat formats`."),
        ("", "no such format. List its formats with `asynccvat formats`."),
    ],
)
def test_what_means_none_or_several_is_refused_with_suggestions(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        exporter_for(text, TODAY, origin="http://cvat")
    assert said in str(raised.value)
    assert format_without_server(text) == text


def test_the_default_needs_both_flavours_of_cvats_xml() -> None:
    with pytest.raises(ConfigError, match=r"cannot export as 'CVAT for video 1\.1'"):
        exporter_for("cvat", _server("CVAT for images 1.1"), origin="http://cvat")


def test_of_two_versions_the_latest_is_meant() -> None:
    server = _server("COCO 1.0", "COCO 1.10", "COCO 1.9")
    assert exporter_for("coco", server, origin="http://cvat") == "COCO 1.10"
    assert exporter_for("coco 1.9", server, origin="http://cvat") == "COCO 1.9"


def test_a_disabled_format_is_not_meant() -> None:
    server = Formats(exporters=(Format(name="COCO 1.0", enabled=False),))
    with pytest.raises(ConfigError, match="no such format"):
        exporter_for("coco", server, origin="http://cvat")


@given(st.sampled_from(KNOWN_FORMATS), st.randoms(use_true_random=False))
def test_case_and_separators_do_not_matter(name: str, chance: object) -> None:
    shuffle = getattr(chance, "choice")  # noqa: B009 - hypothesis' own Random has no type
    text = "".join(
        shuffle(" -_") if one == " " else shuffle((one.lower(), one.upper())) for one in name
    )
    assert meant_formats(text, KNOWN_FORMATS) == (name,)


@given(st.lists(st.text(max_size=12), unique=True), st.text(max_size=12))
def test_only_names_of_the_server_are_ever_meant(names: list[str], text: str) -> None:
    found = meant_formats(text, names)
    assert set(found) <= set(names)
    assert all(meant_formats(name, names) == (name,) for name in names)


@pytest.mark.parametrize("name", KNOWN_FORMATS)
def test_each_known_format_has_a_word_that_means_it(name: str) -> None:
    words = [word for word, meant in short_names(KNOWN_FORMATS).items() if meant == name]
    assert len(words) == 1
    assert " " not in words[0]
    assert meant_formats(words[0], KNOWN_FORMATS) == (name,)


def test_an_older_version_has_its_version_in_the_word() -> None:
    assert short_names(["COCO 1.0", "COCO 2.0"]) == {"coco-1.0": "COCO 1.0", "coco": "COCO 2.0"}


def test_a_format_that_no_word_means_is_left_out() -> None:
    assert short_names(["A b 1.0", "A-b 1.0"]) == {"a-b": "A b 1.0"}


@pytest.mark.parametrize("text", ["json", "JSON", "CVAT JSON", "cvat-json"])
def test_cvats_json_is_no_format_of_a_server(text: str) -> None:
    assert means_json(text)
    assert format_without_server(text) == "CVAT JSON"
    with pytest.raises(ConfigError, match="`asynccvat mirror` alone"):
        exporter_for(text, Formats(), origin="http://cvat")


def test_the_tab_key_offers_cvats_json_by_its_short_name() -> None:
    assert with_json({"coco": "COCO 1.0"}) == {"coco": "COCO 1.0", "json": "CVAT JSON"}
    assert not means_json("coco")

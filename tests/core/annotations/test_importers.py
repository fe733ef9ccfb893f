"""Check that importers are found by their own names and by exporters' names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.importers import importer_for, importer_name
from asynccvat.core.models import Format, Formats
from asynccvat.errors import ConfigError

FORMATS = Formats(
    importers=(
        Format(name="CVAT 1.1", ext="XML, ZIP"),
        Format(name="COCO 1.0", ext="JSON, ZIP"),
        Format(name="COCO Keypoints 1.0", ext="JSON, ZIP"),
        Format(name="YOLO 1.1", ext="ZIP"),
        Format(name="MOT 1.1", ext="ZIP", enabled=False),
    ),
    exporters=(
        Format(name="CVAT for images 1.1", ext="ZIP"),
        Format(name="CVAT for video 1.1", ext="ZIP"),
        Format(name="COCO 1.0", ext="ZIP"),
        Format(name="YOLO Track 1.0", ext="ZIP"),
    ),
)


@pytest.mark.parametrize(
    ("name", "importer"),
    [
        ("CVAT", "CVAT 1.1"),
        ("CVAT 1.1", "CVAT 1.1"),
        ("CVAT for images 1.1", "CVAT 1.1"),
        ("CVAT for video 1.1", "CVAT 1.1"),
        ("COCO 1.0", "COCO 1.0"),
        ("COCO Keypoints 1.0", "COCO Keypoints 1.0"),
    ],
)
def test_either_name_finds_the_importer(name: str, importer: str) -> None:
    assert importer_for(name, FORMATS, origin="http://cvat").name == importer
    assert importer_name(name) == importer


@given(st.sampled_from([item.name for item in FORMATS.importers]))
def test_an_importers_name_is_its_own(name: str) -> None:
    assert importer_name(name) == name


def test_a_format_that_is_only_exported_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"cannot import 'YOLO Track 1\.0': .* only exports that format"
    ):
        importer_for("YOLO Track 1.0", FORMATS, origin="http://cvat")
    with pytest.raises(ConfigError, match=r"Did you mean .*'YOLO 1\.1'"):
        importer_for("YOLO Track 1.0", FORMATS, origin="http://cvat")


@pytest.mark.parametrize(
    ("given", "importer"),
    [
        ("coco", "COCO 1.0"),
        ("coco 1.0", "COCO 1.0"),
        ("yolo", "YOLO 1.1"),
        ("cvat", "CVAT 1.1"),
        ("cvat for video", "CVAT 1.1"),
        ("keypoints", "COCO Keypoints 1.0"),
    ],
)
def test_short_names_find_the_importer(given: str, importer: str) -> None:
    assert importer_for(given, FORMATS, origin="http://cvat").name == importer


def test_another_version_is_refused_and_the_nearest_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"has no such importer. Did you mean 'COCO 1\.0'"):
        importer_for("coco 2.0", FORMATS, origin="http://cvat")


def test_a_text_that_may_mean_several_importers_is_refused_with_all() -> None:
    several = Formats(importers=(Format(name="ICDAR A 1.0"), Format(name="ICDAR B 1.0")))
    with pytest.raises(ConfigError, match=r"several such importers. .*'ICDAR A 1\.0' or 'ICDAR B"):
        importer_for("icdar", several, origin="http://cvat")


def test_a_disabled_importer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot import 'MOT 1\.1'"):
        importer_for("MOT 1.1", FORMATS, origin="http://cvat")


def test_without_a_near_name_the_list_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"List its formats with `asynccvat formats`\."):
        importer_for("xyzzy", FORMATS, origin="http://cvat")

"""Names of media files: their order, and those that cannot stand beside each other."""

from __future__ import annotations

from asynccvat.core.media.kinds import (
    MediaKind,
    MediaType,
    collisions,
    is_context,
    is_ignored_in_zip,
    is_litter,
    is_other_image,
    natural_key,
    shown,
    unusable_name,
)


def test_numbers_in_names_are_ordered_by_their_values() -> None:
    names = ["f10.jpg", "f9.jpg", "f09.jpg", "e.jpg", "9.jpg", "f.jpg"]
    assert sorted(names, key=natural_key) == [
        "9.jpg",
        "e.jpg",
        "f09.jpg",
        "f9.jpg",
        "f10.jpg",
        "f.jpg",
    ]


def test_names_that_differ_by_case_or_by_the_form_of_accents_collide() -> None:
    names = ["a/B.jpg", "u\u0308.jpg", "c.jpg", "a/b.JPG", "\u00fc.jpg"]
    assert list(collisions(names)) == [("a/b.JPG", "a/B.jpg"), ("\u00fc.jpg", "u\u0308.jpg")]


def test_names_that_a_server_cannot_have_are_told() -> None:
    assert unusable_name("a/b c.jpg") is None
    assert unusable_name("a\\b.jpg") == "its name has a backslash"
    assert unusable_name("a\nb.jpg") == "its name has a control character"
    assert unusable_name("a\udcffb.jpg") == "its name is not UTF-8"


def test_what_systems_leave_in_folders_is_litter() -> None:
    assert all(map(is_litter, (".DS_Store", "Thumbs.db", "__MACOSX", ".asynccvat")))
    assert all(map(is_litter, ("@eaDir", "$RECYCLE.BIN", "System Volume Information")))
    assert not is_litter("a.jpg")


def test_cvat_passes_over_few_members_of_zips() -> None:
    assert is_ignored_in_zip("__MACOSX/a/._b.jpg")
    assert is_ignored_in_zip("a/.DS_Store")
    assert not is_ignored_in_zip("a/._b.jpg")


def test_images_of_types_that_are_not_known_here_are_told() -> None:
    assert is_other_image("a.HEIC")
    assert not is_other_image("a.jpg")
    assert not is_other_image("svg")


def test_images_beside_frames_are_no_frames() -> None:
    assert is_context("related_images/a_jpg/b.jpg")
    assert not is_context("related_images.jpg")


def test_types_are_images_videos_or_zips() -> None:
    assert MediaType.JPEG.kind is MediaKind.IMAGE
    assert MediaType.AVI.kind is MediaKind.VIDEO
    assert MediaType.ZIP.kind is MediaKind.ZIP


def test_a_long_name_is_shortened_in_messages() -> None:
    assert len(shown("x" * 500)) < 150

"""A corpus of hostile archives and a real server's exports, treated as their folders say."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive_reading import CHUNKS, Tree, read_by_directory, read_spooled, read_with_zipfile

from asynccvat.errors import (
    ArchiveError,
    IntegrityError,
    UnsupportedArchiveError,
)

# What to do with each archive that could be treated either way, and why. Both ways of reading
# decide alike. None: it is read, and equals what the standard library reads.
IFFY: dict[str, tuple[type[ArchiveError] | None, str]] = {
    "8bitcomment.zip": (
        IntegrityError,
        (
            "its comment holds the signature of an end record: readers that search backwards and "
            "forwards find different ends"
        ),
    ),
    "extra3byte.zip": (
        IntegrityError,
        (
            "its extra field is no list of fields; readers differ in what they make of it, and no "
            "export has one"
        ),
    ),
    "non_ascii_original_name.zip": (
        None,
        "its Unicode path says the same as its name in code page 437",
    ),
    "nosubdir.zip": (
        None,
        "a file in a folder that is not listed; exports never list folders",
    ),
    "prefix.zip": (
        IntegrityError,
        (
            "bytes before the first member, as in self-extracting programs: what is no member is "
            "not vouched for by any checksum"
        ),
    ),
    "suffix_not_comment.zip": (
        IntegrityError,
        "bytes after the end that no comment accounts for",
    ),
    "zip64_eocd_extensible_data.zip": (
        UnsupportedArchiveError,
        (
            "extensible data belongs to encryption and vendors; readers that skip it and readers "
            "that do not find different records"
        ),
    ),
    "zip64_extra_too_long.zip": (
        IntegrityError,
        (
            "the surplus value is a second size, against the header's (a surplus that agrees "
            "is read)"
        ),
    ),
    "zip64_extra_too_short.zip": (
        IntegrityError,
        "a size is said to be in the zip64 field and is not there",
    ),
}


def outcome(read: object, data: bytes, chunk: int | None) -> Tree | type[ArchiveError]:
    assert callable(read)
    try:
        tree, _ = read(data, chunk)
    except ArchiveError as error:
        return type(error)
    assert isinstance(tree, dict)
    return tree


def archives(shared: Path, folder: str) -> list[Path]:
    found = sorted((shared / "archives" / folder).glob("*.zip"))
    if not found:
        pytest.skip(f"no archives at {shared / 'archives' / folder}")
    return found


@pytest.mark.parametrize("read", [read_by_directory, read_spooled])
def test_accepted_archives_are_read_as_the_standard_library_does(
    shared: Path, read: object
) -> None:
    for path in archives(shared, "accept"):
        data = path.read_bytes()
        for chunk in CHUNKS:
            assert outcome(read, data, chunk) == read_with_zipfile(data), (path.name, chunk)


@pytest.mark.parametrize("read", [read_by_directory, read_spooled])
@pytest.mark.parametrize("folder", ["reject", "malicious"])
def test_rejected_and_malicious_archives_are_refused(
    shared: Path, folder: str, read: object
) -> None:
    for path in archives(shared, folder):
        for chunk in CHUNKS:
            result = outcome(read, path.read_bytes(), chunk)
            assert isinstance(result, type), (path.name, chunk)


@pytest.mark.parametrize("read", [read_by_directory, read_spooled])
def test_doubtful_archives_are_treated_as_decided(shared: Path, read: object) -> None:
    paths = archives(shared, "iffy")
    assert {path.name for path in paths} == set(IFFY)
    for path in paths:
        data = path.read_bytes()
        error, why = IFFY[path.name]
        for chunk in CHUNKS:
            wanted = read_with_zipfile(data) if error is None else error
            assert outcome(read, data, chunk) == wanted, (path.name, chunk, why)


@pytest.mark.parametrize("read", [read_by_directory, read_spooled])
def test_real_exports_are_read_as_the_standard_library_does(shared: Path, read: object) -> None:
    for path in sorted((shared / "contract" / "exports").glob("*.zip")):
        data = path.read_bytes()
        for chunk in (4099, None):
            assert outcome(read, data, chunk) == read_with_zipfile(data), path.name

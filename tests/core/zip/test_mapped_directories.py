"""Check that a directory maps unsafe names where that is wanted, and stays as strict otherwise."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules, leads_outside
from asynccvat.core.zip import Directory, MemberData, MemberStart, ZipReader, read_directory
from asynccvat.errors import (
    ArchiveError,
    ArchiveLimitError,
    UnsafePathError,
    UnsupportedArchiveError,
)

WINDOWS = NameRules(case_sensitive=False, windows_names=False)


def packed(names: Iterable[str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"" if name.endswith("/") else name.encode())
    return stream.getvalue()


def directory(data: bytes, *, rules: NameRules | None = None, map_names: bool = True) -> Directory:
    found = read_directory(
        data,
        len(data),
        limits=ArchiveLimits(),
        rules=rules or NameRules(),
        map_names=map_names,
    )
    assert isinstance(found, Directory)
    return found


def test_unsafe_names_are_mapped_and_the_original_ones_are_kept() -> None:
    found = directory(packed(["annotations.xml", "images/cam1\\1.jpg", "images//2.jpg", "a\\b/"]))
    assert [(one.name, one.original, one.is_directory) for one in found.entries] == [
        ("annotations.xml", "annotations.xml", False),
        ("images/cam1%5C1.jpg", "images/cam1\\1.jpg", False),
        ("images/%2F2.jpg", "images//2.jpg", False),
        ("a%5Cb", "a\\b", True),
    ]
    assert [one.mapped_from is None for one in found.entries] == [True, False, False, False]


def test_the_digest_is_that_of_the_archive_wherever_it_goes() -> None:
    data = packed(["A.jpg", "a.jpg"])
    assert directory(data).digest == directory(data, rules=WINDOWS).digest
    assert directory(data).entries[1].mapped_from is None
    assert directory(data, rules=WINDOWS).entries[1].mapped_from == "a.jpg"


def test_members_are_read_under_their_mapped_names() -> None:
    data = packed(["a\\b", "c\\d/"])
    found = directory(data)
    reader = ZipReader(found, found.entries, ArchiveLimits())
    events = list(reader.feed(data[: found.start]))
    reader.close()
    assert [one.entry.name for one in events if isinstance(one, MemberStart)] == ["a%5Cb", "c%5Cd"]
    assert b"".join(one.data for one in events if isinstance(one, MemberData)) == b"a\\b"


@pytest.mark.parametrize("names", [["a\\b"], ["a//b"], ["/a"], ["a", "a/b"], [".asynccvat/x"]])
def test_names_are_mapped_only_on_demand(names: list[str]) -> None:
    data = packed(names)
    with pytest.raises(UnsafePathError, match="--names map"):
        directory(data, map_names=False)
    assert len(directory(data).entries) == len(names)


@pytest.mark.parametrize("name", ["../a", "a/../../b", "..\\a", "a\\..\\b"])
def test_names_that_lead_outside_are_refused_all_the_same(name: str) -> None:
    with pytest.raises(UnsafePathError, match="refused"):
        directory(packed(["ok\\1.jpg", name]))


def test_links_are_refused_all_the_same() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("a\\link")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UnsupportedArchiveError, match="symbolic link"):
        directory(stream.getvalue())


def test_limits_count_for_the_names_of_the_archive() -> None:
    with pytest.raises(ArchiveLimitError, match="components"):
        directory(packed(["a\\b", "d/" * 70 + "x"]))


NAMES = st.lists(st.text("aA./\\: \t", min_size=1, max_size=8), unique=True, max_size=6)


@given(NAMES, st.sampled_from([NameRules(), WINDOWS]))
def test_every_archive_without_names_that_lead_outside_can_be_mapped(
    names: list[str], rules: NameRules
) -> None:
    data = packed(names)
    outside = any(leads_outside(name.removesuffix("/")) for name in names)
    try:
        found = directory(data, rules=rules)
    except ArchiveError:
        assert outside
        return
    assert not outside
    assert {one.original + "/" * one.is_directory for one in found.entries} == set(names)

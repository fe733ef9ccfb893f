"""Check which members have parts, and what is taken of them."""

from __future__ import annotations

import zipfile
import zlib
from io import BytesIO

import pytest

from asynccvat.aio.threads import in_thread
from asynccvat.archives import parts
from asynccvat.archives.parts import MemberParts
from asynccvat.core.paths import NameRules
from asynccvat.core.zip import ArchiveLimits, Directory, KeptPrefix, read_directory
from asynccvat.store import Staging

pytestmark = pytest.mark.anyio


def entries_of(members: dict[str, tuple[bytes, int]]) -> Directory:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, (content, method) in members.items():
            archive.writestr(name, content, method)
    data = buffer.getvalue()
    directory = read_directory(data, len(data), limits=ArchiveLimits(), rules=NameRules())
    assert isinstance(directory, Directory)
    return directory


async def test_large_stored_members_have_one_part_each(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_FROM", 100)
    await in_thread(check_parts, staging)


def check_parts(staging: Staging) -> None:
    large, text = b"x" * 1000, b"y" * 1000
    directory = entries_of(
        {
            "a.mp4": (large, zipfile.ZIP_STORED),
            "b.mp4": (large, zipfile.ZIP_STORED),
            "small": (b"x", zipfile.ZIP_STORED),
            "text.xml": (text, zipfile.ZIP_DEFLATED),
        }
    )
    first = MemberParts(staging, directory.entries)
    assert [entry.name for entry in directory.entries if first.takes(entry)] == ["a.mp4"]
    assert first.prefixes == {}
    with staging.open_parts():
        pass
    folder = staging.tree.with_name("parts")
    part = folder / f"{zlib.crc32(large):08x}-1000"
    for kept, length in ((large[:500], 500), (large, 999), (large * 2, 999)):
        part.write_bytes(kept)
        found = MemberParts(staging, directory.entries).prefixes
        assert found == {0: KeptPrefix(length, zlib.crc32(kept[:length]))}
    part.write_bytes(large[:99])  # less than what is worth a request
    assert MemberParts(staging, directory.entries).prefixes == {}

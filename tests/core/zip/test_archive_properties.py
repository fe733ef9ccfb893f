"""Properties that hold for any tree, any chunks and any damage."""

from __future__ import annotations

import contextlib
import io
import zipfile

import pytest
from archive_builder import Member, build
from archive_reading import (
    CHUNKS,
    LIMITS,
    Tree,
    directory_of,
    drain,
    read_by_directory,
    read_spooled,
)
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.zip import ZipReader
from asynccvat.errors import ArchiveError

COMPONENTS = st.text("ab é日.", min_size=1, max_size=3).filter(lambda part: part.strip(". "))
CONTENTS = st.binary(max_size=60) | st.builds(bytes, st.integers(0, 2000))
FORMS = st.sampled_from(["signed32", "bare32", "signed64", "bare64"])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Files in folders whose names never meet: folders end in a digit, files in a letter."""
    tree: Tree = {}
    for folders in draw(st.lists(st.lists(COMPONENTS, max_size=3), max_size=6)):
        folder = "".join(f"{part}1/" for part in folders)
        kind = draw(st.sampled_from(["file", "directory"]))
        if kind == "directory" and folder:
            tree[folder.removesuffix("/")] = None
        else:
            tree[f"{folder}{draw(COMPONENTS)}x"] = draw(CONTENTS)
    return tree


def slashed(name: str, content: bytes | None) -> str:
    return f"{name}/" if content is None else name


@given(trees(), st.booleans(), st.booleans(), st.sampled_from(CHUNKS[1:]))
def test_what_the_standard_library_writes_is_read(
    tree: Tree, deflated: bool, streamed: bool, chunk: int | None
) -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    target = Unseekable() if streamed and deflated else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in tree.items():
            archive.writestr(slashed(name, content), content or b"")
    data = target.getvalue()
    assert read_by_directory(data, chunk)[0] == tree
    assert read_spooled(data, chunk)[0] == tree


@given(trees(), st.data())
def test_what_the_builder_writes_is_read(tree: Tree, draw: st.DataObject) -> None:
    members = []
    for name, content in tree.items():
        method = draw.draw(st.sampled_from([0, 8]))
        descriptor = draw.draw(st.none() | FORMS) if method else None
        members.append(
            Member(slashed(name, content), content or b"", method=method, descriptor=descriptor)
        )
    zip64, comment = draw.draw(st.booleans()), draw.draw(st.sampled_from([b"", b"x" * 90]))
    order = draw.draw(st.permutations(range(len(members))))
    data = build(*members, zip64=zip64, comment=comment, listed=order)
    assert read_by_directory(data)[0] == tree
    assert read_spooled(data)[0] == tree


VICTIM_TREE: Tree = {
    "annotations.xml": b"<annotations>\n" + b"<box/>\n" * 30,
    "images": None,
    "images/1.jpg": bytes(range(200)),
    "é.txt": b"",
    "stream": b"stream" * 20,
}
VICTIMS = [
    build(
        *(
            Member(
                slashed(name, content),
                content or b"",
                method=8 if name in ("annotations.xml", "stream") else 0,
                descriptor="signed32" if name == "stream" else None,
            )
            for name, content in VICTIM_TREE.items()
        ),
        zip64=zip64,
        comment=comment,
    )
    for zip64, comment in [(False, b""), (True, b"a comment")]
]


def check_damaged(data: bytes) -> None:
    """Whatever happened to an archive, it is read as it was or refused with an ArchiveError."""
    for read in (read_by_directory, read_spooled):
        try:
            tree, directory = read(data)
        except ArchiveError:
            continue
        assert tree == VICTIM_TREE
        assert {entry.name for entry in directory.entries} == set(VICTIM_TREE)


def test_any_cut_is_noticed() -> None:
    for victim in VICTIMS:
        for length in range(len(victim)):
            for read in (read_by_directory, read_spooled):
                try:
                    read(victim[:length])
                except ArchiveError:
                    continue
                raise AssertionError(f"cut at {length} of {len(victim)}")


def test_any_byte_that_changes_is_noticed_or_does_not_matter() -> None:
    for victim in VICTIMS:
        for position in range(len(victim)):
            for mask in (0x01, 0x80, 0xFF):
                damaged = bytearray(victim)
                damaged[position] ^= mask
                check_damaged(bytes(damaged))


@given(st.sampled_from(VICTIMS), st.data())
def test_bytes_that_are_lost_doubled_or_moved_are_noticed(
    victim: bytes, draw: st.DataObject
) -> None:
    places = st.integers(0, len(victim))
    start, end, target = draw.draw(places), draw.draw(places), draw.draw(places)
    start, end = sorted((start, end))
    check_damaged(victim[:start] + victim[end:])
    check_damaged(victim[:target] + victim[start:end] + victim[target:])


@given(
    st.lists(
        st.sampled_from(VICTIMS)
        | st.binary(max_size=40)
        | st.sampled_from(
            [b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\10", b"\0" * 22]
        ),
        max_size=5,
    )
)
def test_bytes_of_any_kind_give_archive_errors_only(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    for read in (read_by_directory, read_spooled):
        with contextlib.suppress(ArchiveError):
            read(data)


@given(st.sampled_from(VICTIMS), st.lists(st.integers(0, 2000), max_size=20))
def test_uneven_chunks_give_the_same(victim: bytes, cuts: list[int]) -> None:
    directory = directory_of(victim)
    reader = ZipReader(directory, directory.entries, LIMITS)
    ends = sorted(min(cut, directory.start) for cut in cuts)
    pieces = [victim[a:b] for a, b in zip([0, *ends], [*ends, directory.start], strict=True)]
    sizes: dict[str, int] = {}
    for piece in pieces:
        for event in reader.feed(piece):
            if hasattr(event, "data"):
                sizes["all"] = sizes.get("all", 0) + len(event.data)
    assert sizes["all"] == sum(len(content or b"") for content in VICTIM_TREE.values())
    reader.close()


@given(st.binary(max_size=300), st.sampled_from(CHUNKS))
def test_a_span_fed_with_anything_gives_archive_errors_only(data: bytes, chunk: int | None) -> None:
    directory = directory_of(VICTIMS[0])
    reader = ZipReader(directory, directory.entries, LIMITS)
    with contextlib.suppress(ArchiveError):
        drain(reader, data, chunk)
    with pytest.raises(ArchiveError):
        reader.close()

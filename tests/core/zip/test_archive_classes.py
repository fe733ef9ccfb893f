"""Every class of good and bad archive: read, or refused, in ranges and from a spool alike."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from archive_builder import (
    FIFO,
    FOLDER,
    LINK,
    REGULAR,
    UTF8,
    Member,
    build,
    deflate,
    extra_field,
    unicode_path,
    zip64_extra,
)
from archive_reading import CHUNKS, Tree, read_by_directory, read_spooled

from asynccvat.core.paths import NameRules
from asynccvat.core.zip import ArchiveLimits, Directory
from asynccvat.errors import (
    ArchiveError,
    ArchiveLimitError,
    IntegrityError,
    TruncatedArchiveError,
    UnsafePathError,
    UnsupportedArchiveError,
)

Read = Callable[..., tuple[Tree, Directory]]
both_ways = pytest.mark.parametrize("read", [read_by_directory, read_spooled])

MASK = 0xFFFFFFFF
A = Member("a.txt", b"alpha")
B = Member("b/c.bin", b"beta" * 500, method=8)
XML = b"<box/>\n" * 40_000

GOOD: dict[str, tuple[bytes, Tree]] = {
    "empty": (build(), {}),
    "empty zip64": (build(zip64=True), {}),
    "stored and deflated": (build(A, B), {"a.txt": b"alpha", "b/c.bin": b"beta" * 500}),
    "empty members": (build(Member("a"), Member("b", method=8)), {"a": b"", "b": b""}),
    "larger than a window": (
        build(Member("x", bytes(range(256)) * 1000, method=8), Member("y", XML, method=8), A),
        {"x": bytes(range(256)) * 1000, "y": XML, "a.txt": b"alpha"},
    ),
    "directories": (
        build(Member("d/"), Member("d/e/"), Member("d/e/f", b"1")),
        {"d": None, "d/e": None, "d/e/f": b"1"},
    ),
    "a deflated directory": (build(Member("d/", method=8)), {"d": None}),
    "a directory with a descriptor": (
        build(Member("d/", descriptor="signed32"), A),
        {
            "d": None,
            "a.txt": b"alpha",
        },
    ),
    "a deflated directory with a descriptor": (
        build(Member("d/", method=8, descriptor="bare32")),
        {"d": None},
    ),
    "names in UTF-8": (build(Member("日本/é", b"1")), {"日本/é": b"1"}),
    "names in code page 437": (build(Member(b"\x82\xe1", b"1")), {"éß": b"1"}),
    "a Unicode path": (
        build(Member(b"\xc3\xa9", b"1", both={"extra": unicode_path(b"\xc3\xa9", "é")})),
        {"é": b"1"},
    ),
    "a Unicode path that repeats the name": (
        build(Member("e", b"1", both={"extra": unicode_path(b"e", "e")})),
        {"e": b"1"},
    ),
    "unknown extra fields": (
        build(Member("e", b"1", both={"extra": extra_field(0x5455, b"\3" * 9)})),
        {"e": b"1"},
    ),
    "a version that names a system": (
        build(Member("e", b"1", both={"version": (11 << 8) | 63})),
        {"e": b"1"},
    ),
    "different extra fields": (
        build(
            Member(
                "e",
                b"1",
                local={"extra": extra_field(0x5455, b"\3" * 9)},
                central={"extra": extra_field(0x5455, b"\3" * 5), "comment": b"hello"},
            )
        ),
        {"e": b"1"},
    ),
    "a comment": (build(A, comment=b"hello"), {"a.txt": b"alpha"}),
    "the longest comment": (build(A, comment=b"\0" * 65_535), {"a.txt": b"alpha"}),
    "another order in the directory": (
        build(A, B, listed=[1, 0]),
        {
            "a.txt": b"alpha",
            "b/c.bin": b"beta" * 500,
        },
    ),
    "no attributes": (build(Member("e", b"1", both={"attributes": 0})), {"e": b"1"}),
    "a directory without attributes": (build(Member("e/", both={"attributes": 0})), {"e": None}),
    "zip64 end records": (build(A, zip64=True, comment=b"hello"), {"a.txt": b"alpha"}),
    "zip64 end records, nothing masked": (
        build(A, zip64=True, end={"count": 1, "here": 1, "size": 51}),
        {"a.txt": b"alpha"},
    ),
    "zip64 sizes": (
        build(
            Member(
                "e",
                b"12",
                both={"size": MASK, "compressed_size": MASK, "extra": zip64_extra(2, 2)},
            )
        ),
        {"e": b"12"},
    ),
    "one zip64 size": (
        build(Member("e", b"12", both={"compressed_size": MASK, "extra": zip64_extra(2)})),
        {"e": b"12"},
    ),
    "zip64 values beyond need that agree": (
        build(
            A,
            Member(
                "e",
                b"12",
                local={"extra": zip64_extra(2, 2)},
                central={
                    "size": MASK,
                    "compressed_size": MASK,
                    "extra": zip64_extra(2, 2, 40),
                },
            ),
        ),
        {"a.txt": b"alpha", "e": b"12"},
    ),
    "a zip64 offset and disk": (
        build(
            A,
            Member(
                "e",
                b"12",
                central={
                    "offset": MASK,
                    "disk": 0xFFFF,
                    "extra": extra_field(1, (40).to_bytes(8, "little") + b"\0" * 4),
                },
            ),
        ),
        {"a.txt": b"alpha", "e": b"12"},
    ),
    "zip64 sizes with a descriptor": (
        build(
            Member(
                "e",
                b"12",
                method=8,
                descriptor="signed64",
                local={"size": MASK, "compressed_size": MASK, "extra": zip64_extra(0, 0)},
            )
        ),
        {"e": b"12"},
    ),
    "a descriptor that only the local header knows of": (
        build(Member("e", b"12", method=8, descriptor="signed32", central={"flags": 0}), A),
        {"e": b"12", "a.txt": b"alpha"},
    ),
    "a descriptor after sizes that were known": (
        build(
            Member(
                "e",
                b"12",
                descriptor="signed32",
                local={"crc": zlib.crc32(b"12"), "size": 2, "compressed_size": 2},
            )
        ),
        {"e": b"12"},
    ),
    "an end record in a stored member": (
        build(Member("inner.zip", build(A)), B),
        {"inner.zip": build(A), "b/c.bin": b"beta" * 500},
    ),
}
for form in ("signed32", "bare32", "signed64", "bare64"):
    GOOD[f"descriptors: {form}"] = (
        build(
            *(Member(f"{i}", bytes([i]) * i * 50, method=8, descriptor=form) for i in range(4)),
        ),
        {f"{i}": bytes([i]) * i * 50 for i in range(4)},
    )


@both_ways
@pytest.mark.parametrize("name", GOOD)
def test_good_archives_are_read_alike_in_chunks_of_any_size(name: str, read: Read) -> None:
    data, tree = GOOD[name]
    found = [read(data, chunk) for chunk in CHUNKS]
    assert found == [(tree, found[0][1])] * len(CHUNKS)


def bad_extra(extra: bytes, **fields: int) -> bytes:
    return build(Member("m", b"12", both={"extra": extra, **fields}))


# Name: archive, error, and what its message says. A spool refuses at once what does not begin as
# an archive.
BAD: dict[str, tuple[bytes, type[ArchiveError], str]] = {
    "nothing": (b"", TruncatedArchiveError, "cut off"),
    "an error page": (
        b"<html>502 Bad Gateway</html>",
        ArchiveError,
        "no zip archive",
    ),
    "cut within a member": (build(A, B)[:20], TruncatedArchiveError, "cut off"),
    "cut within the data": (build(A)[:38], TruncatedArchiveError, "cut off"),
    "cut within the directory": (
        build(A, B)[:-30],
        TruncatedArchiveError,
        "cut off",
    ),
    "cut within the end record": (build(A)[:-1], TruncatedArchiveError, "end record"),
    "cut within the comment": (
        build(A, comment=b"hello")[:-2],
        TruncatedArchiveError,
        "within its end record",
    ),
    "a prefix": (build(A, prefix=b"#!/bin/sh\n"), IntegrityError, "added|no zip archive"),
    "a prefix that offsets know of": (
        build(Member("a", b"1", gap=b"XXXX")),
        IntegrityError,
        "no zip archive|belong to nothing",
    ),
    "a prefix that is an empty archive": (build() + build(A), IntegrityError, "added"),
    "trailing bytes": (build(A, trailing=b"\0"), IntegrityError, "1 bytes follow the end"),
    "two archives": (build(A) + build(B), IntegrityError, "added"),
    "an end record in the comment": (
        build(A, comment=build(B)[-22:] + b"!"),
        IntegrityError,
        "bytes follow the end",
    ),
    "an archive in the comment": (build(A, comment=build(B)), IntegrityError, "added"),
    "a second end record": (build(A) + build(A)[-22:], IntegrityError, "added"),
    "a gap between members": (
        build(A, Member("x", b"1", gap=b"PK")),
        IntegrityError,
        "leaves 2 bytes",
    ),
    "a great gap between members": (
        build(A, Member("x", b"1", gap=b"\0" * 70_000)),
        IntegrityError,
        "belong to",
    ),
    "a gap before the directory": (
        build(A, before_directory=b"\0\0\0\0"),
        IntegrityError,
        "leaves 4 bytes",
    ),
    "a great gap before the directory": (
        build(A, before_directory=b"\0" * 70_000),
        IntegrityError,
        "belong to",
    ),
    "a gap before an empty directory": (
        build(before_directory=b"PK\1\2"),
        IntegrityError,
        "belong to nothing",
    ),
    "a gap after the directory": (
        build(A, after_directory=b"\0" * 5),
        IntegrityError,
        "bytes were added",
    ),
    "a signature after the directory": (
        build(A, after_directory=b"PK\5\5\0\0", end={"size": 57}),
        IntegrityError,
        "6 bytes after its 1 members",
    ),
    "a member that is not listed": (
        build(A, B, listed=[0]),
        IntegrityError,
        "bytes before what follows",
    ),
    "a first member that is not listed": (
        build(A, B, listed=[1]),
        IntegrityError,
        "belong to nothing",
    ),
    "a member that is listed twice": (build(A, listed=[0, 0]), UnsafePathError, "twice"),
    "two names for one member": (
        build(
            Member("a", b"1"),
            Member("b", packed=b"", central={"offset": 0, "size": 1, "compressed_size": 1}),
        ),
        IntegrityError,
        "within the member before",
    ),
    "an overlap": (
        build(
            Member("x", build(A)[:40], central={"name": b"x"}),
            Member("a.txt", b"", central={"offset": 31, "crc": zlib.crc32(b"alpha")}),
        ),
        IntegrityError,
        "within the member before",
    ),
    "a member within the directory": (
        build(A, Member("z", b"", central={"offset": 80})),
        IntegrityError,
        "within",
    ),
    "fewer members than counted": (
        build(A, end={"count": 2, "here": 2}),
        IntegrityError,
        "too short for its 2",
    ),
    "fewer members than counted, hidden by a comment": (
        build(Member("a", b"1", central={"comment": b"x" * 60}), end={"count": 2, "here": 2}),
        IntegrityError,
        "ends within a header",
    ),
    "a long header at the end of the directory": (
        build(Member("a", b"1", central={"comment_length": 9})),
        IntegrityError,
        "ends within a header",
    ),
    "more members than counted": (
        build(A, B, end={"count": 1, "here": 1}),
        IntegrityError,
        "after its 1 members",
    ),
    "no header in the directory": (
        build(A, Member("b", b"1", central={"signature": b"PK\1\3"})),
        IntegrityError,
        "what is no header",
    ),
    "a directory elsewhere": (
        build(A, end={"offset": 41}),
        IntegrityError,
        "should end at byte",
    ),
    "a directory that is larger": (build(A, end={"size": 60}), IntegrityError, "should end"),
    "a directory that starts earlier": (
        build(A, end={"offset": 39, "size": 52}),
        IntegrityError,
        "what is no header",
    ),
    "another disk": (build(A, end={"disk": 1}), UnsupportedArchiveError, "several parts"),
    "a directory on another disk": (
        build(A, end={"start_disk": 1}),
        UnsupportedArchiveError,
        "several parts",
    ),
    "two counts": (build(A, end={"here": 2}), UnsupportedArchiveError, "several parts"),
    "a member on another disk": (
        build(Member("a", b"1", central={"disk": 1})),
        UnsupportedArchiveError,
        "'a' lies on another disk",
    ),
    "a member on another disk, wide": (
        build(
            Member(
                "a",
                b"1",
                central={
                    "disk": 0xFFFF,
                    "offset": MASK,
                    "extra": extra_field(1, b"\0" * 8 + b"\1\0\0\0"),
                },
            )
        ),
        UnsupportedArchiveError,
        "'a' lies on another disk",
    ),
    "zip64 end record elsewhere": (
        build(A, zip64=True, locator={"position": 92}),
        IntegrityError,
        "not where it should",
    ),
    "zip64 end record before": (
        build(A, zip64=True, locator={"position": 0}),
        UnsupportedArchiveError,
        "extensible",
    ),
    "zip64 end record on another disk": (
        build(A, zip64=True, locator={"disk": 1}),
        IntegrityError,
        "not where it should",
    ),
    "zip64 end record of many disks": (
        build(A, zip64=True, locator={"disks": 2}),
        IntegrityError,
        "not where it should",
    ),
    "zip64 end record of no disk": (
        build(A, zip64=True, locator={"disks": 0}),
        IntegrityError,
        "not where it should",
    ),
    "zip64 end record of another length": (
        build(A, zip64=True, end64={"length": 45}),
        IntegrityError,
        "not where it should",
    ),
    "zip64 end record with data": (
        build(A, zip64=True, extensible=b"z" * 20),
        UnsupportedArchiveError,
        "extensible",
    ),
    "zip64 end record missing": (
        build(A, after_directory=build(A, zip64=True)[-42:-22]),
        IntegrityError,
        "not where it should",
    ),
    "zip64 end record overwritten": (
        build(A, zip64=True).replace(b"PK\6\6", b"PK\6\5"),
        IntegrityError,
        "not where it should",
    ),
    "zip64 locator alone": (
        build(zip64=True)[56:],
        IntegrityError,
        "not where it should",
    ),
    "zip64 disks": (
        build(A, zip64=True, end={"disk": 0xFFFF}, end64={"disk": 1}),
        UnsupportedArchiveError,
        "parts",
    ),
    "end records that contradict": (
        build(A, zip64=True, end={"count": 2}),
        IntegrityError,
        "contradict each other",
    ),
    "masked and no zip64 end record": (
        build(A, end={"size": MASK, "offset": MASK}),
        ArchiveError,
        "central directory has 4294967295 bytes",
    ),
    "a wrong CRC": (build(Member("m", b"12", both={"crc": 1})), IntegrityError, "'m': the CRC"),
    "a wrong CRC, deflated": (
        build(Member("m", b"12", method=8, both={"crc": 1})),
        IntegrityError,
        "'m': the CRC",
    ),
    "more than declared": (
        build(Member("m", b"123", method=8, both={"size": 2})),
        IntegrityError,
        "more than the 2 bytes",
    ),
    "less than declared": (
        build(Member("m", b"123", method=8, both={"size": 4})),
        IntegrityError,
        "holds 3 bytes, its header says 4",
    ),
    "stored, with two sizes": (
        build(Member("m", b"123", both={"size": 2})),
        IntegrityError,
        "its two sizes differ",
    ),
    "deflated data that is cut": (
        build(Member("m", b"123", method=8, packed=deflate(b"123")[:-1]), A),
        IntegrityError,
        "compressed data",
    ),
    "deflated data of no bytes": (
        build(Member("m", b"", method=8, packed=b"")),
        IntegrityError,
        "incomplete",
    ),
    "bytes after the deflated data": (
        build(Member("m", b"123", method=8, packed=deflate(b"123") + b"!")),
        IntegrityError,
        "takes 5 bytes, its header says 6",
    ),
    "no deflated data": (
        build(Member("m", b"123", method=8, packed=b"\xff" * 20)),
        IntegrityError,
        "damaged",
    ),
    "a directory with bytes": (build(Member("d/", b"1")), IntegrityError, "claims to hold bytes"),
    "an encrypted member": (
        build(Member("m", b"1", both={"flags": 1})),
        UnsupportedArchiveError,
        "'m' is encrypted",
    ),
    "a strongly encrypted member": (
        build(Member("m", b"1", both={"flags": 0x40})),
        UnsupportedArchiveError,
        "'m' is encrypted",
    ),
    "a masked header": (
        build(Member("m", b"1", both={"flags": 0x2000})),
        UnsupportedArchiveError,
        "'m' is encrypted",
    ),
    "a patch": (
        build(Member("m", b"1", both={"flags": 0x20})),
        UnsupportedArchiveError,
        "'m' is a patch",
    ),
    "LZMA": (build(Member("m", b"1", method=14)), UnsupportedArchiveError, r"LZMA \(method 14\)"),
    "AES": (build(Member("m", b"1", method=99)), UnsupportedArchiveError, "AES encryption"),
    "an unknown method": (
        build(Member("m", b"1", method=77)),
        UnsupportedArchiveError,
        r"an unknown method \(method 77\)",
    ),
    "a link": (
        build(Member("m", b"/etc", both={"attributes": LINK})),
        UnsupportedArchiveError,
        "'m' is a symbolic link",
    ),
    "a pipe": (
        build(Member("m", b"", both={"attributes": FIFO})),
        UnsupportedArchiveError,
        "'m' is a device, pipe or socket",
    ),
    "a file with a directory's attributes": (
        build(Member("m", b"", both={"attributes": FOLDER})),
        IntegrityError,
        "'m': its name and its attributes disagree",
    ),
    "a file with a directory's attribute of DOS": (
        build(Member("m", b"", both={"attributes": 0x10})),
        IntegrityError,
        "disagree",
    ),
    "a directory with a file's attributes": (
        build(Member("m/", b"", both={"attributes": REGULAR})),
        IntegrityError,
        "disagree",
    ),
    "a duplicate": (build(A, A), UnsafePathError, "'a.txt' is refused: the archive holds it twice"),
    "a file below a file": (build(A, Member("a.txt/x")), UnsafePathError, "is a file"),
    "a file that is a directory": (build(Member("a/b"), Member("a")), UnsafePathError, "directory"),
    "a name that is no UTF-8": (
        build(Member(b"\xff", b"1", both={"flags": UTF8})),
        UnsafePathError,
        "claims to be UTF-8",
    ),
    "a name that is no UTF-8 in an extra field": (
        bad_extra(extra_field(0x7075, b"\1" + zlib.crc32(b"m").to_bytes(4, "little") + b"\xff")),
        UnsafePathError,
        "claims to be UTF-8",
    ),
    "a second name": (bad_extra(unicode_path(b"m", "n")), UnsafePathError, "a second name, 'n'"),
    "a directory with the Unicode path of a file": (
        build(Member(b"\xe9/", both={"attributes": 0, "extra": unicode_path(b"\xe9/", "é")})),
        UnsafePathError,
        "a second name, 'é'",
    ),
    "two Unicode paths": (
        bad_extra(unicode_path(b"m", "m") * 2),
        IntegrityError,
        "0x7075 is there twice",
    ),
    "a Unicode path of another name": (
        bad_extra(unicode_path(b"m", "m", crc=4)),
        IntegrityError,
        "belongs to another name",
    ),
    "a Unicode path of another version": (
        bad_extra(unicode_path(b"m", "m", version=2)),
        IntegrityError,
        "unknown form",
    ),
    "a short Unicode path": (bad_extra(extra_field(0x7075, b"\1")), IntegrityError, "unknown form"),
    "an unsafe Unicode path": (
        build(Member(b"\xe9", b"1", both={"extra": unicode_path(b"\xe9", "../é")})),
        UnsafePathError,
        "'..'",
    ),
    "a Unicode path in the directory alone": (
        build(Member(b"\xe9", b"1", central={"extra": unicode_path(b"\xe9", "é")})),
        IntegrityError,
        "header calls it",
    ),
    "three bytes of extra field": (bad_extra(b"   "), IntegrityError, "within a field's header"),
    "a short extra field": (bad_extra(b"ab\5\0----"), IntegrityError, "ends within a field"),
    "two zip64 fields": (
        bad_extra(zip64_extra(2) * 2, size=MASK),
        IntegrityError,
        "0x0001 is there twice",
    ),
    "a zip64 field that is missing": (bad_extra(b"", size=MASK), IntegrityError, "is missing"),
    "a zip64 field that is too short": (
        bad_extra(zip64_extra(2), size=MASK, compressed_size=MASK),
        IntegrityError,
        "too short",
    ),
    "a zip64 field that is too short for its place": (
        build(
            Member(
                "m",
                b"12",
                central={"offset": MASK, "extra": zip64_extra(2, 2)},
            )
        ),
        IntegrityError,
        "too short",
    ),
    "a zip64 field that is too long": (
        bad_extra(zip64_extra(2, 2, 0, 0)),
        IntegrityError,
        "too long",
    ),
    "a zip64 field that contradicts": (
        bad_extra(zip64_extra(3, 2)),
        IntegrityError,
        "contradicts its header",
    ),
    "a zip64 field of an odd length": (
        bad_extra(extra_field(1, b"\0" * 7)),
        IntegrityError,
        "impossible length",
    ),
    "a header that is missing": (
        build(A, signature=b"PK\3\5"),
        IntegrityError,
        "header at byte 0",
    ),
    "a header that reaches beyond its member": (
        build(Member("m", b"1", local={"extra_length": 9}), A),
        IntegrityError,
        "reaches into what follows",
    ),
    "another name in the header": (
        build(Member("m", b"1", local={"name": b"n"})),
        IntegrityError,
        "calls it 'n'",
    ),
    "another method in the header": (
        build(Member("m", b"1", local={"method": 8, "packed": b"1"})),
        IntegrityError,
        "disagree on its method",
    ),
    "another encoding in the header": (
        build(Member("m", b"1", local={"flags": UTF8})),
        IntegrityError,
        "UTF-8 flag",
    ),
    "another CRC in the header": (
        build(Member("m", b"1", local={"crc": 1})),
        IntegrityError,
        "disagree on its CRC",
    ),
    "another CRC in the directory": (
        build(Member("m", b"1", central={"crc": 1})),
        IntegrityError,
        "disagree on its CRC",
    ),
    "another size in the header": (
        build(Member("m", b"12", method=8, local={"size": 1})),
        IntegrityError,
        "disagree on its size",
    ),
    "another compressed size in the header": (
        build(Member("m", b"12", method=8, local={"compressed_size": 9}), A),
        IntegrityError,
        "disagree on its compressed size",
    ),
    "a CRC of zero in a header without a descriptor": (
        build(Member("m", b"12", local={"crc": 0})),
        IntegrityError,
        "disagree on its CRC",
    ),
    "another size in a header with a descriptor": (
        build(Member("m", b"12", method=8, descriptor="signed32", local={"size": 1})),
        IntegrityError,
        "disagree on its size",
    ),
    "a descriptor that only the directory knows of": (
        build(Member("m", b"12", central={"flags": 8})),
        IntegrityError,
        "descriptor",
    ),
    "one size of two in a stored header with a descriptor": (
        build(Member("m", b"12", descriptor="signed32", local={"size": 2})),
        IntegrityError,
        "'m' is stored, and its two sizes differ",
    ),
    "a version of the format to come": (
        build(Member("m", b"12", both={"version": 64})),
        UnsupportedArchiveError,
        r"'m' needs version 6\.4 of the zip format",
    ),
    "a version of the format to come, by its own header": (
        build(Member("m", b"12", local={"version": 255})),
        UnsupportedArchiveError,
        r"'m' needs version 25\.5 of the zip format",
    ),
    "a descriptor that is missing": (
        build(Member("m", b"12", method=8, both={"flags": 8})),
        IntegrityError,
        "leaves 0 bytes",
    ),
    "a descriptor without its signature": (
        build(
            Member(
                "m",
                b"12",
                method=8,
                packed=deflate(b"12") + b"PK\7\7" + b"\0" * 12,
                both={"flags": 8, "compressed_size": 4},
                local={"compressed_size": 0},
            )
        ),
        IntegrityError,
        "descriptor is missing",
    ),
}
for form in ("signed32", "bare32", "signed64", "bare64"):
    for what in ("crc", "compressed_size", "size"):
        BAD[f"another {what} in a descriptor: {form}"] = (
            build(
                Member("m", b"12", method=8, descriptor=form, descriptor_fields={what: 9}),
                A,
            ),
            IntegrityError,
            "data descriptor",
        )
for name in ("", "/", "/a", "../a", "a/../b", "./a", "a//b", "C:/a", "a\\b", "a\0b", "a\nb"):
    BAD[f"the name {name!r}"] = (build(Member(name, b"")), UnsafePathError, "is refused")


@both_ways
@pytest.mark.parametrize("name", BAD)
def test_bad_archives_are_refused_alike_in_chunks_of_any_size(name: str, read: Read) -> None:
    data, error, what = BAD[name]
    messages = set()
    for chunk in CHUNKS:
        with pytest.raises(ArchiveError, match=what) as caught:
            read(data, chunk)
        if read is read_by_directory:
            assert isinstance(caught.value, error)
        messages.add(str(caught.value))
    assert len(messages) == 1


@both_ways
def test_a_stored_member_whose_header_has_no_length_is_read(read: Read) -> None:
    for form in ("signed32", "bare32", "signed64", "bare64"):
        data = build(A, Member("m", b"PK\7\10" * 9, descriptor=form), B)
        for chunk in CHUNKS:
            tree, _ = read(data, chunk)
            assert tree["m"] == b"PK\7\10" * 9


BOMB = Member("bomb", b"\0" * 3_000_000, method=8)
STREAMED_BOMB = Member("bomb", b"\0" * 3_000_000, method=8, descriptor="signed32")


@both_ways
@pytest.mark.parametrize(
    ("members", "limits", "what"),
    [
        ([A, B], ArchiveLimits(members=1), "2 or more members, the limit is 1"),
        ([A, B], ArchiveLimits(member_size=1999), r"'b/c.bin' holds 2000 bytes .* limit is 1999"),
        ([A, B], ArchiveLimits(total_size=2004), "the archive holds 2005 bytes"),
        ([A, B], ArchiveLimits(path_length=6), "'b/c.bin'.*has 7 characters, the limit is 6"),
        ([A, B], ArchiveLimits(depth=1), "2 components, the limit is 1"),
        ([BOMB], ArchiveLimits(ratio=100, ratio_floor=1_000_000), "'bomb' makes .* 100 to 1"),
        ([STREAMED_BOMB], ArchiveLimits(ratio=100, ratio_floor=1_000_000), "'bomb' makes"),
        ([STREAMED_BOMB], ArchiveLimits(member_size=2_000_000), "'bomb' holds"),
        ([STREAMED_BOMB], ArchiveLimits(total_size=2_000_000), "the archive holds"),
        (
            [Member(f"{i}", b"\0" * 100_000, method=8) for i in range(9)],
            ArchiveLimits(ratio=100, ratio_floor=200_000),
            "the archive makes",
        ),
    ],
)
def test_archives_beyond_the_limits_are_refused(
    members: list[Member],
    limits: ArchiveLimits,
    what: str,
    read: Read,
) -> None:
    data = build(*members)
    read(data)
    for chunk in (7, None):
        with pytest.raises(ArchiveLimitError, match=what):
            read(data, chunk, limits=limits)


@both_ways
def test_a_directory_beyond_its_limit_is_refused(read: Read) -> None:
    data = build(Member("a", b"1", central={"comment": b"x" * 5000}))
    with pytest.raises(ArchiveLimitError, match="5047 bytes, the limit is 5046"):
        read(data, limits=ArchiveLimits(directory_size=5046))
    read(data, limits=ArchiveLimits(directory_size=5047))


@both_ways
def test_names_are_judged_by_what_the_destination_holds(read: Read) -> None:
    data = build(Member("CON", b"1"), Member("a", b"2"), Member("A", b"3"))
    tree, _ = read(data)
    assert tree == {"CON": b"1", "a": b"2", "A": b"3"}
    with pytest.raises(UnsafePathError, match="'CON' is refused"):
        read(data, rules=NameRules(windows_names=False))
    with pytest.raises(UnsafePathError, match="same file name as 'a'"):
        read(data, rules=NameRules(case_sensitive=False))

"""Archives made to fill a disk or a memory, and a separate process to read them in.

`python bombs.py NAME...` reads each, both ways, into a folder in memory, with only so much memory
to be had as its description allows, and tells on stdout as JSON what came of it.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archive_builder import Member, build, extra_field, zip64_extra
from archive_judging import Outcome, by_directory, spooled, workplace
from archive_reading import read_by_directory, read_spooled

from asynccvat.core.zip import ArchiveLimits
from asynccvat.errors import ArchiveError, StoreError
from asynccvat.fs import files

MIB = 1024 * 1024
MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Bomb:
    """An archive, and what it may cost.

    Attributes:
        make: Makes it.
        refused: What the error says, None where it is read.
        disk: The most bytes that may be written, a spooled archive apart.
        memory: The most MiB that may be taken beside the archive itself.
        writes: Whether the members are written by ranges, too: that takes long if they are many.
        thorough: Whether it is only for a thorough run.
    """

    make: Callable[[], bytes]
    refused: str | None
    disk: int = 0
    memory: int = 12
    writes: bool = True
    thorough: bool = False


def _zeros(mib: int) -> bytes:
    """Return MiB of zeros, deflated, in less time than deflating them all."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return piece * mib + b"\3\0"


def _claiming(size: int, packed: bytes, *, descriptor: str | None = None) -> bytes:
    fields = {"size": size & MASK, "compressed_size": len(packed)}
    if size > MASK:
        fields = {"size": MASK, "compressed_size": MASK}
    extra = zip64_extra(size, len(packed)) if size > MASK else b""
    both = {**fields, "extra": extra}
    local = {"extra": b""} if descriptor else {}
    member = Member(
        "bomb", b"", method=8, packed=packed, descriptor=descriptor, both=both, local=local
    )
    return build(member)


def _nested(levels: int) -> bytes:
    data = bytes(MIB)
    for level in range(levels):
        data = build(*(Member(f"{level}-{n}.zip", data, method=8) for n in range(4)))
    return data


def _overlapping(count: int) -> bytes:
    """Many names for one member: every listed one has the same local header."""
    kernel = Member("0", b"", method=8, packed=_zeros(60))
    sizes = {"size": 60 * MIB, "compressed_size": len(_zeros(60))}
    kernel.both = dict(sizes)
    others = [
        Member(
            f"{n}", b"", method=8, packed=b"", both={"packed": b""}, central={"offset": 0, **sizes}
        )
        for n in range(1, count)
    ]
    return build(kernel, *others, listed=list(range(count)))


def _quoting(count: int) -> bytes:
    """Each member is the header of the next, quoted, and all that follows (Fifield, 2019).

    From "A better zip bomb", https://www.bamsoftware.com/hacks/zipbomb/: a stored block of deflate
    holds the next local header, so that each member goes on through all that follow it.
    """
    kernel = _zeros(1)
    tail, size, crc = kernel, MIB, zlib.crc32(bytes(MIB))
    content = bytes(MIB)
    locals_: list[bytes] = []
    members = []
    for number in reversed(range(count)):
        name = b"%04d" % number
        header = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0x21, crc, len(tail), size, len(name), 0
        )
        members.append((name, crc, len(tail), size))
        record = header + name
        locals_.append(record)
        quoted = struct.pack("<B2H", 0, len(record), len(record) ^ 0xFFFF) + record
        tail = quoted + tail
        content = record + content
        size, crc = len(content), zlib.crc32(content)
    # The first member's header stands alone; the others are within it.
    first = locals_[-1]
    body = first + tail[5 + len(first) :]
    directory = b""
    offset = 0
    for name, crc, packed, size in reversed(members):
        directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2", 20, 20, 0, 8, 0, 0x21, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset,
        ) + name  # fmt: skip
        offset += len(first) + 5
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def many(count: int) -> bytes:
    """Return an archive of empty members."""
    return build(*(Member(f"{n:x}") for n in range(count)), zip64=count > 65_534)


def _deep(levels: int) -> bytes:
    return build(Member("a/" * levels + "x", b"1"))


def _counting(count: int) -> bytes:
    return build(Member("a"), zip64=True, end64={"count": count, "here": count})


def _many_extras(count: int, each: int) -> bytes:
    extra = extra_field(0x5455, b"") * (each // 4)
    return build(*(Member(f"{n}", b"1", both={"extra": extra}) for n in range(count)))


def _wide(**fields: int) -> bytes:
    values = {"size": 1, "compressed_size": 1, "offset": 0} | fields
    extra = zip64_extra(*values.values())
    central = {"size": MASK, "compressed_size": MASK, "offset": MASK, "extra": extra}
    local = {
        "size": MASK,
        "compressed_size": MASK,
        "extra": zip64_extra(*list(values.values())[:2]),
    }
    return build(Member("wide", b"1", local=local, central=central))


DENSE = "denser than the limit of 250 to 1"

BOMBS: dict[str, Bomb] = {
    "zips in zips are files": Bomb(lambda: _nested(6), None, disk=10_000),
    "dense, as declared": Bomb(lambda: _claiming(10_240 * MIB, _zeros(10_240)), DENSE),
    "dense, declared at its end": Bomb(
        lambda: _claiming(10_240 * MIB, _zeros(10_240), descriptor="signed64"),
        DENSE,
    ),
    "more than declared": Bomb(
        lambda: _claiming(100, _zeros(10_240)),
        "holds more than the 100 bytes",
    ),
    "more than declared at its end": Bomb(
        lambda: _claiming(100, _zeros(10_240), descriptor="signed32"),
        "holds more than the 100 bytes",
    ),
    "one member under many names": Bomb(lambda: _overlapping(5_000), "the archive makes"),
    "members that quote the next": Bomb(lambda: _quoting(250), "the archive makes"),
    "a few members that quote the next": Bomb(
        lambda: _quoting(4),
        "within the member before it",
    ),
    "66,000 members": Bomb(lambda: many(66_000), None, memory=96, writes=False, thorough=True),
    "100,000 members": Bomb(lambda: many(100_000), None, memory=128, thorough=True),
    "a count of 2^63 members": Bomb(lambda: _counting(1 << 63), "the limit is 1000000"),
    "a count of a million members": Bomb(lambda: _counting(1_000_000), "too short for its"),
    "a name of 64 KiB": Bomb(lambda: build(Member("n" * 65_535)), "takes 65535 bytes"),
    "names of 64 KiB": Bomb(
        lambda: build(*(Member("n" * 65_000 + str(n)) for n in range(300))),
        "takes 6500. bytes",
    ),
    "a path of 1,500 levels": Bomb(lambda: _deep(1_500), "the limit is 1024"),
    "a path of 500 levels": Bomb(lambda: _deep(500), "501 components, the limit is 64"),
    "a size of 2^63": Bomb(lambda: _wide(size=1 << 63), "holds 9223372036854775808"),
    "a compressed size of 2^63": Bomb(lambda: _wide(compressed_size=1 << 63), "two sizes differ"),
    "both sizes of 2^63": Bomb(
        lambda: _wide(size=1 << 63, compressed_size=1 << 63),
        "holds 9223372036854775808 bytes",
    ),
    "an offset of 2^63": Bomb(
        lambda: _wide(offset=1 << 63),
        "belong to nothing",
    ),
    "extra fields of 64 KiB": Bomb(lambda: _many_extras(40, 65_532), None, disk=40),
    "a comment of 64 KiB": Bomb(
        lambda: build(Member("a", b"1"), comment=bytes(65_535)), None, disk=1
    ),
    "a comment of ends": Bomb(
        lambda: build(Member("a", b"1"), comment=b"PK\5\6" * 16_383),
        "within its end",
    ),
    "blocks of nothing": Bomb(lambda: _claiming(0, b"\0\0\0\xff\xff" * 1_000_000 + b"\3\0"), None),
}


def _written(way: Callable[..., Outcome], data: bytes, place: Path) -> str | None:
    # In 65,536 bytes each: what comes from a network does not come whole.
    outcome = way(data, 2, place, ArchiveLimits())
    return None if outcome.error is None else str(outcome.error)


def _read(way: Callable[..., object], data: bytes) -> str | None:
    try:
        way(data, 65_536)
    except ArchiveError as error:
        return str(error)
    return None


def _measure(bomb: Bomb, data: bytes, way: int, place: Path) -> dict[str, object]:
    written = 0
    write = files.write

    def counted(fd: int, content: bytes | bytearray | memoryview) -> None:
        nonlocal written
        written += len(content)
        write(fd, content)

    files.write = counted  # type: ignore[assignment]
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    # The archive is taken apart into an end and into pieces, as it comes.
    most = pages * resource.getpagesize() + bomb.memory * MIB + 2 * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    try:
        if bomb.writes:
            error = _written((by_directory, spooled)[way], data, place)
        else:
            error = _read((read_by_directory, read_spooled)[way], data)
    except (MemoryError, StoreError) as unbounded:
        error = repr(unbounded)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        files.write = write
    spooled_bytes = len(data) if way == 1 else 0
    return {
        "written": written,
        "spooled": spooled_bytes,
        "error": error and error[:1000],
        "length": len(error or ""),
    }


def main(names: list[str]) -> None:
    """Read some archives, and print what came of them as JSON."""
    told = {}
    # What is told of here must not come true where a test fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * MIB, 256 * MIB))
    with workplace() as place:
        for name in names:
            data = BOMBS[name].make()
            told[name] = [_measure(BOMBS[name], data, way, place) for way in (0, 1)]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])

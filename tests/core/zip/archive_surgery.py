"""Take archives apart into records, and put them together wrongly.

Any bytes can be taken apart: a record is what lies from one signature to the next, so that what
is damaged already can be damaged more. Nothing of asynccvat is used.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

SIGNATURES = (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\10")
LOCAL, CENTRAL, END, END64, LOCATOR, DESCRIPTOR = SIGNATURES
_SIGNATURE = re.compile(b"PK(?:\3\4|\1\2|\5\6|\6\6|\6\7|\7\10)")

Fields = dict[str, tuple[int, int]]
"""By name, the place of a field within its record, and its bytes."""

FIELDS: dict[bytes, Fields] = {
    LOCAL: {
        "needed": (4, 2),
        "flags": (6, 2),
        "method": (8, 2),
        "crc": (14, 4),
        "compressed_size": (18, 4),
        "size": (22, 4),
        "name_length": (26, 2),
        "extra_length": (28, 2),
    },
    CENTRAL: {
        "made_by": (4, 2),
        "needed": (6, 2),
        "flags": (8, 2),
        "method": (10, 2),
        "crc": (16, 4),
        "compressed_size": (20, 4),
        "size": (24, 4),
        "name_length": (28, 2),
        "extra_length": (30, 2),
        "comment_length": (32, 2),
        "disk": (34, 2),
        "attributes": (38, 4),
        "offset": (42, 4),
    },
    END: {
        "disk": (4, 2),
        "start_disk": (6, 2),
        "here": (8, 2),
        "count": (10, 2),
        "size": (12, 4),
        "offset": (16, 4),
        "comment_length": (20, 2),
    },
    END64: {
        "length": (4, 8),
        "disk": (16, 4),
        "start_disk": (20, 4),
        "here": (24, 8),
        "count": (32, 8),
        "size": (40, 8),
        "offset": (48, 8),
    },
    LOCATOR: {"disk": (4, 4), "position": (8, 8), "disks": (16, 4)},
    DESCRIPTOR: {"crc": (4, 4), "compressed_size": (8, 4), "size": (12, 4)},
}

NAMES = (
    b"..", b"../x", b"/x", b"x/", b"x/y", b"x", b"X", b".", b"", b"C:x", b"a\\b", b"a\0b",
    b"\xff", b"\x82", b"e\xcc\x81", b"\xc3\xa9", b"CON", b"x.", b"x//y", b".asynccvat/lock",
)  # fmt: skip


@dataclass
class Record:
    """The bytes from one signature to the next; those before the first have none."""

    data: bytearray

    @property
    def kind(self) -> bytes:
        return bytes(self.data[:4]) if self.data[:4] in SIGNATURES else b""

    def get(self, field: str) -> int | None:
        place = FIELDS.get(self.kind, {}).get(field)
        if place is None or len(self.data) < sum(place):
            return None
        return int.from_bytes(self.data[place[0] : sum(place)], "little")

    def put(self, field: str, value: int) -> None:
        place = FIELDS.get(self.kind, {}).get(field)
        if place is not None and len(self.data) >= sum(place):
            value &= (1 << 8 * place[1]) - 1
            self.data[place[0] : sum(place)] = value.to_bytes(place[1], "little")

    @property
    def name_start(self) -> int:
        return 46 if self.kind == CENTRAL else 30

    @property
    def name(self) -> bytes:
        return bytes(self.data[self.name_start :][: self.get("name_length") or 0])

    def rename(self, name: bytes) -> None:
        """Put another name in the place of a header's."""
        length = self.get("name_length")
        if length is not None:
            self.data[self.name_start : self.name_start + length] = name
            self.put("name_length", len(name))

    def add_extra(self, extra: bytes) -> None:
        """Put an extra field before those that a header has."""
        lengths = self.get("name_length"), self.get("extra_length")
        if None not in lengths:
            at = self.name_start + (lengths[0] or 0)
            self.data[at:at] = extra
            self.put("extra_length", (lengths[1] or 0) + len(extra))


def take_apart(data: bytes) -> list[Record]:
    """Cut at each signature."""
    cuts = [match.start() for match in _SIGNATURE.finditer(data)]
    return [
        Record(bytearray(data[start:end]))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
        if end > start
    ]


def put_together(records: list[Record]) -> bytes:
    """Join the records as they are."""
    return b"".join(bytes(record.data) for record in records)


def mend(records: list[Record]) -> None:
    """Correct offsets and counts, so that another fault is what matters."""
    position = directory = 0
    places: list[int] = []
    centrals: list[Record] = []
    for record in records:
        if record.kind == LOCAL:
            places.append(position)
        elif record.kind == CENTRAL:
            if not centrals:
                directory = position
            centrals.append(record)
        elif record.kind in (END, END64):
            start = directory if centrals else position
            record.put("here", len(centrals))
            record.put("count", len(centrals))
            record.put("offset", start)
            record.put("size", sum(len(central.data) for central in centrals))
        elif record.kind == LOCATOR:
            record.put("position", position - 56)
        position += len(record.data)
    for place, central in zip(places, centrals, strict=False):
        central.put("offset", place)


def _of_kind(records: list[Record], chance: Random, *kinds: bytes) -> Record:
    found = [record for record in records if record.kind in kinds]
    return chance.choice(found) if found else Record(bytearray())


def _value(chance: Random, old: int, records: list[Record]) -> int:
    total = sum(len(record.data) for record in records)
    numbers = (0, 1, 2, 8, 0x800, 0x808, 22, 0xFFFF, 0xFFFFFFFF, 1 << 31, 1 << 63, (1 << 64) - 1)
    return chance.choice(
        [*numbers, old + 1, old - 1, old * 2, old ^ (1 << chance.randrange(32)), total]
    )


def _edit(records: list[Record], chance: Random) -> None:
    record = chance.choice(records)
    for field in FIELDS.get(record.kind, {}):
        old = record.get(field)
        if old is not None and chance.random() < 0.15:
            record.put(field, _value(chance, old, records))


def _edit_both(records: list[Record], chance: Random) -> None:
    """Edit a field of a member in both of its headers, so that they still agree."""
    one = _of_kind(records, chance, LOCAL)
    field = chance.choice(["flags", "method", "crc", "compressed_size", "size"])
    old = one.get(field)
    if old is not None:
        value = _value(chance, old, records)
        for record in records:
            if record.kind in (LOCAL, CENTRAL) and record.name == one.name:
                record.put(field, value)


def _rename(records: list[Record], chance: Random) -> None:
    old = _of_kind(records, chance, LOCAL, CENTRAL).name
    name = chance.choice([*NAMES, old + b"/", old * 40, chance.choice(records).name])
    only = chance.choice([(LOCAL,), (CENTRAL,), (LOCAL, CENTRAL), (LOCAL, CENTRAL)])
    for record in records:
        if record.kind in only and record.name == old:
            record.rename(name)


def _add_extra(records: list[Record], chance: Random) -> None:
    kind = chance.choice([0x0001, 0x7075, 0x5455, 0x9901, 0x6375])
    size = chance.choice([0, 1, 4, 5, 8, 9, 12, 16, 24, 28])
    content = chance.choice([bytes(size), chance.randbytes(size), b"\xff" * size])
    told = chance.choice([size, size, size, size + 1, 0xFFFF])
    _of_kind(records, chance, LOCAL, CENTRAL).add_extra(struct.pack("<2H", kind, told) + content)


def _widen(records: list[Record], chance: Random) -> None:
    """Mask sizes and put them into a zip64 field, right or wrong."""
    record = _of_kind(records, chance, LOCAL, CENTRAL)
    sizes = record.get("size"), record.get("compressed_size")
    if None not in sizes:
        lie = chance.choice([0, 0, 0, 1, 1 << 40, (1 << 63) - 5])
        record.put("size", 0xFFFFFFFF)
        record.put("compressed_size", 0xFFFFFFFF)
        values = ((sizes[0] or 0) + lie, sizes[1] or 0)
        record.add_extra(struct.pack("<2H2Q", 1, 16, *values))


def _flip(records: list[Record], chance: Random) -> None:
    data = chance.choice(records).data
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _drop(records: list[Record], chance: Random) -> None:
    if len(records) > 1:
        del records[chance.randrange(len(records))]


def _duplicate(records: list[Record], chance: Random) -> None:
    record = chance.choice(records)
    records.insert(chance.randrange(len(records) + 1), Record(bytearray(record.data)))


def _swap(records: list[Record], chance: Random) -> None:
    one, other = chance.randrange(len(records)), chance.randrange(len(records))
    records[one], records[other] = records[other], records[one]


def _cut(records: list[Record], chance: Random) -> None:
    data = chance.choice(records).data
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.choice([1, 2, 4, 16, len(data)])]


def _insert(records: list[Record], chance: Random) -> None:
    data = chance.choice(records).data
    at = chance.randrange(len(data) + 1)
    size = chance.choice([1, 2, 4, 12, 16, 40])
    data[at:at] = chance.choice([bytes(size), chance.randbytes(size), chance.choice(SIGNATURES)])


def _overlap(records: list[Record], chance: Random) -> None:
    """Make two members one."""
    one, other = (_of_kind(records, chance, CENTRAL) for _ in range(2))
    offset = one.get("offset")
    if offset is not None:
        other.put("offset", offset + chance.choice([0, 0, 1, 30]))


_WAYS: tuple[Callable[[list[Record], Random], None], ...] = (
    _edit,
    _edit,
    _edit_both,
    _rename,
    _add_extra,
    _widen,
    _flip,
    _drop,
    _duplicate,
    _swap,
    _cut,
    _insert,
    _overlap,
)


def mutate(data: bytes, seed: int, *, other: bytes = b"") -> bytes:
    """Damage an archive, in the same way for the same seed.

    Args:
        data: The archive, or anything else.
        seed: Chooses what is done.
        other: An archive whose records may be mixed in.
    """
    chance = Random(seed)
    records = take_apart(data) or [Record(bytearray())]
    if other and chance.random() < 0.3:
        more = take_apart(other)
        at = chance.randrange(len(records) + 1)
        start = chance.randrange(len(more) + 1)
        records[at:at] = more[start : start + chance.choice([1, 2, len(more)])]
        if chance.random() < 0.5:
            # As a splice that means to be one archive: members, then directory, then ends.
            order = (b"", LOCAL, DESCRIPTOR, CENTRAL, END64, LOCATOR, END)
            records.sort(key=lambda record: max(order.index(record.kind), 2))
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        chance.choice(_WAYS)(records, chance)
    if chance.random() < 0.6:
        mend(records)
    return put_together(records)

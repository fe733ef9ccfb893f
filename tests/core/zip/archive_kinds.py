"""A small archive of each kind, to be cut, damaged and mixed."""

from __future__ import annotations

from archive_builder import Member, build, unicode_path, zip64_extra

_TEXT = Member("a.txt", b"alpha")
_PACKED = Member("b/c.bin", b"beta" * 90, method=8)
_WIDE = {"size": 0xFFFFFFFF, "compressed_size": 0xFFFFFFFF, "extra": zip64_extra(2, 2)}

KINDS: dict[str, bytes] = {
    "empty": build(),
    "stored": build(_TEXT),
    "deflated": build(_PACKED, Member("d/"), _TEXT),
    "descriptors": build(
        *(
            Member(form, b"stream" * 9, method=8, descriptor=form)
            for form in ("signed32", "bare32", "signed64", "bare64")
        )
    ),
    "stored with a descriptor": build(Member("late", b"12", descriptor="signed32"), _TEXT),
    "names in UTF-8": build(Member("é/日", b"1"), Member("é/本", b"2")),
    "names in code page 437": build(Member(b"\x82\xe1", b"2"), _TEXT),
    "a Unicode path": build(
        Member(b"\xc3\xa9", b"1", both={"extra": unicode_path(b"\xc3\xa9", "é")})
    ),
    "zip64 end records": build(_TEXT, _PACKED, zip64=True),
    "zip64 sizes": build(Member("wide", b"12", both=_WIDE), _TEXT),
    "a comment": build(_TEXT, comment=b"hello"),
    "an archive within": build(Member("inner.zip", build(_TEXT)), Member("empty")),
}

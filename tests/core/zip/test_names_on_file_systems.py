"""Names that are special to some file system, and which destinations may hold them.

No machine has all of these file systems. So each is a model of how it compares names and which it
refuses, written from its documentation and sharing nothing with `asynccvat.core.paths`; the real
one at hand is tried as well.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from archive_builder import UTF8, Member, build
from archive_judging import workplace
from archive_reading import directory_of
from hypothesis import given, settings
from hypothesis import strategies as st

from asynccvat.archives.extractor import Extractor, StagedFiles
from asynccvat.core.paths import NameRules, NameSet, safe_member_path
from asynccvat.core.zip import ArchiveLimits, Directory, ZipReader, read_directory
from asynccvat.errors import UnsafePathError
from asynccvat.fs import files

pytestmark = pytest.mark.proof("Hostile archives and destinations")

# --- the file systems --------------------------------------------------------------------------


@dataclass(frozen=True)
class FileSystem:
    """A kind of destination.

    Attributes:
        rules: What probing it finds out.
        key: What a component comes to when it is compared.
        holds: Whether a component can be a name there.
    """

    rules: NameRules
    key: Callable[[str], str]
    holds: Callable[[str], bool]


def _in_bytes(most: int) -> Callable[[str], bool]:
    return lambda name: len(name.encode()) <= most


def _in_units(most: int) -> Callable[[str], bool]:
    return lambda name: len(name.encode("utf-16-le")) // 2 <= most


def _invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F


def _simply(change: Callable[[str], str]) -> Callable[[str], str]:
    """Case by case tables of one character each, as NTFS and SMB have them."""
    return lambda name: "".join(c if len(change(c)) != 1 else change(c) for c in name)


def _nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def _apfs(name: str) -> str:
    """Case folded, then decomposed (Apple File System Reference, "Directory Stream Names")."""
    return _nfd(_nfd(name).casefold())


def _hfs(name: str) -> str:
    """Decomposed, in lower case, and without what cannot be seen (Apple, TN1150)."""
    return _simply(str.lower)("".join(c for c in _nfd(name) if not _invisible(c)))


def _ext4_casefold(name: str) -> str:
    """Decomposed and folded without the ignorable (Linux, fs/unicode: NFDICF)."""
    return _nfd(_nfd("".join(c for c in name if not _invisible(c))).casefold())


_DEVICES = {
    *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
    *(f"{kind}{number}" for kind in ("COM", "LPT") for number in "123456789¹²³"),
}


def _windows(name: str) -> bool:
    """What Win32 refuses or would take for something else (Naming Files, Paths, and Namespaces)."""
    stem = name.split(".", maxsplit=1)[0].rstrip(" ").upper()
    characters = not any(c in '<>:"|?*\\' or ord(c) < 32 for c in name)
    return characters and name[-1] not in ". " and stem not in _DEVICES and _in_units(255)(name)


CASELESS = NameRules(case_sensitive=False)
FORMLESS = NameRules(normalization_sensitive=False)
NEITHER = NameRules(case_sensitive=False, normalization_sensitive=False)
WINDOWS = NameRules(case_sensitive=False, windows_names=False)

FILE_SYSTEMS: dict[str, FileSystem] = {
    "ext4, XFS, Btrfs": FileSystem(NameRules(), str, _in_bytes(255)),
    "eCryptfs": FileSystem(NameRules(component_bytes=127), str, _in_bytes(143)),
    "ZFS with normalization": FileSystem(FORMLESS, _nfd, _in_bytes(255)),
    "ext4 with casefold": FileSystem(NEITHER, _ext4_casefold, _in_bytes(255)),
    "APFS": FileSystem(NEITHER, _apfs, _in_bytes(255)),
    "APFS, case-sensitive": FileSystem(FORMLESS, _nfd, _in_bytes(255)),
    "HFS+": FileSystem(NEITHER, _hfs, _in_units(255)),
    "NTFS, by upper case": FileSystem(WINDOWS, _simply(str.upper), _windows),
    "SMB, by lower case": FileSystem(WINDOWS, _simply(str.lower), _windows),
    "exFAT": FileSystem(WINDOWS, _simply(str.upper), _windows),
    "a caseless one with all names": FileSystem(CASELESS, str.casefold, _in_bytes(255)),
}


def accepted(names: list[str], rules: NameRules) -> bool:
    """Whether an archive of these names is taken."""
    known = NameSet(rules)
    try:
        for name in names:
            known.add(safe_member_path(name, rules), name.endswith("/"))
    except UnsafePathError:
        return False
    return True


# --- the table ---------------------------------------------------------------------------------

EVERYWHERE = set(FILE_SYSTEMS)
NOWHERE: set[str] = set()
ON_WINDOWS = {name for name, system in FILE_SYSTEMS.items() if not system.rules.windows_names}
CASE = {name for name, system in FILE_SYSTEMS.items() if system.rules.case_sensitive}
FORM = {name for name, system in FILE_SYSTEMS.items() if system.rules.normalization_sensitive}
SEEN = CASE & FORM

TABLE: dict[str, tuple[list[str], set[str]]] = {
    # One name, or several side by side; and where they are taken.
    "a parent": (["../a"], NOWHERE),
    "a parent within": (["a/../b"], NOWHERE),
    "a parent at the end": (["a/.."], NOWHERE),
    "an absolute path": (["/etc/passwd"], NOWHERE),
    "a network path": (["//server/share/a"], NOWHERE),
    "a network path of Windows": (["\\\\server\\share\\a"], NOWHERE),
    "a device path of Windows": (["\\\\?\\C:\\a"], NOWHERE),
    "a drive": (["C:/a"], NOWHERE),
    "a drive without a slash": (["c:a"], NOWHERE),
    "a backslash": (["a\\b"], NOWHERE),
    "a NUL": (["a\0b"], NOWHERE),
    "a newline": (["a\nb"], NOWHERE),
    "an escape": (["a\x1b[2Jb"], NOWHERE),
    "a control character of C1": (["a\x9bb"], NOWHERE),
    "an empty component": (["a//b"], NOWHERE),
    "an empty name": ([""], NOWHERE),
    "only a slash": (["/"], NOWHERE),
    "this folder": (["./a"], NOWHERE),
    "this folder within": (["a/./b"], NOWHERE),
    "a lone surrogate": (["a\ud800"], NOWHERE),
    "a file and a folder": (["a", "a/b"], NOWHERE),
    "a folder and a file": (["a/b", "a"], NOWHERE),
    "one name twice": (["a", "a"], NOWHERE),
    "our own folder": ([".asynccvat/receipts/1.json"], NOWHERE),
    "our own folder in capitals": ([".ASYNCCVAT/lock"], CASE),
    "our own folder, with what cannot be seen": ([".async\u200ccvat/lock"], SEEN),
    "our own folder further down": (["a/.asynccvat/lock"], EVERYWHERE),
    "three dots": (["..."], EVERYWHERE - ON_WINDOWS),
    "a dot at the end": (["a."], EVERYWHERE - ON_WINDOWS),
    "a blank at the end": (["a /b"], EVERYWHERE - ON_WINDOWS),
    "an alternate data stream": (["ab:c"], EVERYWHERE - ON_WINDOWS),
    "a data stream of a file that is there": (["ab", "ab:c"], EVERYWHERE - ON_WINDOWS),
    "a wildcard": (["a?*"], EVERYWHERE - ON_WINDOWS),
    "a device": (["CON"], EVERYWHERE - ON_WINDOWS),
    "a device with an extension": (["nul.tar.gz"], EVERYWHERE - ON_WINDOWS),
    "a device with blanks": (["aux  .x"], EVERYWHERE - ON_WINDOWS),
    "a device as a folder": (["a/PRN/b"], EVERYWHERE - ON_WINDOWS),
    "a numbered device": (["COM1"], EVERYWHERE - ON_WINDOWS),
    "a device with a raised number": (["lpt².txt"], EVERYWHERE - ON_WINDOWS),
    "a console": (["conout$"], EVERYWHERE - ON_WINDOWS),
    "almost a device": (["CONSOLE", "COM10", "COM", "NUL2.txt"], EVERYWHERE),
    "two cases": (["a.jpg", "A.JPG"], CASE),
    "two cases of a folder": (["a/x", "A/y"], CASE),
    "two cases of a folder and a file": (["a/x", "A"], CASE),
    "two cases beyond ASCII": (["é", "É"], CASE),
    "a sharp s in capitals": (["stra\u00dfe", "STRA\u1e9eE"], CASE),
    "a sharp s as two": (["stra\u00dfe", "STRASSE"], CASE),
    "a dotted capital i": (["i", "\u0130"], CASE),
    "a dotless small i": (["I", "\u0131"], CASE),
    "a kelvin": (["k", "\u212a"], CASE),
    "a kelvin and a capital": (["K", "\u212a"], SEEN),
    "a long s": (["s", "\u017f"], CASE),
    "a final sigma": (["\u03c3", "\u03c2"], CASE),
    "two forms": (["\u00e9", "e\u0301"], FORM),
    "two forms of a folder": (["\u00e9/x", "e\u0301/y"], FORM),
    "two forms and two cases": (["\u00c9", "e\u0301"], CASE | FORM),
    "an ångström": (["\u00c5", "\u212b"], SEEN),
    "two orders of marks": (["a\u0323\u0301", "a\u0301\u0323"], FORM),
    "compatible, not the same": (["\ufb01", "fi2"], EVERYWHERE),
    "a joiner that cannot be seen": (["ab", "a\u200db"], SEEN),
    "a mark of direction": (["ab", "a\u202eb"], SEEN),
    "a soft hyphen": (["ab", "a\u00adb"], SEEN),
    "a variation selector": (["ab", "a\ufe0fb"], SEEN),
    "text from right to left": (["\u202egpj.exe", "שלום", "a\u200db"], EVERYWHERE),
    "an emoji": (["\U0001f469\u200d\U0001f680.png"], EVERYWHERE),
    "255 bytes": (["n" * 255], EVERYWHERE - {"eCryptfs"}),
    "256 bytes": (["n" * 256], NOWHERE),
    "255 bytes of two each": (["é" * 127], EVERYWHERE - {"eCryptfs"}),
    "256 bytes of two each": (["é" * 128], NOWHERE),
    "a path of 4,096 bytes": (["d" * 100 + ("/" + "d" * 100) * 40], NOWHERE),
    "a path of 2,120 bytes": (["d" * 100 + ("/" + "d" * 100) * 20], EVERYWHERE),
}


@pytest.mark.parametrize("system", FILE_SYSTEMS)
def test_each_kind_of_name_is_held_or_refused_as_the_table_says(
    system: str, count_cases: Callable[[int], None]
) -> None:
    rules = FILE_SYSTEMS[system].rules
    for what, (names, where) in TABLE.items():
        assert accepted(names, rules) == (system in where), what
    count_cases(len(TABLE))


# What the bytes of a name may be; decoded by the reader, before any of the above.
RAW: dict[str, tuple[bytes, bool, str | None]] = {
    "UTF-8": ("日".encode(), True, "日"),
    "code page 437": (b"\x82", False, "é"),
    "an overlong slash": (b"..\xc0\xafa", True, None),
    "an overlong NUL": (b"a\xc0\x80", True, None),
    "a surrogate": (b"\xed\xa0\x80", True, None),
    "a byte that is none": (b"a\xff", True, None),
    "a cut character": (b"a\xe6\x97", True, None),
    "beyond Unicode": (b"\xf4\x90\x80\x80", True, None),
    "any byte, not as UTF-8": (b"a\xff", False, "a\u00a0"),
}


@pytest.mark.parametrize("what", RAW)
def test_bytes_that_are_no_name_are_refused(what: str) -> None:
    raw, is_utf8, name = RAW[what]
    data = build(Member(raw, b"1", both={"flags": UTF8 if is_utf8 else 0}))

    def read() -> list[str]:
        found = read_directory(data, len(data), limits=ArchiveLimits(), rules=NameRules())
        assert isinstance(found, Directory)
        return [entry.name for entry in found.entries]

    if name is None:
        with pytest.raises(UnsafePathError, match="claims to be UTF-8 and is not"):
            read()
    else:
        assert read() == [name]


# --- any names ---------------------------------------------------------------------------------

PARTS = st.sampled_from(
    [
        *("a", "A", "b", "é", "É", "e\u0301", "ß", "ẞ", "ss", "i", "I", "\u0130", "\u0131"),
        *("k", "\u212a", "\u00c5", "\u212b", "\u200d", "\u00ad", "\ufe0f", "\u202e", "µ", "μ"),
        *(".", "..", " ", ":", "\\", "\0", "\n", "\x9b", "?", "$", "¹", "\ufb01", "日"),
        *("CON", "nul", "COM1", "aux.", ".asynccvat", "x" * 130, "C:", "ǰ", "\u0345", "ς", "Σ"),
    ]
)
COMPONENTS = st.lists(PARTS, min_size=1, max_size=2).map("".join)
PATHS = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join)
NAMES = st.builds(str.__add__, PATHS, st.sampled_from(["", "", "", "/"]))


def check_held(names: list[str], system: FileSystem) -> None:
    """All that was accepted is held side by side: each under its own name, as file or folder."""
    held: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}
    for name in names:
        parts = tuple(name.removesuffix("/").split("/"))
        for depth in range(1, len(parts) + 1):
            assert parts[depth - 1] not in ("", ".", "..")
            assert system.holds(parts[depth - 1]), parts
            is_folder = depth < len(parts) or name.endswith("/")
            key = tuple(map(system.key, parts[:depth]))
            assert held.setdefault(key, (parts[:depth], is_folder)) == (parts[:depth], is_folder)
            # Only a folder may be met more than once.
            assert is_folder or depth == len(parts)
    assert len({name.removesuffix("/") for name in names}) == len(names)


@pytest.mark.parametrize("name", FILE_SYSTEMS)
def test_what_is_accepted_is_held_side_by_side(
    name: str, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    system = FILE_SYSTEMS[name]
    done = 0

    @settings(max_examples=3_000 if thorough else 60)
    @given(st.lists(NAMES, min_size=1, max_size=4))
    def check(names: list[str]) -> None:
        nonlocal done
        done += 1
        if accepted(names, system.rules):
            check_held(names, system)

    check()
    count_cases(done)


@pytest.mark.parametrize("change", [str.upper, str.lower, str.casefold, str.swapcase])
def test_no_two_cases_of_any_character_stand_side_by_side_where_case_is_folded(
    change: Callable[[str], str], count_cases: Callable[[int], None]
) -> None:
    done = 0
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        other = change(character)
        if other != character:
            done += 1
            for rules in (CASELESS, NEITHER, WINDOWS):
                assert not accepted([f"a{character}", f"a{other}"], rules), hex(number)
    count_cases(done)


# --- the file system at hand -------------------------------------------------------------------


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with workplace() as folder:
        yield folder


def check_written(names: list[str], place: Path) -> None:
    """Write an archive of these names into a real folder, and find just them in it."""
    data = build(*(Member(name, b"" if name.endswith("/") else b"1") for name in names))
    staging = place / f"staging{len(list(place.iterdir()))}"
    staging.mkdir()
    root = files.open_directory(staging)
    try:
        directory = directory_of(data)
        reader = ZipReader(directory, directory.entries, ArchiveLimits())
        extractor = Extractor(reader, StagedFiles(1, root))
        extractor.feed([data[: directory.start]])
        extractor.finish()
    finally:
        os.close(root)
    wanted = {name.removesuffix("/") for name in names}
    for name in wanted:
        assert (staging / name).resolve().is_relative_to(staging.resolve())
        assert (staging / name).exists()
    here = {path.relative_to(staging).as_posix() for path in staging.rglob("*") if path.is_file()}
    assert here == {name for name in names if not name.endswith("/")}


def test_what_is_accepted_is_written_inside_the_folder(
    place: Path, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    done = 0

    @settings(max_examples=2_000 if thorough else 60)
    @given(st.lists(NAMES, min_size=1, max_size=4))
    def check(names: list[str]) -> None:
        nonlocal done
        if accepted(names, NameRules()):
            done += 1
            check_written(names, place)

    check()
    count_cases(done)

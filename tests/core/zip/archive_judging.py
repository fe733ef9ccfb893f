"""Judge what came of any bytes, for the property tests and the fuzzer.

Bytes are right to be accepted only where `zipfile` reads all of them, finds every checksum good
and sees the same tree, and where `bsdtar` sees no other. They are right to be refused only with
an `ArchiveError`; where the other two agree, by one of `STRICTNESS` alone.
Whichever it is: nothing is written outside of staging or beyond the limits, and what stays there
of an archive that was refused are whole members, each with its checksum.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from archive_reading import in_memory, write_spool

from asynccvat.archives.extractor import Extractor, StagedFiles
from asynccvat.archives.spool import Spool, extract_piece
from asynccvat.core.paths import NameRules
from asynccvat.core.zip import ArchiveLimits, Directory, TailNeeded, ZipReader, read_directory
from asynccvat.errors import ArchiveError
from asynccvat.fs import files
from asynccvat.fs.zip_files import directory_of_file

Tree = dict[str, bytes | None]
"""By path the bytes of a file, None for a directory that is listed."""

KIB = 1024
LIMITS = ArchiveLimits(
    members=500,
    member_size=512 * KIB,
    total_size=1024 * KIB,
    ratio_floor=256 * KIB,
    directory_size=256 * KIB,
)
"""Small ones, so that going beyond them is noticed."""

RULES = NameRules()
READ_PIECE = 256 * KIB
"""Bytes of the first request for the end of an archive."""

STRICTNESS: dict[str, str] = {
    "bytes that belong to nothing": (
        r"belong to nothing|bytes follow the end|bytes were added"
        r"|leaves -?\d+ bytes before what follows|bytes after its \d+ members"
    ),
    "headers that contradict each other": (
        r"its own header calls it|and the central directory disagree"
        r"|disagree on its data descriptor"
        r"|the two end records .* contradict|the directory has its header at"
        r"|its two sizes differ|reaches into what follows|, its (header|data descriptor) says"
        r"|data descriptor is missing or damaged|compressed data (takes|is incomplete)"
        r"|holds more than the \d+ bytes"
    ),
    "a name that means several things": (
        r"claims to be UTF-8 and is not|has a second name|its Unicode path"
    ),
    "extra fields that are no list, or say a thing twice": r"its extra field|its zip64 field",
    "zip64 records elsewhere or with data of their own": (
        r"zip64 end record|refers to a zip64 field that is missing"
    ),
    "a directory that holds bytes, or attributes that contradict the name": (
        r"is a directory and claims to hold bytes|its name and its attributes disagree"
    ),
    "links and devices": r"only files and directories are written",
    "encryption, patches, parts, other methods and later formats": (
        r"needs version|is encrypted|is a patch of other data|only stored and deflated"
        r"|lies on another disk|has several parts"
    ),
    "members that overlap": r"within the member before it",
    "beyond the limits": r"the limit is|the limit of|the limit: raise",
    "an end that is cut short": r"ends within its end record|central directory is too short"
    r"|ends within a header|what is no header",
}
"""Why archives are refused that others read: a name for each reason, and the messages of it."""


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a folder with a file that must not change."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        (Path(name) / "canary").write_bytes(b"alive")
        yield Path(name)


def chunks_of(data: bytes, seed: int) -> list[bytes]:
    """Divide bytes: evenly into 1, 7 or 65,536 each, or at random, as the seed says."""
    chance = Random(seed)
    kind = seed % 5
    if kind < 3:
        step = (1, 7, 65_536)[kind]
        return [data[at : at + step] for at in range(0, len(data), step)]
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# --- the others ------------------------------------------------------------------------------


def by_zipfile(data: bytes) -> Tree | None:
    """Return what the standard library reads, or None if it does not read all of it."""
    tree: Tree = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                name = _unicode_path(info) or info.orig_filename
                with archive.open(info) as file:
                    content = file.read(LIMITS.total_size + 1)
                if name in tree or len(content) > LIMITS.total_size:
                    return None
                tree[name] = content
    except Exception:  # noqa: BLE001 - it fails in a dozen ways, and is not what is judged here
        return None
    return _plain(tree)


def _unicode_path(info: zipfile.ZipInfo) -> str | None:
    """The name in Info-ZIP's Unicode path, which older versions of the library ignore."""
    extra = info.extra
    while len(extra) >= 4:
        kind, length = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 0x7075 and not info.flag_bits & 0x800:
            return field[5:].decode()
    return None


def is_bsdtars(tree: Tree, theirs: dict[bytes, bytes | None] | None) -> bool:
    """Whether a tree is what libarchive read, which takes names not marked as UTF-8 as they are."""
    if theirs is None or len(theirs) != len(tree):
        return False
    for name, content in tree.items():
        raw = name.encode()
        if raw not in theirs:
            raw = name.encode("cp437", "replace")
        if raw not in theirs or theirs[raw] != content:
            return False
    return True


def by_bsdtar(data: bytes, *, streamed: bool) -> dict[bytes, bytes | None] | None:
    """Return what libarchive reads, or None if it does not read all of it."""
    tree: dict[bytes, bytes | None] = {}
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        file.seek(0)
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        source = "@-" if streamed else f"@{file.name}"
        command = ["bsdtar", "-cf", "-", "--format=gnutar", source]
        with subprocess.Popen(
            command, stdin=file, stdout=-1, stderr=-3, env=environment
        ) as process:
            assert process.stdout is not None
            most = 4 * LIMITS.total_size
            archive = process.stdout.read(most + 1)
            if len(archive) > most:
                process.kill()
                return None
    if process.returncode != 0:
        return None
    with tarfile.open(
        fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for member in tar:
            name = os.fsencode(member.name)
            if not (member.isreg() or member.isdir()) or name in tree:
                return None
            content = tar.extractfile(member)
            tree[name] = content.read() if content else None
    return tree


def has_bsdtar() -> bool:
    """Tell whether libarchive's command is installed."""
    return shutil.which("bsdtar") is not None


_UNPLAIN = re.compile(r"[\0-\x1f\x7f-\x9f\\\ud800-\udfff]|\A[A-Za-z]:|\A/|//")


def _plain(tree: Tree) -> Tree | None:
    """Take last slashes off names; None if one is unsafe, or two cannot exist side by side."""
    plain: Tree = {}
    for name, content in tree.items():
        parts = name.removesuffix("/").split("/")
        if _UNPLAIN.search(name) or {"", ".", ".."} & set(parts) or parts[0] == ".asynccvat":
            return None
        if max(len(part.encode()) for part in parts) > 255 or len(name.encode()) > 1000:
            return None
        if name.removesuffix("/") in plain:
            return None
        plain[name.removesuffix("/")] = None if name.endswith("/") else content
    for name in plain:
        parts = name.split("/")
        if any(plain.get("/".join(parts[:n])) is not None for n in range(1, len(parts))):
            return None
    return plain


# --- asynccvat -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What came of an archive: a tree and its directory, or an error."""

    tree: Tree | None = None
    directory: Directory | None = None
    error: ArchiveError | None = None


def by_directory(data: bytes, seed: int, place: Path, limits: ArchiveLimits = LIMITS) -> Outcome:
    """Extract an archive as it comes in ranges: its end first, then its members."""
    length = READ_PIECE
    try:
        while True:
            tail = data[max(0, len(data) - length) :]
            found = read_directory(tail, len(data), limits=limits, rules=RULES)
            if isinstance(found, Directory):
                break
            assert isinstance(found, TailNeeded)
            assert length < found.length <= len(data), "it asks for what is not there"
            length = found.length
        reader = ZipReader(found, found.entries, limits)
    except ArchiveError as error:
        return Outcome(error=error)
    chunks = chunks_of(data[: found.start], seed)
    return _extract(found, reader, place, limits, lambda extractor: extractor.feed(chunks))


def spooled(data: bytes, seed: int, place: Path, limits: ArchiveLimits = LIMITS) -> Outcome:
    """Extract an archive by way of a spool."""
    root = files.open_directory(place)
    with tempfile.TemporaryFile(dir=in_memory()) as file:
        fd = file.fileno()
        try:
            spool = Spool(fd, StagedFiles(1, root), limits)
            write_spool(spool, chunks_of(data, seed))
            found = directory_of_file(fd, spool.size, READ_PIECE, limits=limits, rules=RULES)
            reader = ZipReader(found, found.entries, limits)
        except ArchiveError as error:
            return Outcome(error=error)
        finally:
            os.close(root)

        def feed(extractor: Extractor) -> None:
            while reader.position < found.start:
                extract_piece(fd, extractor, found.start)

        return _extract(found, reader, place, limits, feed)


WAYS: tuple[Callable[[bytes, int, Path], Outcome], ...] = (by_directory, spooled)


def _extract(
    directory: Directory,
    reader: ZipReader,
    place: Path,
    limits: ArchiveLimits,
    feed: Callable[[Extractor], None],
) -> Outcome:
    staging = place / "staging"
    staging.mkdir()
    root = files.open_directory(staging)
    try:
        staged = StagedFiles(1, root)
        extractor = Extractor(reader, staged)
        try:
            feed(extractor)
            extractor.finish()
            outcome = Outcome(_tree(staging, directory), directory)
        except ArchiveError as error:
            outcome = Outcome(error=error)
            _check_disk(staging, limits)
        finally:
            extractor.abandon()
        _check_left(staging, staged)
    finally:
        os.close(root)
        shutil.rmtree(staging)
    assert [path.name for path in place.iterdir()] == ["canary"], "something is outside of staging"
    assert (place / "canary").read_bytes() == b"alive"
    return outcome


def _tree(staging: Path, directory: Directory) -> Tree:
    """What is in staging, with those directories that the archive lists."""
    tree: Tree = {entry.name: None for entry in directory.entries if entry.is_directory}
    for path in staging.rglob("*"):
        name = path.relative_to(staging).as_posix()
        if path.is_dir():
            listed = any(f"{e.name}/".startswith(f"{name}/") for e in directory.entries)
            assert listed, f"{name} is no member's folder"
        else:
            assert name not in tree, f"{name} is a directory in the archive and a file here"
            tree[name] = path.read_bytes()
    return tree


def _check_disk(staging: Path, limits: ArchiveLimits) -> None:
    taken = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    assert taken <= limits.total_size, f"{taken} bytes are on disk"


def _check_left(staging: Path, staged: StagedFiles) -> None:
    """After success and after failure, only whole members are there."""
    here = {
        path.relative_to(staging).as_posix(): path.read_bytes()
        for path in staging.rglob("*")
        if not path.is_dir()
    }
    assert here.keys() == staged.records.keys()
    for name, content in here.items():
        record = staged.records[name]
        assert (record.size, record.crc) == (len(content), zlib.crc32(content)), name


# --- the judgement ---------------------------------------------------------------------------


def reasons(error: ArchiveError) -> list[str]:
    """Which of `STRICTNESS` an error is."""
    return [name for name, what in STRICTNESS.items() if re.search(what, str(error))]


def judge(data: bytes, seed: int, place: Path, *, bsdtar: bool) -> str:
    """Compare what came of some bytes with what other readers make of them.

    Args:
        data: The bytes.
        seed: How they come.
        place: A `workplace`.
        bsdtar: Compare with libarchive, too, which takes some milliseconds.

    Returns:
        "accepted", "refused", or why an archive was refused that the others read.

    Raises:
        AssertionError: It is not right.
        BaseException: Anything but an `ArchiveError` was raised.
    """
    ranged, from_spool = (way(data, seed, place) for way in WAYS)
    assert (from_spool.tree, from_spool.directory) == (ranged.tree, ranged.directory)
    if data.startswith(b"PK"):
        assert str(from_spool.error) == str(ranged.error)
    if ranged.error is None:
        assert ranged.tree == by_zipfile(data), "the standard library reads something else"
        if bsdtar:
            # It may refuse it for its times and comments, which are passed over here.
            theirs = by_bsdtar(data, streamed=False)
            same = theirs is None or is_bsdtars(ranged.tree or {}, theirs)
            assert same, "libarchive reads something else"
        return "accepted"
    others = by_zipfile(data)
    if others is None:
        return "refused"
    if bsdtar and not all(is_bsdtars(others, by_bsdtar(data, streamed=s)) for s in (False, True)):
        return "refused"
    found = reasons(ranged.error)
    assert len(found) == 1, f"refused for {found or 'no reason of ours'}: {ranged.error}"
    return found[0]

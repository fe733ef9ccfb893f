"""A coverage-guided fuzzer of the archive reader: any bytes, judged as `archive_judging` says.

    pip install -e '.[test,fuzz]'
    python tests/core/zip/fuzz_archives.py -max_total_time=300 [CORPUS]

Starts from the archives of the tests, and from what is in CORPUS, where it also keeps what is new.
The options are those of libFuzzer; a crash is written to `crash-*`, and
`python tests/core/zip/fuzz_archives.py crash-*` runs it again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from pathlib import Path
from random import Random

from archive_kinds import KINDS
from archive_surgery import NAMES, SIGNATURES, mutate

try:
    import atheris
except ImportError:
    sys.exit("the fuzzer needs atheris: pip install -e '.[fuzz]' (Linux, Python 3.11 to 3.13)")

with atheris.instrument_imports(include=["asynccvat.core.zip", "asynccvat.core.paths"]):
    from archive_judging import has_bsdtar, judge, workplace
    from archive_reading import in_memory

LONGEST = 4096
"""Bytes of an archive."""

BSDTAR_SHARE = 0.02
"""How often libarchive judges, too: it takes longer than everything else."""


def dictionary() -> list[bytes]:
    """Return typical parts of zip archives."""
    methods = [bytes([method, 0]) for method in (0, 8, 9, 12, 14, 93, 99)]
    return [*SIGNATURES, *NAMES[:-1], b"\x01\0\x10\0", b"\x75\x70", b"\xff" * 4, *methods]


class Fuzzing:
    """Judge bytes, and change archives."""

    def __init__(self, place: Path) -> None:
        """Work in a `workplace`."""
        self._place = place
        self._kinds = list(KINDS.values())
        self._bsdtar = has_bsdtar()

    def try_one(self, data: bytes) -> None:
        """Judge some bytes; how they come depends on them alone, so that it can be repeated."""
        seed = zlib.crc32(data)
        bsdtar = self._bsdtar and Random(seed).random() < BSDTAR_SHARE
        judge(data, seed, self._place, bsdtar=bsdtar)

    def change(self, data: bytes, longest: int, seed: int) -> bytes:
        """Change an archive as one who knows its records would, or as libFuzzer does."""
        if seed % 4 == 0:
            return bytes(atheris.Mutate(data, longest))
        return mutate(data, seed, other=Random(seed).choice(self._kinds))[:longest]


def fuzz(place: Path, arguments: list[str]) -> None:
    """Fuzz until the time is over, or something is wrong; ends the process."""
    corpus, words = place / "kinds", place / "words"
    corpus.mkdir()
    for number, kind in enumerate(KINDS.values()):
        (corpus / f"{number}.zip").write_bytes(kind)
    lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in dictionary() if word)
    words.write_text("".join(f'"{line}"\n' for line in lines), encoding="ascii")
    given = [argument for argument in arguments[1:] if not argument.startswith("-")]
    options = [argument for argument in arguments[1:] if argument.startswith("-")]
    if not (given and Path(given[0]).is_file()):
        given.append(str(corpus))
    with workplace() as inner:
        fuzzing = Fuzzing(inner)
        atheris.Setup(
            [arguments[0], f"-max_len={LONGEST}", f"-dict={words}", *options, *given],
            fuzzing.try_one,
            custom_mutator=fuzzing.change,
        )
        atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz in a child process: libFuzzer ends its process without any cleanup."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        place = Path(name)
        tempfile.tempdir = name
        child = os.fork()
        if child == 0:
            fuzz(place, arguments)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv))

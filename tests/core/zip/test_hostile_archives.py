"""Any bytes, in any chunks, give the tree that other readers see, or an error of ours.

What is right is for `archive_judging` to say; here are the bytes: random ones, archives whose
records were changed on purpose, and archives that were cut at each byte.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from archive_builder import Member, build
from archive_judging import (
    STRICTNESS,
    WAYS,
    Outcome,
    by_directory,
    has_bsdtar,
    judge,
    reasons,
    workplace,
)
from archive_kinds import KINDS
from archive_surgery import SIGNATURES, mutate
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.proof("Hostile archives and destinations")

FUZZER = Path(__file__).with_name("fuzz_archives.py")
FUZZING_SECONDS = 60
DOCUMENTED = Path(__file__).parents[3] / "docs/archives.md"

SEEDS = st.integers(0, 2**32)
Count = Callable[[int], None]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with workplace() as folder:
        yield folder


def test_bytes_of_any_kind_are_refused_or_right(
    place: Path, thorough: bool, count_cases: Count
) -> None:
    pieces = st.binary(max_size=60) | st.sampled_from([*SIGNATURES, *KINDS.values()])
    done = 0

    @settings(max_examples=10_000 if thorough else 100)
    @given(st.lists(pieces, max_size=6), SEEDS)
    def check(pieces: list[bytes], seed: int) -> None:
        nonlocal done
        done += 1
        judge(b"".join(pieces), seed, place, bsdtar=False)

    check()
    count_cases(done)


def test_archives_whose_records_were_changed_are_refused_or_right(
    place: Path, thorough: bool, count_cases: Count
) -> None:
    kinds = st.sampled_from(list(KINDS.values()))
    done = 0

    @settings(max_examples=40_000 if thorough else 300)
    @given(kinds, kinds, SEEDS)
    def check(data: bytes, other: bytes, seed: int) -> None:
        nonlocal done
        done += 1
        judge(mutate(data, seed, other=other), seed, place, bsdtar=False)

    check()
    count_cases(done)


@pytest.mark.skipif(not has_bsdtar(), reason="bsdtar is not installed (libarchive-tools)")
def test_what_is_refused_and_others_read_is_refused_for_a_documented_reason(
    place: Path, thorough: bool, count_cases: Count
) -> None:
    kinds = list(KINDS.values())
    verdicts: Counter[str] = Counter()
    cases = 8_000 if thorough else 150
    for seed in range(cases):
        chance = Random(seed)
        data = mutate(chance.choice(kinds), seed, other=chance.choice(kinds))
        verdicts[judge(data, seed, place, bsdtar=True)] += 1
    count_cases(cases)
    assert verdicts["accepted"] > cases / 100
    assert verdicts["refused"] > cases / 2
    if thorough:
        # Every reason comes about but those that the others share.
        assert len(STRICTNESS.keys() & verdicts.keys()) >= len(STRICTNESS) - 3, verdicts


def test_archives_of_a_real_server_that_were_changed_are_refused_or_right(
    shared: Path, place: Path, thorough: bool, count_cases: Count
) -> None:
    found = [*(shared / "contract/exports").glob("*.zip"), *(shared / "archives").glob("*/*.zip")]
    archives = [data for path in sorted(found) if len(data := path.read_bytes()) < 30_000]
    assert archives
    for data in archives:
        judge(data, 0, place, bsdtar=has_bsdtar())
    cases = 8_000 if thorough else 50
    for seed in range(cases):
        chance = Random(seed)
        data = mutate(chance.choice(archives), seed, other=chance.choice(archives))
        judge(data, seed, place, bsdtar=has_bsdtar() and thorough and seed % 10 == 0)
    count_cases(len(archives) + cases)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_an_archive_cut_at_any_byte_is_refused(
    kind: str,
    way: Callable[[bytes, int, Path], Outcome],
    place: Path,
    thorough: bool,
    count_cases: Count,
) -> None:
    data = KINDS[kind]
    # Of the larger ones each third byte otherwise: what they are made of, smaller ones are, too.
    lengths = range(0, len(data), 1 if thorough or len(data) < 200 else 3)
    for length in lengths:
        outcome = way(data[:length], length, place)
        assert outcome.error is not None, length
        # It came broken, so it is worth fetching again.
        assert outcome.error.retryable
    count_cases(len(lengths))


def test_every_reason_to_be_stricter_than_others_is_documented() -> None:
    documented = DOCUMENTED.read_text("utf-8")
    for reason in STRICTNESS:
        assert f"- **{reason[0].upper()}{reason[1:]}**" in documented


def test_reasons_are_told_apart(place: Path) -> None:
    """A judge that finds a reason for everything judges nothing."""
    outcome = by_directory(build(Member("a", b"1"), Member("a", b"2")), 0, place)
    assert outcome.error is not None
    assert reasons(outcome.error) == []


@pytest.mark.thorough
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed (extra: fuzz)")
def test_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZER), f"-max_total_time={FUZZING_SECONDS}"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr

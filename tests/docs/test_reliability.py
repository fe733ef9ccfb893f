"""The page of proofs names every proof, and the suites that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
ROWS = {
    row.split("|")[1].strip(): row
    for row in PAGE.partition("## What each proof does")[0].splitlines()
    if row.startswith("| ")
}
MARK = re.compile(r"^pytestmark = .*pytest\.mark\.proof\(\"([^\"]+)\"\)", re.MULTILINE)


def proofs() -> dict[str, set[str]]:
    """By proof, the modules that are marked with it."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in MARK.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_each_proof_has_a_row_and_each_of_its_suites_is_in_it() -> None:
    for name, modules in proofs().items():
        for module in modules:
            folder = module.rpartition("/")[0]
            assert f"`{module}`" in ROWS[name] or f"`{folder}`" in ROWS[name], module


def test_each_proof_is_described_and_has_figures() -> None:
    figures = PAGE.partition("## Last figures")[2]
    for name in proofs():
        assert f"### {name}\n" in PAGE, name
        assert f"| {name} |" in figures, name


def test_each_row_is_of_a_proof_and_names_suites_that_are_there() -> None:
    assert ROWS.keys() - {"proof"} == proofs().keys()
    for suite in re.findall(r"`(tests/[^`]+)`", PAGE):
        assert (ROOT / suite).exists(), suite

"""`python -m benchmarks --quick|--full [--only NAME]`: measure, compare, and write it all down.

Each benchmark writes its JSON and its plots below `results/`; all that are there make one page,
which the full set writes to `benchmarks/RESULTS.md`, too.
"""

from __future__ import annotations

import argparse
import compileall
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import asynccvat
from benchmarks import reporting
from benchmarks.cases import CASES
from benchmarks.environments import DEFAULT_CACHE
from benchmarks.results import Result
from benchmarks.setting import FULL, QUICK, Setting

HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were asked for.

    Returns:
        0: they ran, whether the goals were met or not.
    """
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    sizes = options.sizes
    if options.rounds is not None:
        sizes = dataclasses.replace(sizes, rounds=options.rounds)
    if options.pairs is not None:
        sizes = dataclasses.replace(sizes, pairs=options.pairs)
    if options.tasks is not None:
        sizes = dataclasses.replace(sizes, soak_tasks=options.tasks)
    names = options.only or list(CASES)
    results = options.results / sizes.label
    results.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    # As pip leaves the contenders: a checkout may not have been compiled, and need not stay so.
    compileall.compile_dir(Path(asynccvat.__file__).parent, quiet=1)
    for name in [] if options.report else names:
        with tempfile.TemporaryDirectory(dir=options.work, prefix="benchmark-") as work:
            around = reporting.surroundings(sizes.label, given)
            print(f"{name}:", flush=True)
            result = CASES[name](Setting(sizes, Path(work), options.cache))
            reporting.write_json(result.to_json(), around, results)
            _plot(result, results)
            _tell(result)
        # After each one: what is measured is not lost to one that fails.
        _write_page(results, sizes.label, whole=not options.only)
    if options.report:
        _write_page(results, sizes.label, whole=not options.only)
    print(f"{time.perf_counter() - began:.0f} s; see {results / 'RESULTS.md'}")
    return 0


def _write_page(results: Path, label: str, *, whole: bool) -> None:
    """Write the page of the results that are there, and the one that is kept, if it is whole."""
    found = reporting.read_json(results, list(CASES))
    page = reporting.page(found)
    (results / "RESULTS.md").write_text(page, "utf-8")
    if label == "full" and (whole or len(found) == len(CASES)):
        (HERE / "RESULTS.md").write_text(page, "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    parser.set_defaults(sizes=QUICK)
    for name, sizes, told in (
        ("--quick", QUICK, "small sizes, some minutes (default)"),
        ("--full", FULL, "the sizes of the goals"),
    ):
        parser.add_argument(name, dest="sizes", action="store_const", const=sizes, help=told)
    parser.add_argument("--only", action="append", choices=list(CASES), help="may be repeated")
    parser.add_argument("--rounds", type=int, help="turns at the simulated server")
    parser.add_argument("--pairs", type=int, help="turns at archives")
    parser.add_argument("--tasks", type=int, help="tasks of the soak")
    parser.add_argument("--report", action="store_true", help="only write the page again")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where to write")
    parser.add_argument("--work", type=Path, help="folder for the trees, removed afterwards")
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="keeps archives and environments"
    )
    return parser


def _plot(result: Result, folder: Path) -> None:
    try:
        from benchmarks import plotting  # noqa: PLC0415 - matplotlib may not be here
    except ModuleNotFoundError as error:
        print(f"  no plots: {error}; pip install 'asynccvat[bench]' brings what they need")
        return
    for path in plotting.plot(result, folder):
        print(f"    {path}")


def _tell(result: Result) -> None:
    for goal in result.goals:
        met = "met" if goal.passed else "NOT MET"
        print(f"  {met}: {goal.what}: {goal.measured} (goal {goal.goal}) {goal.note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

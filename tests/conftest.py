"""Fixtures that the whole suite shares, and the bookkeeping of the proofs.

A proof is a suite that shows that one of the promises of `docs/reliability.md` holds. Its modules
are marked `pytest.mark.proof("its name")`. It runs a sample of its cases with the other tests, and
all of them with `--thorough`; tests marked `thorough` run only then. A test is one case, unless it
says through the fixture `count_cases` how many it went through; a summary tells them by proof.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from secrets_check import SecretsCheck

from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.retry import RetryPolicy

# How quick a machine is at the moment is no property of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("untimed"), max_examples=500)
settings.load_profile("untimed")

# Hundreds of processes are started here: none should have to compile the package for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A machine may trust authorities of its own; a test that needs some names them.
for _name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(_name, None)

# No test touches the keyring of the user who runs it; one that needs a keyring sets its own.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

# Shells start what runs in the background without Ctrl-C, and commands of tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
THOROUGH_SECONDS = 7200.0
"""When a test of a thorough run counts as hung."""

PARALLEL_FROM_MODULES = 12
"""So many modules of tests take longer than the workers need to start."""

MOST_WORKERS = 4
"""A container may show more cores than it gets; `-n` takes any number."""

CASES = pytest.StashKey[int]()
"""How many cases a test counted since its last report."""

PROPERTY = "proof"
"""The name of what a report says of its proof; it travels with it from process to process."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run every case of the proofs instead of a sample (about an hour; see "
        "docs/reliability.md)",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Share the tests between the cores, unless few are selected or their output is watched.

    A worker needs seconds to start and to collect; a few files are done before.
    """
    options = config.option
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    if options.keyword or options.lf or options.capture == "no":
        return 0
    modules = sum(1 for place in config.args for _ in Path(place).rglob("test_*.py"))
    if modules < PARALLEL_FROM_MODULES and not options.thorough:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MOST_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proof(name): shows that a promise holds")
    config.addinivalue_line("markers", "thorough: runs only with --thorough")
    if config.getoption("thorough"):
        # Before any test is defined.
        settings.load_profile("thorough")
    config.pluginmanager.register(SecretsCheck(), "secrets check")
    config.pluginmanager.register(Proofs(), "proofs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("thorough"):
        for item in items:
            if item.get_closest_marker("proof"):
                item.add_marker(pytest.mark.timeout(THOROUGH_SECONDS))
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over modules and tests: they stay until the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in each report of a proof which one it is of, and how many cases were new."""
    report = yield
    if proof := item.get_closest_marker("proof"):
        cases = item.stash.get(CASES, 0)
        if report.when == "call" and report.passed and not _counts_cases(item):
            cases += 1
        item.stash[CASES] = 0
        report.user_properties.append((PROPERTY, [proof.args[0], cases]))
    return report


def _counts_cases(item: pytest.Item) -> bool:
    return "count_cases" in getattr(item, "fixturenames", ())


class Proofs:
    """The cases and seconds of each proof, from the reports of all processes."""

    def __init__(self) -> None:
        self._cases: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told: list[tuple[str, Any]] = report.user_properties
        for name, value in told:
            if name == PROPERTY:
                proof, cases = value
                self._cases[proof] += cases
                self._seconds[proof] += report.duration

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        if config.getoption("thorough") or "proof" in config.getoption("markexpr"):
            terminalreporter.section("proofs")
            for name, cases in sorted(self._cases.items()):
                terminalreporter.line(f"{name}: {cases:,} cases, {self._seconds[name]:,.0f} s")


@pytest.fixture
def anyio_backend() -> str:
    """Only asyncio is claimed."""
    return "asyncio"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated server exports in no time: look at once, and try again at once."""
    monkeypatch.setattr(intervals, "SHORTEST_INTERVAL", 0.004)
    monkeypatch.setattr(intervals, "SHORTEST_PAUSE", 0.002)
    monkeypatch.setattr(intervals, "FIRST_POLL", 0.002)
    monkeypatch.setattr(RetryPolicy, "backoff", lambda _self, _attempt, _jitter: 0.0)


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether every case is to be run, rather than a sample."""
    return bool(request.config.getoption("thorough"))


@pytest.fixture
def count_cases(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """Tells how many cases a test of a proof went through."""
    item = request.node
    assert item.get_closest_marker("proof") is not None, "only tests marked as a proof count cases"

    def count(number: int) -> None:
        item.stash[CASES] = item.stash.get(CASES, 0) + number

    return count


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and archives of a real server; tests that need it skip without."""
    folder = Path(os.environ.get("ASYNCCVAT_SHARED", ROOT.parent / "shared"))
    if not (folder / "contract").is_dir():
        pytest.skip(f"the recordings of a real CVAT server are not at {folder}")
    return folder

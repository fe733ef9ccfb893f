"""No output of any test shows a password, a token or a cookie.

Registered by `conftest`, it learns every secret that the tests' servers and clients have, and looks
for them in whatever the code under test brings forth: captured output, also that of commands in
other processes; log records at every level; every error of the package, raised or not, and all that
tests expect, with their causes and notes; and the files below `tmp_path` and in folders of
`memory_folders`, such as receipts, reports, logs of events and lock files: the first part of each,
of as many as is quick, our own folder first, and no images and archives, which are the server's;
nor the file of profiles of CVAT's own tools, whose purpose is to hold tokens.
What a test wrote itself is its input. A test that has to show a secret says why, by
`pytest.mark.shows_secrets("the reason")`.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import memory_folders
import pytest

import asynccvat
from asynccvat.errors import AsyncCvatError
from asynccvat.http.authorization import Credentials
from asynccvat.http.calls import HttpOptions
from asynccvat.simulator import ServerProcess, SimulatorOptions
from asynccvat.simulator.world.accounts import Accounts

PACKAGE = str(Path(asynccvat.__file__).parent)
MOST_FILES = 300
MOST_OF_A_FILE = 1 << 18
SHORTEST = 8
"""Characters of a password from which it is told from any other word: the tests' own are longer."""

# Keys and cookies as CVAT makes them, of 32 and 40 digits, and access tokens.
_KEY = re.compile(rb"[0-9a-f]{8}\.[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{32}")
# Each holds 32 digits in a row. To look for those first takes a hundredth of the time.
_DIGITS_TO_ZERO = bytes(48 if byte in b"0123456789abcdef" else 32 for byte in range(256))
_MANY_DIGITS = b"0" * 32
_LOGINS_ELSEWHERE = 50
_CONTENT = (".jpg", ".png", ".zip")
_PROFILES = "/cvat-sdk/auth.json"


class SecretsCheck:
    """The check, as a plugin."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.words: set[bytes] = set()
        self.leaks: list[str] = []
        self.inputs: set[str] = set()
        self._undo: list[Callable[[], None]] = []

    # --- learning -----------------------------------------------------------------------------

    def learn(self, *secrets: str | None) -> None:
        """Look for these from now on."""
        for secret in secrets:
            if secret is not None and _KEY.fullmatch(secret.encode()):
                self.keys.add(secret.encode())
            elif secret is not None and len(secret) >= SHORTEST and not secret.isalpha():
                self.words.add(secret.encode())

    def learn_of_process(self, options: SimulatorOptions) -> None:
        """What a server in another process will give out, which follows from its seed."""
        self.learn(options.password, *(user.password for user in options.users))
        accounts = Accounts(options)
        admin = accounts.by_id[1]
        accounts.token_of(admin)
        for _ in range(_LOGINS_ELSEWHERE):
            accounts.log_in(admin)

    # --- looking ------------------------------------------------------------------------------

    def look(self, where: str, *texts: str | bytes | None) -> None:
        """Note the secrets that something shows."""
        for text in texts:
            if not text:
                continue
            shown = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            found = [word for word in self.words if word in shown]
            if _MANY_DIGITS in shown.translate(_DIGITS_TO_ZERO):
                found += [key for key in _KEY.findall(shown) if key in self.keys]
            self.leaks += [
                f"{where} shows the secret {one.decode()!r}" for one in dict.fromkeys(found)
            ]

    def look_at_error(self, error: BaseException | None) -> None:
        """Look at an error, what led to it, and what it consists of."""
        seen: set[int] = set()
        waiting = [error]
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            notes = getattr(one, "__notes__", [])
            self.look(f"a {type(one).__name__}", "\n".join([str(one), repr(one), *notes]))
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions

    def look_at_files(self, folder: Path) -> None:
        """Look at the files of a test, but for those that it wrote itself."""
        for path in itertools.islice(_files(str(folder)), MOST_FILES):
            if path not in self.inputs and not path.endswith(_PROFILES):
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - tens of thousands
                    self.look(path[len(str(folder)) + 1 :], file.read(MOST_OF_A_FILE))

    # --- pytest -------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "shows_secrets(reason): it has to show a secret")
        # A command that a test starts may serve with these, in whichever process the test runs.
        self.learn_of_process(SimulatorOptions())
        self._wrap(Accounts, "log_in", lambda _, secrets: self.learn(*secrets))
        self._wrap(Accounts, "token_of", lambda _, token: self.learn(token))
        self._wrap(Accounts, "create_access_token", lambda _, made: self.learn(made.value))
        self._wrap(
            Accounts,
            "__init__",
            lambda args, _: self.learn(*(one.password for one in args[0].by_id.values())),
        )
        self._wrap(
            Credentials,
            "__post_init__",
            lambda args, _: self.learn(args[0].password, args[0].token),
        )
        self._wrap(
            HttpOptions,
            "__post_init__",
            lambda args, _: self.learn(*args[0].headers.values()),
        )
        self._wrap(
            ServerProcess,
            "__init__",
            lambda args, _: self.learn_of_process((*args, None)[1] or SimulatorOptions()),
        )
        self._wrap(
            subprocess.Popen,
            "communicate",
            lambda _, both: self.look("a command's output", *both),
        )
        self._wrap(
            pytest.CaptureFixture,
            "readouterr",
            lambda _, both: self.look("the output", *both),
        )
        self._wrap(
            pytest.ExceptionInfo, "fill_unfilled", lambda args, _: self.look_at_error(args[1][1])
        )
        self._wrap(
            AsyncCvatError,
            "__init__",
            lambda args, _: self.look(f"a {type(args[0]).__name__}", args[0].message),
        )
        self._wrap(memory_folders, "leave", lambda args, _: self.look_at_files(args[0]))
        for method in ("write_text", "write_bytes"):
            self._wrap(Path, method, self._note_input)
        handler = _Looking(self)
        for name in ("asynccvat", "aiohttp"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.addHandler(handler)

    def pytest_unconfigure(self) -> None:
        for undo in self._undo:
            undo()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        for title, text in report.sections:
            self.look(title, text)
        if report.when != "teardown":
            return report
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        if isinstance(folder, Path) and folder.is_dir():
            self.look_at_files(folder)
        leaks, self.leaks = list(dict.fromkeys(self.leaks)), []
        self.inputs.clear()
        marker = item.get_closest_marker("shows_secrets")
        if marker is not None:
            assert marker.args, "shows_secrets needs a reason"
        elif leaks and report.passed:
            report.outcome = "failed"
            report.longrepr = "\n".join(["secrets are shown:", *leaks])
        return report

    def _note_input(self, args: tuple[Any, ...], _: object) -> None:
        if not _writer().co_filename.startswith(PACKAGE):
            self.inputs.add(str(args[0].absolute()))

    def _wrap(self, owner: Any, name: str, after: Callable[[tuple[Any, ...], Any], Any]) -> None:
        """Do something after each call of a method, with its arguments and what it returned."""
        inner = getattr(owner, name)

        def method(*args: Any, **kwargs: Any) -> Any:
            value = inner(*args, **kwargs)
            after(args, value)
            return value

        setattr(owner, name, method)
        self._undo.append(lambda: setattr(owner, name, inner))


class _Looking(logging.Handler):
    """Looks at what is logged, with the errors that are."""

    def __init__(self, check: SecretsCheck) -> None:
        super().__init__(logging.DEBUG)
        self._check = check

    def emit(self, record: logging.LogRecord) -> None:
        self._check.look(f"the log of {record.name}", record.getMessage())
        if record.exc_info:
            self._check.look_at_error(record.exc_info[1])


def _writer() -> CodeType:
    """Whose code called the method that is wrapped: neither this module's nor `pathlib`'s."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, _PATHLIB):
        frame = frame.f_back
    return frame.f_code


_PATHLIB = Path.write_text.__code__.co_filename


def _files(folder: str) -> Iterator[str]:
    """Paths of the files below a folder, except of content; those of `.asynccvat` come first."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_file(follow_symlinks=False) and not entry.name.endswith(_CONTENT):
            yield entry.path
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)

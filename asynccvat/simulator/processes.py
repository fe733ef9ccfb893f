"""Run a simulated server in another process, apart from the client's loop.

`ServerProcess` starts `python -m asynccvat.simulator`, and controls it by the calls of `control`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.options import SimulatorOptions

_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs without the proxies of the environment: the server is on this machine."""


class ServerProcess:
    """A simulated server in another process.

    It stops with the context, or with the process that started it.

    All methods block; in a coroutine, call them in a thread.

    Attributes:
        url: The server's origin.
        username: The superuser's name.
        password: The superuser's password.
        token: The superuser's key.
        pid: The process id.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        """Start the process and wait until it listens.

        Raises:
            ValueError: An option is a function, which cannot be sent to another process.
            RuntimeError: The process ended before it listened; its stderr tells why.
        """
        values = json.dumps((options or SimulatorOptions()).to_json())
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
            [sys.executable, "-m", "asynccvat.simulator", "--json", values],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(
                "the simulated server ended before it listened: its stderr tells why"
            )
        access = json.loads(line)
        self.url: str = access["url"]
        self.username: str = access["username"]
        self.password: str = access["password"]
        self.token: str = access["token"]
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        """Return the server, which listens already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        self.stop()

    def stop(self) -> None:
        """Stop the process by closing its standard input; kill it after 5 s."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def stats(self) -> dict[str, Any]:
        """Like `SimulatedServer.stats`."""
        stats: dict[str, Any] = self._ask("GET", "stats")
        return stats

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Like `SimulatedServer.calls`, each a dictionary."""
        calls: list[dict[str, Any]] = self._ask("GET", "calls")
        return calls

    @property
    def exports(self) -> list[dict[str, Any]]:
        """Like `SimulatedServer.exports`, each a dictionary."""
        exports: list[dict[str, Any]] = self._ask("GET", "exports")
        return exports

    @property
    def imports(self) -> list[dict[str, Any]]:
        """Like `SimulatedServer.imports`, each a dictionary."""
        imports: list[dict[str, Any]] = self._ask("GET", "imports")
        return imports

    @property
    def creations(self) -> list[dict[str, Any]]:
        """Like `SimulatedServer.creations`, each a dictionary."""
        creations: list[dict[str, Any]] = self._ask("GET", "creations")
        return creations

    def add_faults(self, *faults: Fault) -> None:
        """Add scripted faults."""
        self._ask("POST", "faults", [fault.to_json() for fault in faults])

    def clear_faults(self) -> None:
        """Remove all scripted faults."""
        self._ask("DELETE", "faults")

    def do(self, method: str, **arguments: Any) -> Any:
        """Call a method of `SimulatedServer`, as in `do("edit_task", task_id=3)`.

        Raises:
            urllib.error.HTTPError: 400, there is no such method or it failed.
        """
        return self._ask("POST", "do", {"method": method, **arguments})

    def _ask(self, method: str, name: str, value: Any = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server's address
            f"{self.url}/_simulator/{name}", body, method=method
        )
        with _directly.open(request) as response:
            return json.load(response)

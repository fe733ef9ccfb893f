"""Pages where an archive should be, at predicted URLs: early, wrong, or a passing fault.

Most archives are asked for before the server says that they are there. What else comes from such
a place fails no task: the server is asked, and has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from mirrored import Ran, connected, files, mirror_undisturbed, run, staged

from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Network faults")]

PAGE = Fault(status=200, body="<html><body>CVAT</body></html>", content_type="text/html")
NO = Fault(status=404, body='{"detail": "Not found."}', content_type="application/vnd.cvat+json")


class Unasked:
    """Faults of downloads of which the server did not say yet that they are there.

    Attributes:
        struck: The tasks that it struck.
    """

    def __init__(self, server: SimulatedServer, faults: Iterator[Fault]) -> None:
        self.struck: list[int | None] = []
        self._server = server
        self._real = server.faults.for_call
        self._faults = faults
        self._asked: set[str] = set()

    def for_call(self, method: str, path: str, query: str, task_id: int | None) -> list[Fault]:
        """In place of the server's own."""
        if path == "/api/requests":
            self._asked |= self._server.requests.keys()
        elif path.startswith("/api/requests/"):
            self._asked.add(path.removeprefix("/api/requests/"))
        if path.endswith("/dataset/download"):
            (rq_id,) = parse_qs(query)["rq_id"]
            if rq_id not in self._asked and (fault := next(self._faults, None)) is not None:
                self.struck.append(task_id)
                return [fault]
        return self._real(method, path, query, task_id)


async def mirrored(
    data: Path, monkeypatch: pytest.MonkeyPatch, tasks: int, faults: list[Fault]
) -> tuple[int, Ran, Ran]:
    """Mirror with such faults: how many struck, the run, and the same where all is well."""
    async with SimulatedServer(SimulatorOptions(tasks=tasks, frames=1)) as server:
        unasked = Unasked(server, iter(faults))
        with monkeypatch.context() as patch:
            patch.setattr(server.faults, "for_call", unasked.for_call)
            async with connected(server) as client:
                ran = await run(client, data, server)
        ideal = await mirror_undisturbed(server, data.with_name("undisturbed"))
    assert ran.report.ok, ran.report.failures
    assert staged(data) == []
    assert files(data) == files(data.with_name("undisturbed"))
    return len(unasked.struck), ran, ideal


async def test_a_page_that_passes_costs_a_question(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck, ran, ideal = await mirrored(data, monkeypatch, 60, [PAGE])
    assert struck == 1
    # The others are tried as ever.
    assert ran.report.requests <= ideal.report.requests + 15


@pytest.mark.parametrize(
    "fault", [PAGE, pytest.param(NO, marks=pytest.mark.thorough)], ids=["page", "404"]
)
async def test_a_server_whose_places_cannot_be_predicted_is_asked_about_them(
    data: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    struck, _, _ = await mirrored(data, monkeypatch, 100, [fault] * 100)
    # Those that are under way when it turns out, and no more.
    assert 1 <= struck <= MOST_IN_FLIGHT

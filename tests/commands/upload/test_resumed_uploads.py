"""Send large files to a simulated server in pieces, with breaks and lost answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_serving import Serving, serving

import asynccvat as ac
from asynccvat.core.wire.tus import ONE_REQUEST
from asynccvat.simulator import CallRecord, Fault

pytestmark = pytest.mark.anyio


FOR_GOOD: dict[str, Any] = {"allow_empty": True, "backup": False}


def large(tmp_path: Path) -> Path:
    """A file of four pieces."""
    path = tmp_path / "large.xml"
    blanks = b" " * (3 * ONE_REQUEST - 22)
    path.write_bytes(b"<annotations>" + blanks + b"</annotations>")
    return path


def to_annotations(serve: Serving, method: str) -> list[CallRecord]:
    return serve.calls(method, "/annotations")


async def test_a_large_file_is_sent_in_pieces_and_arrives_whole(tmp_path: Path) -> None:
    path = large(tmp_path)
    async with serving(2) as serve:
        request = await ac.upload_annotations(serve.client, 1, path, **FOR_GOOD)
        assert request.state is ac.models.RequestStatus.FINISHED
        pieces = to_annotations(serve, "PATCH")
        assert [call.status for call in pieces] == [204] * 4
        assert sum(call.bytes_received for call in pieces) == path.stat().st_size


@pytest.mark.parametrize("at", [0, 1, 300_000, ONE_REQUEST - 1])
async def test_a_break_costs_the_piece_under_way(tmp_path: Path, at: int) -> None:
    path = large(tmp_path)
    async with serving(2) as serve:
        serve.server.faults.add(
            Fault(method="PATCH", nth=2, break_at=at), Fault(method="PATCH", nth=4, drop=True)
        )
        request = await ac.upload_annotations(serve.client, 1, path, **FOR_GOOD)
        assert request.state is ac.models.RequestStatus.FINISHED
        kept = [call for call in to_annotations(serve, "PATCH") if call.status == 204]
        assert sum(call.bytes_received for call in kept) == path.stat().st_size
        assert len(to_annotations(serve, "HEAD")) == 2


@pytest.mark.parametrize("nth", [1, 4], ids=["of the first piece", "of the last piece"])
async def test_a_lost_answer_costs_nothing(tmp_path: Path, nth: int) -> None:
    path = large(tmp_path)
    async with serving(2) as serve:
        serve.server.faults.add(Fault(method="PATCH", nth=nth, lose_answer=True))
        request = await ac.upload_annotations(serve.client, 1, path, **FOR_GOOD)
        assert request.state is ac.models.RequestStatus.FINISHED
        received = sum(call.bytes_received for call in to_annotations(serve, "PATCH"))
        assert received == path.stat().st_size


async def test_a_server_that_is_down_for_a_while_is_waited_for(tmp_path: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(method="PATCH", nth=3, status=502, times=1))
        request = await ac.upload_annotations(serve.client, 1, large(tmp_path), **FOR_GOOD)
        assert request.state is ac.models.RequestStatus.FINISHED


async def test_breaks_without_progress_are_given_up(tmp_path: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(method="PATCH", drop=True, times=None))
        with pytest.raises(ac.TransportError):
            await ac.upload_annotations(serve.client, 1, large(tmp_path), **FOR_GOOD)
        assert serve.server.imports == []


async def test_after_a_lost_answer_a_consumed_file_shows_that_it_was_imported(
    tmp_path: Path,
) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(method="POST", path="filename=", lose_answer=True))
        request = await ac.upload_annotations(serve.client, 1, large(tmp_path), **FOR_GOOD)
        assert request.state is ac.models.RequestStatus.FINISHED
        assert len(serve.server.imports) == 1

"""Scripted faults of the simulated server."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from anyio import fail_after, move_on_after
from simulator_client import simulator_client

from asynccvat.simulator import Fault, Faults, SimulatorOptions

pytestmark = pytest.mark.anyio


async def test_a_status_instead_of_an_answer_once() -> None:
    async with simulator_client() as client:
        client.server.faults.add(
            Fault(path="^/api/tasks$", status=503, body="busy", headers={"Retry-After": "3"})
        )
        busy = await client.get("/api/tasks")
        assert (busy.status, busy.body, busy.headers["Retry-After"]) == (503, b"busy", "3")
        assert (await client.get("/api/tasks")).status == 200


async def test_a_gateway_error_is_the_page_of_nginx() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(status=502))
        answer = await client.get("/api/tasks")
        assert (answer.status, answer.type) == (502, "text/html")
        assert b"<center>nginx</center>" in answer.body


def strikes(fault: Fault, calls: int) -> list[int]:
    faults = Faults(seed=1)
    faults.add(fault)
    return [
        number for number in range(1, calls + 1) if faults.for_call("GET", "/api/tasks/3", "", 3)
    ]


def test_when_a_fault_strikes() -> None:
    assert strikes(Fault(), 4) == [1]
    assert strikes(Fault(times=2), 4) == [1, 2]
    assert strikes(Fault(times=None), 4) == [1, 2, 3, 4]
    assert strikes(Fault(nth=3), 4) == [3]
    assert strikes(Fault(method="POST"), 4) == []
    assert strikes(Fault(method="GET", task_id=3), 4) == [1]
    assert strikes(Fault(task_id=4), 4) == []
    assert strikes(Fault(path="dataset"), 4) == []
    assert strikes(Fault(export="fail"), 4) == []
    chance = strikes(Fault(probability=0.5, times=None), 100)
    assert 20 < len(chance) < 80
    assert chance == strikes(Fault(probability=0.5, times=None), 100)


def test_a_script_knows_what_is_left_of_it() -> None:
    faults = Faults()
    faults.add(Fault(), Fault(times=None))
    assert len(faults) == 2
    faults.for_call("GET", "/", "", None)
    assert len(faults) == 1
    faults.clear()
    assert len(faults) == 0


def test_a_fault_survives_a_round_trip_through_json() -> None:
    fault = Fault(path="x", status=500, headers={"A": "b"}, export="kill")
    assert Fault.from_json(fault.to_json()) == fault
    with pytest.raises(ValueError, match="no nonsense"):
        Fault.from_json({"nonsense": 1})
    with pytest.raises(ValueError, match="not a regular expression"):
        Faults().add(Fault(path="("))


async def test_a_dropped_connection_has_no_response() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(drop=True, times=2))  # the client itself tries GET twice
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/api/tasks")
        assert client.server.calls[-1].status == 0


async def gather(response: aiohttp.ClientResponse, received: bytearray) -> None:
    async for chunk in response.content.iter_any():
        received += chunk


async def test_a_download_is_cut_after_the_given_bytes() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        whole = (await client.get(url)).body
        client.server.faults.add(Fault(path="download", cut_at=1000))
        received = bytearray()
        headers = {"Authorization": f"Token {client.server.token}"}
        async with client.session.get(url, headers=headers) as response:
            assert response.content_length == len(whole)
            with pytest.raises(aiohttp.ClientPayloadError):
                await gather(response, received)
        assert bytes(received) == whole[:1000]
        cut = client.server.calls[-1]
        assert (cut.status, cut.bytes_sent) == (200, 1000)


async def test_json_is_cut_after_the_given_bytes() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(path="^/api/tasks$", cut_at=10))
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.get("/api/tasks")


async def test_a_stalled_download_stays_open_and_sends_nothing_more() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        client.server.faults.add(Fault(path="download", stall_at=100))
        headers = {"Authorization": f"Token {client.server.token}"}
        with fail_after(5):
            async with client.session.get(url, headers=headers) as response:
                assert len(await response.content.readexactly(100)) == 100
                with move_on_after(0) as scope:
                    await response.content.readany()
                assert scope.cancelled_caught


async def test_a_response_is_cut_within_its_headers() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        for path in ("/api/tasks", url):
            client.server.faults.add(Fault(method="GET", cut_head_at=20, times=2))
            with pytest.raises(aiohttp.ClientError):
                await client.get(path)
            assert client.server.calls[-1].bytes_sent == 0
            client.server.faults.clear()
            assert (await client.get(path)).status == 200


async def test_a_download_trickles_and_is_complete() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        whole = (await client.get(url)).body
        received: list[bytes] = []
        client.server.faults.add(Fault(path="download", trickle_at=-3, pause=0.01))
        headers = {"Authorization": f"Token {client.server.token}"}
        async with client.session.get(url, headers=headers) as response:
            received += [chunk async for chunk in response.content.iter_any()]
        assert b"".join(received) == whole
        assert len(received) > 1


async def test_the_content_length_of_a_download_can_be_wrong() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        whole = (await client.get(url)).body
        headers = {"Authorization": f"Token {client.server.token}"}
        client.server.faults.add(Fault(path="download", promise=7))
        received = bytearray()
        async with client.session.get(url, headers=headers) as response:
            assert response.content_length == len(whole) + 7
            with pytest.raises(aiohttp.ClientPayloadError):
                await gather(response, received)
        assert bytes(received) == whole
        client.server.faults.add(Fault(path="download", promise=-7))
        host, port = client.server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        target = url.removeprefix(client.server.url)
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Token {client.server.token}\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert f"Content-Length: {len(whole) - 7}\r\n".encode() in head
        assert body == whole


async def test_a_download_can_be_compressed_without_being_asked() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        whole = (await client.get(url)).body
        client.server.faults.add(Fault(path="download", compress=True))
        packed = await client.get(
            url, headers={"Range": "bytes=-10", "Accept-Encoding": "identity"}
        )
        assert (packed.status, packed.headers["Content-Encoding"]) == (200, "gzip")
        assert packed.body == whole  # as aiohttp unpacks it
        assert packed.headers["ETag"].startswith('W/"')
        assert "Accept-Ranges" not in packed.headers


async def test_headers_are_changed_and_removed() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        client.server.faults.add(Fault(path="download", headers={"Content-Range": "lines 1-2/3"}))
        client.server.faults.add(Fault(path="download", headers={"ETag": None}))
        answer = await client.get(url, headers={"Range": "bytes=0-1"})
        assert answer.headers["Content-Range"] == "lines 1-2/3"
        assert "ETag" not in answer.headers


async def test_tasks_are_edited_and_deleted_between_calls() -> None:
    async with simulator_client() as client:
        before = (await client.get("/api/tasks/1")).json["updated_date"]
        client.server.faults.add(Fault(edit_task=1))
        assert (await client.get("/api/tasks/1")).json["updated_date"] > before
        client.server.faults.add(Fault(delete_task=1, times=2))
        assert (await client.get("/api/tasks/1")).status == 404
        assert (await client.get("/api/tasks/1")).status == 404


async def test_bytes_are_altered_added_and_missing() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        whole = (await client.get(url)).body
        client.server.faults.add(Fault(path="download", alter_at=40))
        altered = (await client.get(url)).body
        assert [
            i for i, pair in enumerate(zip(whole, altered, strict=True)) if len(set(pair)) > 1
        ] == [40]
        client.server.faults.add(Fault(path="download", extra="junk"))
        assert (await client.get(url)).body == whole + b"junk"
        client.server.faults.add(Fault(path="download", truncate=5))
        assert (await client.get(url)).body == whole[:-5]
        assert (await client.get(url)).body == whole


async def test_a_range_can_be_ignored() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        client.server.faults.add(Fault(path="download", ignore_range=True))
        assert (await client.get(url, headers={"Range": "bytes=0-1"})).status == 200
        assert (await client.get(url, headers={"Range": "bytes=0-1"})).status == 206


async def test_a_result_expires_or_its_etag_moves_at_the_moment_of_the_download() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        first = (await client.get(url)).headers["ETag"]
        client.server.faults.add(Fault(path="download", move_etag=True))
        assert (await client.get(url)).headers["ETag"] != first
        client.server.faults.add(Fault(path="download", expire=True))
        assert (await client.get(url)).status == 404


async def test_an_earlier_result_is_sent_until_the_new_export_has_ended() -> None:
    async with simulator_client() as client:
        url = (await client.exported())["result_url"]
        first = (await client.get(url)).body
        client.server.edit_task(1)
        client.server.pause_exports()
        again = (await client.export()).json
        assert (await client.get(url)).status == 400
        client.server.faults.add(Fault(path="download", earlier_result=True, times=None))
        assert (await client.get(url)).body == first
        client.server.release_exports()
        await client.ended(again["rq_id"])
        assert (await client.get(url)).body != first


async def test_exports_fail_or_are_killed() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(export="fail", task_id=2, message="MemoryError\n"))
        client.server.faults.add(Fault(export="kill", task_id=3))
        assert (await client.exported(1))["status"] == "finished"
        failed, killed = await client.exported(2), await client.exported(3)
        assert (failed["status"], failed["message"]) == ("failed", "MemoryError\n")
        assert killed["message"].startswith("Work-horse terminated unexpectedly")
        assert (await client.exported(2))["status"] == "finished"


async def test_dates_are_missing_from_the_first_responses_that_say_finished() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(export="null_dates", count=2))
        first = await client.exported()
        assert (first["status"], first["started_date"], first["finished_date"]) == (
            "finished",
            None,
            None,
        )
        assert first["result_url"]
        second = (await client.request(first["id"])).json
        assert second["started_date"]
        assert second["expiry_date"] is None
        assert (await client.request(first["id"])).json["expiry_date"]


async def test_an_export_goes_back_into_the_queue_once() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(export="requeue"))
        assert (await client.exported())["status"] == "finished"
        request = next(iter(client.server.requests.values()))
        assert request.requeued


async def test_a_queue_is_lost_between_two_calls() -> None:
    async with simulator_client() as client:
        finished = await client.exported()
        client.server.faults.add(Fault(path="^/api/requests/", lose_queue=True))
        assert (await client.request(finished["id"])).status == 404


async def test_links_point_elsewhere_and_calls_are_redirected() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(path="^/api/requests/", origin="https://elsewhere.example"))
        finished = await client.exported()
        assert finished["result_url"].startswith("https://elsewhere.example/api/tasks/1/")
        client.server.faults.add(Fault(path="download", redirect="https://elsewhere.example/a.zip"))
        again = (await client.request(finished["id"])).json["result_url"]
        redirected = await client.get(again)
        assert redirected.status == 302
        assert redirected.headers["Location"] == "https://elsewhere.example/a.zip"


async def test_a_server_can_have_a_wrong_public_url() -> None:
    async with simulator_client(SimulatorOptions(tasks=2, public_url="http://wrong:1")) as client:
        page = (await client.get("/api/tasks?page_size=1")).json
        assert page["next"] == "http://wrong:1/api/tasks?page=2&page_size=1"


async def test_a_delayed_response_still_arrives() -> None:
    async with simulator_client() as client:
        client.server.faults.add(Fault(delay=0.001))
        assert (await client.get("/api/tasks")).status == 200

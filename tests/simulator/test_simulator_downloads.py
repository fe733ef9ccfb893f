"""Downloads from the simulated server: ranges, validators, and large archives."""

from __future__ import annotations

import json
import random
import zipfile
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_client import SimulatorClient, simulator_client

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.faults import Fault
from asynccvat.simulator.queues.archives import ArchiveBytes, ArchivePiece
from asynccvat.simulator.wire.downloads import disposition, read_ranges

pytestmark = pytest.mark.anyio


async def whole_of(client: SimulatorClient) -> tuple[str, bytes]:
    url = (await client.exported())["result_url"]
    return url, (await client.get(url)).body


@pytest.mark.parametrize("value", ["bytes=0-99", "bytes=100-", "bytes=-50", "bytes=5-5"])
async def test_a_range_is_part_of_the_whole(value: str) -> None:
    async with simulator_client() as client:
        url, whole = await whole_of(client)
        part = await client.get(url, headers={"Range": value})
        (start, length), *_ = read_ranges(value, len(whole)) or []
        assert part.status == 206
        assert part.body == whole[start : start + length]
        assert part.headers["Content-Range"] == f"bytes {start}-{start + length - 1}/{len(whole)}"
        assert part.type == "application/zip"
        assert "Accept-Ranges" not in part.headers


async def test_several_ranges_come_as_multipart() -> None:
    async with simulator_client() as client:
        url, whole = await whole_of(client)
        answer = await client.get(url, headers={"Range": "bytes=0-9,20-29"})
        assert answer.status == 206
        boundary = answer.type.removeprefix("multipart/byteranges; boundary=").encode()
        empty, first, second, last = answer.body.split(b"--" + boundary)
        assert (empty, last) == (b"\r\n", b"--\r\n")
        assert first.endswith(b"\r\n\r\n" + whole[:10] + b"\r\n")
        assert f"Content-Range: bytes 20-29/{len(whole)}".encode() in second
        assert second.endswith(whole[20:30] + b"\r\n")


async def test_a_range_past_the_end_cannot_be_satisfied() -> None:
    async with simulator_client() as client:
        url, whole = await whole_of(client)
        answer = await client.get(url, headers={"Range": "bytes=999999999-"})
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"
        assert answer.type == "text/html"
        assert b"nginx" in answer.body


async def test_if_range_returns_the_whole_if_the_archive_has_changed() -> None:
    async with simulator_client() as client:
        url, whole = await whole_of(client)
        before = (await client.get(url)).headers
        for validator in (before["ETag"], before["Last-Modified"]):
            headers = {"Range": "bytes=10-19", "If-Range": validator}
            assert (await client.get(url, headers=headers)).body == whole[10:20]
        await client.exported()
        for validator in (before["ETag"], before["Last-Modified"], '"stale"', "junk"):
            headers = {"Range": "bytes=10-19", "If-Range": validator}
            answer = await client.get(url, headers=headers)
            assert (answer.status, answer.body) == (200, whole)


async def test_an_unchanged_archive_is_not_sent_again() -> None:
    async with simulator_client() as client:
        url, _ = await whole_of(client)
        known = (await client.get(url)).headers
        for headers in (
            {"If-None-Match": known["ETag"]},
            {"If-None-Match": "*"},
            {"If-Modified-Since": known["Last-Modified"]},
        ):
            answer = await client.get(url, headers=headers)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["ETag"] == known["ETag"]


async def test_the_etag_has_time_and_size() -> None:
    async with simulator_client() as client:
        url, whole = await whole_of(client)
        headers = (await client.get(url)).headers
        assert headers["ETag"].endswith(f'-{len(whole):x}"')
        assert headers["Accept-Ranges"] == "bytes"
        assert "Content-Encoding" not in headers


@pytest.mark.parametrize(
    ("rq_id", "status", "words"),
    [
        (None, 400, '["Missing request id in the query parameters"]'),
        ("junk", 400, '["Unexpected request id format"]'),
        ("action=export", 400, '["Unexpected request id format"]'),
        (
            (
                "action%3Dexport%26target%3Dtask%26target_id%3D2%26user_id%3D1"
                "%26format%3DCOCO_1~0%26subresource%3Ddataset"
            ),
            400,
            '["Invalid export request id"]',
        ),
        (
            (
                "action%3Dexport%26target%3Dtask%26target_id%3D1%26user_id%3D1"
                "%26format%3DCOCO_1~0%26subresource%3Ddataset"
            ),
            400,
            "Unknown export request id",
        ),
    ],
)
async def test_downloads_without_a_result(rq_id: str | None, status: int, words: str) -> None:
    async with simulator_client() as client:
        query = "" if rq_id is None else f"?rq_id={rq_id}"
        answer = await client.get(f"/api/tasks/1/dataset/download{query}")
        assert (answer.status, answer.body.decode()) == (status, words)


async def test_downloads_need_credentials_and_the_right_accept_header() -> None:
    async with simulator_client() as client:
        url, _ = await whole_of(client)
        assert (await client.get(url, anonymous=True)).status == 401
        assert (await client.get(url, headers={"Accept": "application/zip"})).status == 406
        assert (await client("HEAD", url)).status == 500


def make_archive(folder: Path, name: str, size: int) -> bytes:
    folder.mkdir(exist_ok=True)
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("noise.bin", random.Random(name).randbytes(size))
    return path.read_bytes()


async def test_ready_archives_are_sent_unchanged(tmp_path: Path) -> None:
    content = make_archive(tmp_path / "archives", "task7.zip", 3 << 20)
    options = SimulatorOptions(tasks=2, frames=1, archives=tmp_path / "archives")
    async with simulator_client(options) as client:
        listed = (await client.get("/api/tasks?sort=id")).json["results"]
        assert [task["id"] for task in listed] == [1, 2, 7]
        url = (await client.exported(7))["result_url"]
        assert (await client.get(url)).body == content
        assert client.server.calls[-1].bytes_sent == len(content)
        tail = await client.get(url, headers={"Range": "bytes=-1000"})
        assert tail.body == content[-1000:]
        assert client.server.calls[-1].bytes_sent == 1000
        client.server.faults.add(Fault(path="download", alter_at=500_000))
        altered = (await client.get(url)).body
        assert altered[500_000] == content[500_000] ^ 0xFF
        assert altered[:500_000] + altered[500_001:] == content[:500_000] + content[500_001:]


async def test_recorded_archives_are_served_byte_for_byte(shared: Path) -> None:
    folder = shared / "contract" / "exports"
    options = SimulatorOptions(tasks=0, projects=0, archives=folder)
    async with simulator_client(options) as client:
        for listed in json.loads((folder / "index.json").read_bytes()):
            images = str(listed["save_images"]).lower()
            query = f"format={quote(listed['format'])}&save_images={images}"
            path = f"/api/tasks/{listed['task_id']}/dataset/export?{query}"
            finished = await client.ended((await client("POST", path)).json["rq_id"])
            archive = await client.get(finished["result_url"])
            assert sha256(archive.body).hexdigest() == listed["sha256"]


async def test_large_archives_are_written_to_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asynccvat.simulator.queues.archives._IN_MEMORY", 1000)
    async with simulator_client(SimulatorOptions(tasks=1, frames=2, frame_bytes=5000)) as client:
        url, whole = await whole_of(client)
        assert len(whole) > 10_000
        again = await client.get(url, headers={"Range": "bytes=1000-1999"})
        assert again.body == whole[1000:2000]


async def test_archives_dropped_from_the_cache_are_written_again_with_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asynccvat.simulator.queues.archives._KEPT_BYTES", 1000)
    async with simulator_client() as client:
        urls = [(await client.exported(task_id))["result_url"] for task_id in (1, 2)]
        first = [(await client.get(url)).body for url in urls]
        second = [(await client.get(url)).body for url in urls]
        assert first == second


@given(
    size=st.integers(1, 50),
    cuts=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    seed=st.integers(0, 9),
)
def test_parts_of_an_archive_in_pieces(size: int, cuts: tuple[int, int], seed: int) -> None:
    data = bytes(range(size))
    edge = seed * size // 10
    archive = ArchiveBytes((ArchivePiece(0, edge, data), ArchivePiece(edge, size - edge, data)))
    start, length = cuts
    part = archive.part(start, length)
    joined = b"".join(piece.data[piece.start : piece.start + piece.length] for piece in part.pieces)
    assert joined == data[start : start + length]
    assert part.size == len(joined)


@given(data=st.binary(min_size=1, max_size=40), place=st.integers(0, 50))
def test_damage_changes_exactly_the_named_bytes(data: bytes, place: int) -> None:
    archive = ArchiveBytes((ArchivePiece(0, len(data), data),))
    damaged = archive.damaged([Fault(alter_at=place), Fault(extra="more"), Fault(truncate=1)])
    joined = b"".join(
        piece.data[piece.start : piece.start + piece.length] for piece in damaged.pieces
    )
    expected = bytearray(data + b"mor")
    if place < len(data):
        expected[place] ^= 0xFF
    assert joined == bytes(expected)


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        ("bytes=0-", [(0, 100)]),
        ("bytes=-1000", [(0, 100)]),
        ("bytes=99-200", [(99, 1)]),
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("bytes=5-3", []),
        ("bytes=a-b", []),
        ("bytes=", []),
        ("bytes=1-2,200-", [(1, 2)]),
        ("bytes=0-60,30-90", None),
        ("items=0-1", None),
        ("nonsense", None),
    ],
)
def test_range_headers_as_nginx_reads_them(
    value: str, ranges: list[tuple[int, int]] | None
) -> None:
    assert read_ranges(value, 100) == ranges


def test_file_names_in_headers() -> None:
    assert disposition('a"b.zip') == 'attachment; filename="a\\"b.zip"'
    assert disposition("é.zip") == "attachment; filename*=utf-8''%C3%A9.zip"

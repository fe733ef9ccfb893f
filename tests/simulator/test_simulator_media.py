"""The simulator sends chunks, frames and previews of a task without an export."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import pytest
from simulator_client import EXPORT, RawResponse, SimulatorClient, simulator_client

from asynccvat.simulator import SimulatorOptions
from asynccvat.simulator.formats.image_headers import image_size
from asynccvat.simulator.formats.video_headers import video_facts
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import StoredFile, TaskMedia
from asynccvat.simulator.world.png import draw_png

pytestmark = pytest.mark.anyio


async def data(client: SimulatorClient, what: str, task_id: int = 1) -> RawResponse:
    return await client.get(f"/api/tasks/{task_id}/data?type={what}")


def members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def stored(folder: Path, content: bytes) -> StoredFile:
    path = folder / "content"
    path.write_bytes(content)
    return StoredFile(path, 0, len(content))


async def test_chunks_of_originals_have_the_bytes_of_an_export() -> None:
    async with simulator_client(SimulatorOptions(tasks=1, frames=5)) as client:
        client.server.change_task(1, data_chunk_size=2)
        rq_id = (await client("POST", f"/api/tasks/1/{EXPORT}")).json["rq_id"]
        download = await client.get((await client.ended(rq_id))["result_url"])
        named = sorted(members(download.body).items())
        exported = [content for name, content in named if name.endswith(".jpg")]
        found: list[bytes] = []
        for number in range(3):
            chunk = members((await data(client, f"chunk&number={number}&quality=original")).body)
            assert list(chunk) == ["000000.jpg", "000001.jpg"][: len(chunk)]
            found += chunk.values()
        assert found == exported
        frame = await data(client, "frame&number=3&quality=original")
        assert (frame.type, frame.body) == ("image/jpeg", exported[3])


async def test_without_a_quality_the_images_are_compressed_ones() -> None:
    async with simulator_client() as client:
        originals = members((await data(client, "chunk&number=0&quality=original")).body)
        for query in ("", "&quality=compressed"):
            compressed = members((await data(client, f"chunk&number=0{query}")).body)
            assert list(compressed) == ["000000.jpeg", "000001.jpeg"]
            assert not set(compressed.values()) & set(originals.values())
            frame = await data(client, f"frame&number=1{query}")
            assert (frame.type, frame.body) == ("image/jpeg", compressed["000001.jpeg"])


async def test_a_chunk_has_a_checksum_that_is_not_the_crc_of_its_body() -> None:
    async with simulator_client() as client:
        seen = [await data(client, "chunk&number=0&quality=original") for _ in range(2)]
        first, again = (one.headers["X-Checksum"] for one in seen)
        assert first == again
        assert 0 <= int(first) < 2**32
        assert int(first) != zlib.crc32(seen[0].body)
        compressed = await data(client, "chunk&number=0&quality=compressed")
        assert compressed.headers["X-Checksum"] != first


async def test_a_chunk_tells_when_the_media_changed() -> None:
    async with simulator_client() as client:
        before = await data(client, "chunk&number=0&quality=original")
        client.server.change_media(1)
        after = await data(client, "chunk&number=0&quality=original")
        meta = (await client.get("/api/tasks/1/data/meta")).json
        assert after.headers["X-Updated-Date"] == meta["chunks_updated_date"]
        assert after.body != before.body


async def test_a_chunk_has_no_ranges() -> None:
    async with simulator_client() as client:
        whole = await data(client, "chunk&number=0&quality=original")
        headers = {"Range": "bytes=0-9"}
        path = "/api/tasks/1/data?type=chunk&number=0&quality=original"
        again = await client.get(path, headers=headers)
        assert (again.status, again.body) == (200, whole.body)
        assert not {"ETag", "Accept-Ranges"} & set(again.headers)


async def test_chunks_of_a_video_are_videos_of_its_frames(tmp_path: Path) -> None:
    async with simulator_client(SimulatorOptions(tasks=1, projects=0, frames=0)) as client:
        named = tuple(
            Frame(index, f"frame_{index:06d}.PNG", 640, 480, index, None) for index in range(5)
        )
        media = TaskMedia(named, (), video="v.mp4", stop_frame=4)
        client.server.world.fill_task(1, media, data_chunk_size=3)
        for number, count in ((0, 3), (1, 2)):
            chunk = await data(client, f"chunk&number={number}&quality=original")
            assert chunk.type == "video/mp4"
            assert video_facts(stored(tmp_path, chunk.body)) == (count, 640, 480)
            first = named[3 * number].data()
            assert first in chunk.body
        frame = await data(client, "frame&number=4&quality=original")
        assert (frame.type, frame.body) == ("image/png", named[4].data())
        assert frame.body == draw_png(named[4].seed)
        assert image_size(stored(tmp_path, frame.body)) == (640, 480)


async def test_a_generated_video_is_described_once_and_sent_as_a_video(tmp_path: Path) -> None:
    options = SimulatorOptions(tasks=2, frames=4, video_tasks=1)
    async with simulator_client(options) as client:
        metas = [(await client.get(f"/api/tasks/{one}/data/meta")).json for one in (1, 2)]
        assert [len(meta["frames"]) for meta in metas] == [1, 4]
        assert [meta["size"] for meta in metas] == [4, 4]
        assert metas[0]["frames"][0]["name"] == "street.mp4"
        assert [meta["chapters"] for meta in metas] == [[], None]
        task = (await client.get("/api/tasks/1")).json
        assert (task["mode"], task["data_original_chunk_type"]) == ("interpolation", "video")
        chunk = await data(client, "chunk&number=0&quality=original")
        assert video_facts(stored(tmp_path, chunk.body)) == (4, 640, 480)


async def test_a_preview_is_a_small_picture_of_the_first_frame(tmp_path: Path) -> None:
    async with simulator_client() as client:
        preview = await client.get("/api/tasks/1/preview")
        assert preview.type == "image/jpeg"
        assert image_size(stored(tmp_path, preview.body)) == (256, 192)
        assert (await data(client, "preview")).body == preview.body


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        (
            "chunk&number=1",
            400,
            "Invalid chunk number '1'. The chunk number should be in the [0, 0] range",
        ),
        (
            "frame&number=9",
            400,
            "Invalid frame '9'. The frame number should be in the [0, 2] range",
        ),
        ("nothing", 400, ["Data type not specified or not supported"]),
        ("chunk&number=0&quality=best", 400, ["Wrong quality value"]),
    ],
)
async def test_wrong_calls_for_media_are_refused(what: str, status: int, words: object) -> None:
    async with simulator_client() as client:
        refused = await data(client, what)
        assert (refused.status, refused.json) == (status, words)


async def test_a_task_without_data_has_no_media() -> None:
    async with simulator_client() as client:
        empty = client.server.add_task(frames=None).id
        for path in ("data?type=chunk&number=0", "data?type=preview", "preview"):
            assert (await client.get(f"/api/tasks/{empty}/{path}")).status == 500
        assert (await data(client, "frame&number=2")).status == 500  # the range goes one too far

"""Formats may be given by short names; what is remembered and sent is the exact name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_serving import QUICK, QUICK_DOWNLOAD, actions, serving

import asynccvat as ac
from asynccvat.core.plans.upload import Upload
from asynccvat.errors import ChangeRefusedError

pytestmark = pytest.mark.anyio

QUICK_UPLOAD = ac.UploadOptions(durable=False, backup=False, lossy=True)


async def test_a_mirror_remembers_the_exact_name_of_a_format(data: Path) -> None:
    async with serving(2) as serve:
        await ac.mirror(serve.client, data, spec="coco", options=QUICK)
        identity = json.loads((data / ".asynccvat" / "destination.json").read_bytes())
        assert identity["settings"]["format"] == "COCO 1.0"
        for name in ("Coco", "COCO 1.0", "coco-1.0", None):
            again = await ac.mirror(serve.client, data, spec=name, options=QUICK)
            assert set(actions(again).values()) == {("kept", "unchanged")}
        with pytest.raises(ChangeRefusedError, match=r"as COCO 1\.0.* as PASCAL VOC 1\.1"):
            await ac.mirror(serve.client, data, spec="voc", options=QUICK)


async def test_downloads_and_uploads_take_short_names(tmp_path: Path) -> None:
    async with serving(1) as serve:
        paths = {1: tmp_path / "one"}
        report = await ac.download_many(serve.client, paths, "coco", options=QUICK_DOWNLOAD)
        assert report.ok
        again = await ac.download_many(
            serve.client, paths, "COCO", options=QUICK_DOWNLOAD, skip_existing=True
        )
        assert set(actions(again).values()) == {("skipped", "existing")}
        plan = await ac.plan_upload(serve.client, paths, format="coco", options=QUICK_UPLOAD)
        assert [step.importer for step in plan.of(Upload)] == ["COCO 1.0"]

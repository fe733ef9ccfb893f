"""Handlers of what the server says of itself: about, formats, plugins, health."""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import Answer, json_answer

_DESCRIPTION: Final = (
    "CVAT is completely re-designed and re-implemented version of Video Annotation Tool from "
    "Irvine, California tool. It is free, online, interactive video and image annotation tool for "
    "computer vision. It is being used by our team to annotate million of objects with different "
    "properties. Many UI and UX decisions are based on feedbacks from professional data annotation "
    "team."
)

_EXPORTERS: Final = (
    "CamVid 1.0",
    "Cityscapes 1.0",
    "COCO 1.0",
    "COCO Keypoints 1.0",
    "CVAT for video 1.1",
    "CVAT for images 1.1",
    "Datumaro 1.0",
    "Datumaro 3D 1.0",
    "ICDAR Recognition 1.0",
    "ICDAR Localization 1.0",
    "ICDAR Segmentation 1.0",
    "ImageNet 1.0",
    "KITTI 1.0",
    "LabelMe 3.0",
    "LFW 1.0",
    "Market-1501 1.0",
    "Segmentation mask 1.1",
    "MOT 1.1",
    "MOTS PNG 1.0",
    "Open Images V6 1.0",
    "PASCAL VOC 1.1",
    "Sly Point Cloud Format 1.0",
    "Kitti Raw Format 1.0",
    "VGGFace2 1.0",
    "WiderFace 1.0",
    "YOLO 1.1",
    "Ultralytics YOLO Detection 1.0",
    "Ultralytics YOLO Detection Track 1.0",
    "Ultralytics YOLO Oriented Bounding Boxes 1.0",
    "Ultralytics YOLO Segmentation 1.0",
    "Ultralytics YOLO Pose 1.0",
    "Ultralytics YOLO Classification 1.0",
)

_IMPORTERS: Final = (
    "CamVid 1.0",
    "Cityscapes 1.0",
    "COCO 1.0",
    "COCO Keypoints 1.0",
    "CVAT 1.1",
    "Datumaro 1.0",
    "Datumaro 3D 1.0",
    "ICDAR Recognition 1.0",
    "ICDAR Localization 1.0",
    "ICDAR Segmentation 1.0",
    "ImageNet 1.0",
    "KITTI 1.0",
    "LabelMe 3.0",
    "LFW 1.0",
    "Market-1501 1.0",
    "Segmentation mask 1.1",
    "MOT 1.1",
    "MOTS PNG 1.0",
    "Open Images V6 1.0",
    "PASCAL VOC 1.1",
    "Sly Point Cloud Format 1.0",
    "Kitti Raw Format 1.0",
    "VGGFace2 1.0",
    "WiderFace 1.0",
    "YOLO 1.1",
    "Ultralytics YOLO Detection 1.0",
    "Ultralytics YOLO Segmentation 1.0",
    "Ultralytics YOLO Oriented Bounding Boxes 1.0",
    "Ultralytics YOLO Pose 1.0",
    "Ultralytics YOLO Classification 1.0",
)

_IMPORT_EXTENSIONS: Final = {
    "COCO 1.0": "JSON, ZIP",
    "COCO Keypoints 1.0": "JSON, ZIP",
    "CVAT 1.1": "XML, ZIP",
    "Datumaro 1.0": "JSON, ZIP",
    "Datumaro 3D 1.0": "JSON, ZIP",
    "Kitti Raw Format 1.0": "ZIP, XML",
}

_THREE_DIMENSIONAL: Final = frozenset(
    {"Datumaro 3D 1.0", "Sly Point Cloud Format 1.0", "Kitti Raw Format 1.0"}
)

EXPORT_FORMATS: Final = frozenset(_EXPORTERS)
"""Names that an export can ask for, exactly."""

IMPORT_FORMATS: Final = frozenset(_IMPORTERS)
"""Names that an import can ask for, exactly."""


def _format_json(name: str, extension: str) -> dict[str, object]:
    return {
        "name": name,
        "ext": extension,
        "version": name.rpartition(" ")[2],
        "enabled": True,
        "dimension": "3d" if name in _THREE_DIMENSIONAL else "2d",
    }


async def show_about(call: Call) -> Answer:
    """`GET /api/server/about`: for anybody."""
    return json_answer(
        {
            "name": "Computer Vision Annotation Tool",
            "description": _DESCRIPTION,
            "version": call.backend.options.version,
            "logo_url": f"{call.origin}/static/logo.svg",
            "subtitle": "Open Data Annotation Platform",
        }
    )


async def show_formats(call: Call) -> Answer:
    """`GET /api/server/annotation/formats`: all that CVAT 2.54 has, though few are written here."""
    del call
    importers = [_format_json(name, _IMPORT_EXTENSIONS.get(name, "ZIP")) for name in _IMPORTERS]
    exporters = [_format_json(name, "ZIP") for name in _EXPORTERS]
    return json_answer({"importers": importers, "exporters": exporters})


async def show_plugins(call: Call) -> Answer:
    """`GET /api/server/plugins`."""
    del call
    return json_answer(
        {"GIT_INTEGRATION": False, "ANALYTICS": False, "MODELS": False, "PREDICT": False}
    )


async def show_health(call: Call) -> Answer:
    """`GET /api/server/health/`: for anybody, and as plain JSON."""
    del call
    names = (
        "Cache backend: default",
        "Cache backend: media",
        "DatabaseBackend",
        "DatabaseBackend[default]",
        "DiskUsage",
        "MemoryUsage",
        "OPAHealthCheck",
    )
    answer = json_answer(dict.fromkeys(names, "working"))
    answer.content_type = "application/json"
    answer.headers.update(never_cached())
    return answer


def never_cached() -> dict[str, str]:
    """Headers of Django's `never_cache`."""
    return {
        "Expires": formatdate(usegmt=True),
        "Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private",
    }

"""Handlers of what the server says about itself: about, formats, plugins, health."""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from asynccvat.simulator.formats.archives import WRITTEN_FORMATS
from asynccvat.simulator.formats.readers import READ_FORMATS
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import ServerResponse, encode, json_response

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
"""Exact names of the formats of exports."""

IMPORT_FORMATS: Final = frozenset(_IMPORTERS)
"""Exact names of the formats of imports."""


def _format_json(name: str, extension: str) -> dict[str, object]:
    return {
        "name": name,
        "ext": extension,
        "version": name.rpartition(" ")[2],
        "enabled": True,
        "dimension": "3d" if name in _THREE_DIMENSIONAL else "2d",
    }


async def show_about(call: Call) -> ServerResponse:
    """`GET /api/server/about`: show name and version; needs no credentials."""
    return json_response(
        {
            "name": "Computer Vision Annotation Tool",
            "description": _DESCRIPTION,
            "version": call.backend.options.version,
            "logo_url": f"{call.origin}/static/logo.svg",
            "subtitle": "Open Data Annotation Platform",
        }
    )


async def show_formats(call: Call) -> ServerResponse:
    """`GET /api/server/annotation/formats`: list those of CVAT 2.54 that are served here."""
    del call
    importers = [
        _format_json(name, _IMPORT_EXTENSIONS.get(name, "ZIP"))
        for name in _IMPORTERS
        if name in READ_FORMATS
    ]
    exporters = [_format_json(name, "ZIP") for name in _EXPORTERS if name in WRITTEN_FORMATS]
    return json_response({"importers": importers, "exporters": exporters})


async def show_plugins(call: Call) -> ServerResponse:
    """`GET /api/server/plugins`: list the plugins, all off."""
    del call
    return json_response(
        {"GIT_INTEGRATION": False, "ANALYTICS": False, "MODELS": False, "PREDICT": False}
    )


async def show_health(call: Call) -> ServerResponse:
    """`GET /api/server/health/`: show plain JSON; needs no credentials."""
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
    response = json_response(dict.fromkeys(names, "working"))
    response.content_type = "application/json"
    response.headers.update(never_cached())
    return response


def never_cached() -> dict[str, str]:
    """Return the headers of Django's `never_cache`."""
    return {
        "Expires": formatdate(usegmt=True),
        "Cache-Control": "max-age=0, no-cache, no-store, must-revalidate, private",
    }


async def describe(call: Call) -> ServerResponse:
    """`OPTIONS` of any path: show a short description."""
    name = "Initiate dataset export" if call.path.endswith("/export") else "Api"
    return ServerResponse(
        body=encode(
            {
                "name": name,
                "description": "",
                "renders": ["application/vnd.cvat+json", "text/html"],
                "parses": ["application/json"],
            }
        )
    )

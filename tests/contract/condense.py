"""Condense the recordings of a real CVAT server into the fixture that the replay needs.

Run it from the root of the repository. The recordings are in `../shared`, or in the folder that the
environment variable ASYNCCVAT_SHARED names:

    python tests/contract/condense.py

It writes `tests/contract/recorded.json` and, of CVAT 2.64, one file for each group of `GROUPS_264`.
Of each request it keeps what a replay needs. Of each response it
keeps the status, the headers that clients act on, and the *shape* of its JSON or the text of an
error. A shape has keys and types; an array is the union of its elements. Repeated shapes are stored
once, in `shapes`, and referred to by their number.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
FIXTURE: Final = HERE / "recorded.json"
SHARED: Final = Path(os.environ.get("ASYNCCVAT_SHARED") or HERE.parents[1].parent / "shared")
RECORDINGS: Final = SHARED / "contract" / "http"

RECORDINGS_264: Final = SHARED / "contract" / "http-2.64"


@dataclass(frozen=True, slots=True)
class Group:
    """Recordings of CVAT 2.64 that are replayed in the same way.

    Attributes:
        fixture: The file that holds what the replay needs of them.
        scenarios: Their names.
    """

    fixture: Path
    scenarios: tuple[str, ...]


RESTORES_264: Final = Group(
    HERE / "recorded_264.json", ("backup_task_264", "dataset_import_264", "restore_264")
)
CREATIONS_264: Final = Group(
    HERE / "recorded_creations_264.json",
    (
        "annotations_json_write_264",
        "cloud_storage_264",
        "create_data_264",
        "create_task_264",
        "delete_264",
        "export_project_job_264",
    ),
)
READS_264: Final = Group(
    HERE / "recorded_reads_264.json", ("annotations_json_264", "media_264", "requests_list_264")
)
WEBHOOKS_264: Final = Group(HERE / "recorded_webhooks_264.json", ("webhooks_264",))
GROUPS_264: Final = (RESTORES_264, CREATIONS_264, READS_264, WEBHOOKS_264)
NOT_REPLAYED_264: Final = {
    "costs_264": "it has medians of times, and no exchange",
}
"""Recordings of CVAT 2.64 that are not replayed, and why."""

REQUEST_HEADERS: Final = frozenset(
    {
        "accept",
        "authorization",
        "content-type",
        "cookie",
        "host",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "origin",
        "range",
        "tus-resumable",
        "upload-finish",
        "upload-length",
        "upload-multiple",
        "upload-metadata",
        "upload-offset",
        "upload-start",
        "x-csrftoken",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-long",
        "x-organization",
    }
)
USUAL: Final = {"accept": "*/*", "host": "127.0.0.1:8080"}
VALUES: Final = frozenset({"accept-ranges", "allow", "content-encoding", "www-authenticate"})
"""Response headers whose value is compared."""
NAMES: Final = frozenset(
    {
        "content-disposition",
        "content-range",
        "location",
        "retry-after",
        "set-cookie",
        "upload-filename",
        "upload-offset",
        "x-checksum",
        "x-updated-date",
    }
)
"""Response headers that must be present."""
VALIDATORS: Final = frozenset({"etag", "last-modified"})
"""Response headers that later requests send back."""
PREFIX: Final = 300
"""Characters of a text body that are kept."""
_RUN: Final = re.compile(r"(%[0-9A-F]{2}|.)\1{63,}")


def shorten(text: str) -> str:
    """Write long runs as `{a*5000}`."""
    return _RUN.sub(lambda run: f"{{{run[1]}*{len(run[0]) // len(run[1])}}}", text)


def lengthen(text: str) -> str:
    """Undo `shorten`."""
    return re.sub(r"\{([^{*]+)\*(\d+)\}", lambda run: run[1] * int(run[2]), text)


def shape_of(value: Any) -> Any:
    """Return the shape of a JSON value.

    An object is an object of shapes. An array is `[shape]`, the union of its elements, or `[]` if
    it is empty. Any other value is the name of its type; several types are joined by `|`.
    """
    match value:
        case dict():
            return {key: shape_of(item) for key, item in value.items()}
        case list():
            merged: list[Any] = []
            for item in value:
                merged = [merge(merged[0], shape_of(item))] if merged else [shape_of(item)]
            return merged
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "null"


def merge(one: Any, other: Any) -> Any:
    """Return the union of two shapes; keys that not all objects have end in `?`."""
    if one == other:
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(key for key in other if key not in one)]
        bare = dict.fromkeys(name.removesuffix("?") for name in names)
        merged = {}
        for name in bare:
            first, second = _lookup(one, name), _lookup(other, name)
            if first is None or second is None:
                merged[f"{name}?"] = second if first is None else first
            else:
                optional = "?" if f"{name}?" in one or f"{name}?" in other else ""
                merged[name + optional] = merge(first, second)
        return merged
    if isinstance(one, list) and isinstance(other, list):
        return [merge(one[0], other[0])] if one and other else one or other
    if isinstance(one, str) and isinstance(other, str):
        return "|".join(sorted({*one.split("|"), *other.split("|")}))
    # Null or an object or array: keep the shape of the object or array.
    return other if one == "null" else one


def _lookup(shape: dict[str, Any], name: str) -> Any:
    return shape.get(name, shape.get(f"{name}?"))


def content(body: Any, content_type: str, status: int) -> dict[str, Any]:
    """Condense a body: to `json` for errors, else to `shape`, `text` or `binary`."""
    if not body:
        return {}
    text = body if isinstance(body, str) else json.dumps(body)
    if text.startswith("<") and "binary bytes" in text[:40]:
        return {"binary": "zip" if "504b0304" in text[:120] else "other"}
    if "json" in content_type:
        # Some texts of attributes were taken for secrets, and their quotes with them.
        text = re.sub(r'"<redacted>"[^,\]}]+?"(?=[,}\]])', '"<redacted>"', text)
        try:
            value = json.loads(text)
        except ValueError:
            return {"text": text[:PREFIX]}  # cut by the recorder
        return {"json": value} if status >= 400 else {"shape": shape_of(value)}
    text = re.sub(r"\.\.\. <cut, \d+ characters in all>$", "", text)
    return {"text": text[:PREFIX]}


def condense_exchange(exchange: dict[str, Any]) -> dict[str, Any]:
    """Condense one exchange to what the replay needs."""
    request, response = exchange["request"], exchange["response"]
    kept_request: dict[str, Any] = {"method": request["method"], "path": shorten(request["path"])}
    headers = {
        name: shorten(value)
        for name, value in request.get("headers", {"authorization": "Token <redacted>"}).items()
        if name in REQUEST_HEADERS and USUAL.get(name) != value
    }
    if headers:
        kept_request["headers"] = headers
    body = request.get("body")
    if body not in (None, ""):
        kept_request["body"] = body
    named = [(name.lower(), value) for name, value in response.get("headers", [])]
    content_type = dict(named).get("content-type", "")
    kept_response: dict[str, Any] = {"status": response["status"], "type": content_type}
    kept_headers = {name: value for name, value in named if name in VALUES}
    kept_headers |= {name: "..." for name, _ in named if name in NAMES}
    kept_headers |= {name: value for name, value in named if name in VALIDATORS}
    if kept_headers:
        kept_response["headers"] = kept_headers
    kept_response |= content(response.get("body"), content_type, response["status"])
    if kept_response.get("shape") and "status" in kept_response["shape"]:
        status = _request_status(response["body"])
        if status:
            kept_response["request_status"] = status
    kept: dict[str, Any] = {"request": kept_request, "response": kept_response}
    if exchange.get("label"):
        kept = {"label": exchange["label"], **kept}
    return kept


def condense_delivery(delivery: dict[str, Any]) -> dict[str, Any]:
    """Condense what the server sent to a webhook: headers, and body as shapes."""
    body = json.loads(delivery["body"])
    headers = {name: value for name, value in delivery["headers"].items() if name != "Host"}
    kept = {name: headers[name] for name in ("User-Agent", "Accept", "Content-Type")}
    return {
        "path": delivery["path"],
        "headers": kept,
        "signed": "X-Signature-256" in headers,
        "event": body["event"],
        "keys": list(body),
        "changed": sorted(body.get("before_update", ())),
        "shape": shape_of(body),
    }


def _request_status(body: Any) -> str | None:
    value = json.loads(body) if isinstance(body, str) else body
    status = value.get("status")
    return status if status in ("queued", "started", "finished", "failed") else None


def condense(folder: Path, names: Collection[str] | None = None) -> dict[str, Any]:
    """Condense the recordings of a folder; `names` None means all."""
    shapes: dict[str, int] = {}
    scenarios: dict[str, list[dict[str, Any]]] = {}
    delivered: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.json")):
        if names is not None and path.stem not in names:
            continue
        recording = json.loads(path.read_bytes())
        exchanges = [condense_exchange(exchange) for exchange in recording["exchanges"]]
        for exchange in exchanges:
            response = exchange["response"]
            if "shape" in response:
                text = json.dumps(response["shape"])
                response["shape"] = shapes.setdefault(text, len(shapes))
        scenarios[path.stem] = exchanges
        delivered += [condense_delivery(one) for one in recording.get("delivered", ())]
    condensed = {"shapes": [json.loads(text) for text in shapes], "scenarios": scenarios}
    return condensed | ({"delivered": delivered} if delivered else {})


def to_text(condensed: dict[str, Any]) -> str:
    """Return the text of the fixture: one line for each shape and each exchange."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    shapes = ",\n".join(line(shape) for shape in condensed["shapes"])
    scenarios = ",\n".join(
        f"{line(name)}:[\n{exchanges}\n]"
        for name, exchanges in (
            (name, ",\n".join(line(one) for one in exchanges))
            for name, exchanges in condensed["scenarios"].items()
        )
    )
    delivered = ",\n".join(line(one) for one in condensed.get("delivered", ()))
    more = f',\n"delivered":[\n{delivered}\n]' if delivered else ""
    return f'{{"shapes":[\n{shapes}\n],\n"scenarios":{{\n{scenarios}\n}}{more}}}\n'


def main() -> int:
    """Write the fixture."""
    if not RECORDINGS.is_dir():
        sys.stderr.write(f"there are no recordings at {RECORDINGS}: set ASYNCCVAT_SHARED\n")
        return 1
    FIXTURE.write_text(to_text(condense(RECORDINGS)), encoding="utf-8")
    for group in GROUPS_264:
        condensed = condense(RECORDINGS_264, group.scenarios)
        group.fixture.write_text(to_text(condensed), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

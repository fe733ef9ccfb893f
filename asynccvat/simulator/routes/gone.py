"""The 410 responses of endpoints that only older servers had; `old_endpoints` can revive some."""

from __future__ import annotations

from typing import Final

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import find_target
from asynccvat.simulator.wire.responses import RefusedError, ServerResponse, plain_text

_GONE: Final = (
    "This endpoint is no longer supported.\n"
    "To initiate the export process, use POST /api/{plural}/id/{export}.\n"
    "To check the process status, use GET /api/requests/rq_id,\n"
    "where rq_id is obtained from the response of the previous request.\n"
    "To download the prepared file, use the result_url obtained from the response of the previous "
    "request.\n"
)
GONE_IMPORT: Final = (
    "This endpoint no longer supports checking the status of the import process.\n"
    "The common requests API should be used instead: GET /api/requests/rq_id,\n"
    "where rq_id is obtained from the response of the initializing request.\n"
)
"""Text of the 410 to calls that asked older servers how far an import is."""


def gone(plural: str, export: str) -> RefusedError:
    """Return the 410 of an endpoint of older servers, which names the new one."""
    return plain_text(410, _GONE.format(plural=plural, export=export))


async def show_gone(call: Call) -> ServerResponse:
    """`GET` of `dataset`, `annotations` or `backup`, which older servers had: answer 410."""
    _, _, plural, _, resource = call.path.rstrip("/").split("/")
    if resource == "annotations":  # seen: the other two do not look for the object
        find_target(call)
    if call.query.get("action") == "import_status":
        raise plain_text(410, GONE_IMPORT)
    if resource == "backup":
        raise gone(plural, "backup/export")
    flag = "True" if resource == "dataset" else "False"
    raise gone(plural, f"dataset/export?save_images={flag}")

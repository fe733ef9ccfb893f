"""A real backup, restored here, is shown like the real task: labels, jobs, metadata, annotations.

Ids, dates and links are this server's own.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Final

import pytest
from simulator_client import SimulatorClient, simulator_client

from asynccvat.simulator import SimulatorOptions

pytestmark = pytest.mark.anyio

OWN: Final = frozenset(
    {"id", "url", "task_id", "project_id", "parent_id", "created_date", "updated_date", "issues"}
    | {"project_name", "bug_tracker", "data", "chunks_updated_date"}
)
"""What differs from one server to the next, and what a backup does not carry."""


Names = dict[tuple[str, int], str]


def names_of(labels: list[dict[str, Any]]) -> Names:
    """Return the names of labels, sublabels and attributes, by kind and id."""
    names: Names = {}
    for label in labels:
        for one in (label, *label["sublabels"]):
            names["label_id", one["id"]] = one["name"]
            names |= {("spec_id", spec["id"]): spec["name"] for spec in one["attributes"]}
    return names


def bare(value: Any, names: Names) -> Any:
    """Return JSON with names of labels and attributes instead of ids, and without what is own."""
    if isinstance(value, list):
        return [bare(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, one in value.items():
        if name not in OWN:
            is_named = isinstance(one, int) and (name, one) in names
            found[name] = names[name, one] if is_named else bare(one, names)
    if "attributes" in found:
        found["attributes"].sort(key=str)
    if "svg" in found:
        for (_, number), name in names.items():
            found["svg"] = found["svg"].replace(f'data-label-id="{number}"', f"name {name}")
    return found


async def restored(client: SimulatorClient, backup: bytes) -> int:
    sent = {"task_file": io.BytesIO(backup)}
    asked = await client("POST", "/api/tasks/backup", data=sent)
    number: int = (await client.ended(asked.json["rq_id"]))["result_id"]
    return number


async def shown(client: SimulatorClient, number: int) -> dict[str, Any]:
    """Return a task as the folder of real ones has them."""
    lists = {
        name: (await client.get(f"/api/{name}?task_id={number}&page_size=500")).json["results"]
        for name in ("labels", "jobs")
    }
    path = f"/api/tasks/{number}"
    return {
        "task": (await client.get(path)).json,
        **lists,
        "meta": (await client.get(f"{path}/data/meta")).json,
        "annotations": (await client.get(f"{path}/annotations")).json,
    }


@pytest.mark.parametrize("number", [4, 339, 341])
async def test_a_restored_task_is_shown_like_the_real_one(number: int, shared: Path) -> None:
    folder = shared / "contract" / "exports-2.64"
    real = json.loads((folder / f"task{number}_raw.json").read_bytes())
    async with simulator_client(SimulatorOptions(tasks=0, projects=0, version="2.64.0")) as client:
        made = await restored(client, (folder / f"backup_task{number}.zip").read_bytes())
        own = await shown(client, made)
    expected, found = (bare(one, names_of(one["labels"])) for one in (real, own))
    for one in (expected, found):
        # Labels and tracks of a backup have an order of their own.
        one["labels"].sort(key=str)
        one["annotations"]["tracks"].sort(key=str)
    assert found == expected

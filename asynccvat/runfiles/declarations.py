"""What a run file holds: its tasks, their keys, and what each key takes.

The one declaration that the validator and the JSON Schema are both made of. The keys of downloads
and uploads are those of `datnvt-cvat-cli` 0.1.0, whose files are taken unchanged; those of a
mirror are its options on the command line, with underscores.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from asynccvat.core import quantities
from asynccvat.core.models import ExportSpec
from asynccvat.runfiles.kinds import (
    Address,
    Flag,
    JsonLogic,
    Key,
    Keys,
    Listed,
    Quantity,
    Setting,
    Text,
    Whole,
)

DOWNLOAD, UPLOAD, MIRROR = "download_cvat_tasks", "upload_anno_with_cvat_tasks", "mirror"

NAMES = {
    DOWNLOAD: DOWNLOAD,
    "download": DOWNLOAD,
    UPLOAD: UPLOAD,
    "upload": UPLOAD,
    MIRROR: MIRROR,
}
"""Every name that a task can be given, and the one that it then goes by."""

_ID = Whole(1)
_IDS = Listed(_ID, "[147, 150]", unique=True)
_IDS_OR_ONE = Listed(_ID, "[147, 150]", or_one=True, unique=True)
_SECONDS = r"^\s*\d+(\.\d+)?([smhdwSMHDW]\s*)?(\d.*)?$"

SERVER = Keys(
    {
        "url": Key(Address(), "The server's address, like https://cvat.example.com"),
        "username": Key(Setting(), "User to log in as"),
        "password": Key(Setting(), "The user's password"),
        "token": Key(Setting(), "A personal access token, instead of user and password"),
        "organization": Key(Setting(), "Slug of the organization to work in"),
        "project_id": Key(Whole(0, 5), "Project to work on; 0 for none"),
        "insecure": Key(Flag(), "Do not verify the server's certificate"),
        "ca_bundle": Key(Setting(), "PEM file of the authorities to trust"),
    }
)

_FORMAT = Key(
    Text(), f"The format's exact name, see 'asynccvat formats'; without it {ExportSpec().format!r}"
)
_FOLDER_PREFIX = Key(
    Text(may_be_empty=True), "What the task's id follows in its folder's name; without it 'task'"
)

PARAMETERS = {
    DOWNLOAD: Keys(
        {
            "task_ids": Key(_IDS, "The tasks to download", required=True),
            "out_dir": Key(Text(), "Folder for the tasks' folders: task147 and so on"),
            "out_paths": Key(
                Listed(Text(), "[data/a, data/b]"),
                "The very folder of each task, in the order of 'task_ids'; wins over 'out_dir'",
            ),
            "dataset_format": _FORMAT,
            "save_images": Key(Flag(), "Fetch the images, too; without it false"),
            "skip_existing": Key(
                Flag(), "Leave out tasks whose annotation file is there already; without it true"
            ),
            "folder_prefix": _FOLDER_PREFIX,
        },
        either=(("out_dir",), ("out_paths",)),
    ),
    UPLOAD: Keys(
        {
            "tasks": Key(
                Listed(
                    Keys(
                        {
                            "task_id": Key(_ID, "The task", required=True),
                            "annotation_path": Key(Text(), "The file for it", required=True),
                            "dataset_format": Key(Text(), "The format of this file"),
                        }
                    ),
                    "[{task_id: 147, annotation_path: task147.xml}]",
                ),
                "Tasks, each with its file; wins over 'task_ids' and 'in_dir'",
            ),
            "task_ids": Key(_IDS, "The tasks whose folders are in 'in_dir'"),
            "in_dir": Key(Text(), "The folder that holds the tasks' folders, such as a mirror"),
            "dataset_format": Key(
                Text(), "The format of the files; without it the mirror's, else CVAT's own XML"
            ),
            "folder_prefix": _FOLDER_PREFIX,
            "mode": Key(
                Text(("replace", "append")), "What becomes of the annotations that are there"
            ),
            "only_if_unchanged": Key(
                Flag(), "Refuse tasks that changed on the server since they were mirrored"
            ),
        },
        either=(("tasks",), ("task_ids", "in_dir")),
    ),
    MIRROR: Keys(
        {
            "dest": Key(Text(), "The folder that holds the mirror", required=True),
            "project_id": Key(_IDS_OR_ONE, "Tasks of this project, or of these"),
            "task_id": Key(_IDS_OR_ONE, "This task, or these"),
            "status": Key(Text(("annotation", "validation", "completed")), "Tasks in this state"),
            "subset": Key(Text(), "Tasks of this subset"),
            "name": Key(Text(), "Tasks of exactly this name"),
            "owner": Key(Text(), "Made by this user"),
            "assignee": Key(Text(), "Assigned to this user"),
            "updated_since": Key(
                Quantity(
                    lambda text: quantities.since(text, now=datetime.now(UTC)),
                    r"^\s*\d",
                    numbers=False,
                ),
                "Updated since: a date like 2026-03-31 (UTC), or an age like 2d or 12h",
            ),
            "filter": Key(JsonLogic(), "JSON logic as CVAT's own filters, as YAML or as its text"),
            "format": _FORMAT,
            "images": Key(Flag(), "Fetch the images, too"),
            "folder_prefix": _FOLDER_PREFIX,
            "keep_archive": Key(Flag(), "Keep each archive as it came"),
            "concurrency": Key(Whole(1, 4), "Exports in flight; without it, learned"),
            "transfers": Key(Whole(1, 8), "Archives read at once"),
            "bwlimit": Key(
                Quantity(quantities.size, r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?([iI]?[bB])?(/[sS])?\s*$"),
                "Bytes a second for all transfers together, like 800K, 10M or 1.5G",
            ),
            "retries": Key(Whole(0, 5), "How often a step of a task is tried again"),
            "export_timeout": Key(
                Quantity(quantities.duration, _SECONDS),
                "How long one export may run: seconds, or like 30m or 4h",
            ),
            "force": Key(Flag(), "Fetch every task, changed or not"),
            "no_reuse": Key(Flag(), "Fetch files that are here already, too"),
            "no_refresh": Key(Flag(), "Export images again, too, where they did not change"),
            "trust_receipts": Key(Flag(), "Do not check the files of unchanged tasks"),
            "prune": Key(Flag(), "Remove tasks that are gone from the server"),
            "max_delete": Key(
                Quantity(quantities.count_or_share, r"^\s*\d+(\.\d+)?\s*%?\s*$"),
                "Refuse to prune more folders than this: a number, or like 10%",
            ),
            "adopt": Key(Flag(), "Take over folders that asynccvat did not make"),
            "no_fsync": Key(Flag(), "Do not wait for the disk: quicker, not crash-safe"),
            "break_lock": Key(Flag(), "Take over a lock whose owner is no more"),
        }
    ),
}
"""The keys of `parameters`, by the task's name."""


def run_file_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a run file, for editors.

    It says less than the validator where JSON Schema cannot: that two lists are as long as each
    other, that files are there, what the server knows.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run file of asynccvat",
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["task", "parameters"],
            "properties": {
                "task": {"description": "What the step does", "enum": list(NAMES)},
                "server": {
                    "description": "The step's own server, instead of the one of the settings",
                    "anyOf": [SERVER.schema, {"type": "null"}],
                },
                "parameters": {"description": "What it is done with"},
            },
            "allOf": [
                {
                    "if": {
                        "properties": {
                            "task": {"enum": [name for name, kind in NAMES.items() if kind == task]}
                        }
                    },
                    "then": {"properties": {"parameters": keys.schema}},
                }
                for task, keys in PARAMETERS.items()
            ],
        },
    }

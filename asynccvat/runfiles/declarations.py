"""What a run file holds: its tasks, their keys, and what each key takes.

The validator and the JSON Schema are both made from these declarations. The keys of downloads
and uploads are those of `datnvt-cvat-cli` 0.1.0, whose files are accepted unchanged. Those of a
mirror are its options on the command line, with underscores: `core.declarations` has them.
"""

from __future__ import annotations

from typing import Any

from asynccvat.core import declarations
from asynccvat.core.declarations import Option, declared_options
from asynccvat.core.models import ExportSpec
from asynccvat.core.options import MirrorOptions, UploadOptions
from asynccvat.core.selection import Selection
from asynccvat.runfiles.kinds import (
    Address,
    Date,
    Flag,
    JsonLogic,
    Key,
    Keys,
    Kind,
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


def _kind(option: Option) -> Kind:
    """The kind of value that a run file takes for an option."""
    match option.kind:
        case declarations.Switch():
            return Flag()
        case declarations.Number(least=least, example=example):
            return Whole(least, example)
        case declarations.Text(choices=choices, may_be_empty=may_be_empty):
            return Text(choices, may_be_empty=may_be_empty)
        case declarations.Ids():
            return _IDS_OR_ONE
        case declarations.Quantity(read=read, pattern=pattern):
            return Quantity(read, pattern)
        case declarations.Moment():
            return Date()
        case declarations.JsonLogic():
            return JsonLogic()


def _keys(group: type) -> dict[str, Key]:
    """The keys for the options of a class."""
    return {item.key: Key(_kind(item), item.help) for item in declared_options(group)}


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
_UPLOAD = _keys(UploadOptions)

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
            "folder_prefix": _UPLOAD["folder_prefix"],
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
            "folder_prefix": _UPLOAD["folder_prefix"],
            "mode": _UPLOAD["mode"],
            "only_if_unchanged": _UPLOAD["only_if_unchanged"],
        },
        either=(("tasks",), ("task_ids", "in_dir")),
    ),
    MIRROR: Keys(
        {
            "dest": Key(Text(), "The folder that holds the mirror", required=True),
            **_keys(Selection),
            "format": _FORMAT,
            "images": Key(Flag(), "Also fetch the images."),
            **_keys(MirrorOptions),
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

"""What a run file holds: its tasks, their keys, and what each key takes.

The validator and the JSON Schema are both made from these declarations. The keys of downloads
and uploads are those of `datnvt-cvat-cli` 0.1.0, whose files are accepted unchanged. Those of a
mirror are its options on the command line, with underscores: `core.declarations` has them.
"""

from __future__ import annotations

from typing import Any

from asynccvat.core import declarations
from asynccvat.core.declarations import Option, declared_options
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.options.cloud import CloudOptions
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.options.delete import NO_FILTERS, DeleteOptions
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.options.restore import ImportOptions, RestoreOptions
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import ExportSpec
from asynccvat.runfiles.ids import IdsType
from asynccvat.runfiles.mappings import MappingKey, MappingType
from asynccvat.runfiles.value_types import (
    AddressType,
    BooleanType,
    DateType,
    HeadersType,
    IntegerType,
    JsonLogicType,
    ListType,
    NameType,
    QuantityType,
    ScalarType,
    TextType,
    ValueType,
)

DOWNLOAD, UPLOAD, MIRROR = "download_cvat_tasks", "upload_anno_with_cvat_tasks", "mirror"
CREATE, BACKUP, RESTORE, COPY, DELETE = "create", "backup", "restore", "copy", "delete"

EXPORT_TO_CLOUD, IMPORT_DATASET = "export_to_cloud", "import_dataset"

NAMES = {
    DOWNLOAD: DOWNLOAD,
    "download": DOWNLOAD,
    UPLOAD: UPLOAD,
    "upload": UPLOAD,
    MIRROR: MIRROR,
    CREATE: CREATE,
    BACKUP: BACKUP,
    RESTORE: RESTORE,
    EXPORT_TO_CLOUD: EXPORT_TO_CLOUD,
    COPY: COPY,
    DELETE: DELETE,
    IMPORT_DATASET: IMPORT_DATASET,
}
"""The names that a file may use for a task, with the one that steps and reports have."""

_ID = IntegerType(1)
_IDS = IdsType()
_TEXTS_OR_ONE = ListType(TextType(), "[draft-*, old-*]", or_one=True, unique=True)
_NAMES_OR_ONE = ListType(NameType(), "[Street, 5]", or_one=True, unique=True)


def _type(option: Option) -> ValueType:  # noqa: PLR0911 - one for each kind
    """Return the type of an option's value in a run file."""
    match option.kind:
        case declarations.Switch():
            return BooleanType()
        case declarations.Number(least=least, example=example, most=most):
            return IntegerType(least, example, most)
        case declarations.Text(choices=choices, may_be_empty=may_be_empty):
            return TextType(choices, may_be_empty=may_be_empty)
        case declarations.Folder():
            return TextType()
        case declarations.Ids():
            return _IDS
        case declarations.Texts(or_ids=or_ids):
            return _NAMES_OR_ONE if or_ids else _TEXTS_OR_ONE
        case declarations.Quantity(read=read, pattern=pattern):
            return QuantityType(read, pattern)
        case declarations.Moment():
            return DateType()
        case declarations.JsonLogic():
            return JsonLogicType()


def _keys(group: type) -> dict[str, MappingKey]:
    """Return the keys for the options of a class."""
    return {item.key: MappingKey(_type(item), item.help) for item in declared_options(group)}


SERVER = MappingType(
    {
        "url": MappingKey(AddressType(), "The server's address, like https://cvat.example.com."),
        "username": MappingKey(ScalarType(), "User to log in as."),
        "password": MappingKey(ScalarType(), "The user's password."),
        "token": MappingKey(ScalarType(), "Personal access token instead of user and password."),
        "organization": MappingKey(ScalarType(), "Slug of the organization to work in."),
        "project_id": MappingKey(
            IntegerType(0, 5), "Project whose tasks a mirror selects by default; 0 for none."
        ),
        "insecure": MappingKey(BooleanType(), "Do not verify the server's certificate."),
        "ca_bundle": MappingKey(
            ScalarType(),
            "PEM file of the certificate authorities to trust instead of the system's.",
        ),
        "headers": MappingKey(
            HeadersType(), "Headers that a gateway before the server wants, by their names."
        ),
        "client_cert": MappingKey(ScalarType(), "PEM file of a client certificate."),
        "client_key": MappingKey(ScalarType(), "PEM file of the key of 'client_cert'."),
        "proxy": MappingKey(
            ScalarType(), "Proxy to go through, like http://proxy.example.com:3128."
        ),
    }
)

_FORMAT = MappingKey(
    TextType(),
    f"The format, like coco or 'COCO 1.0'; see 'asynccvat formats'. By default "
    f"{ExportSpec().format!r}: CVAT's own XML, with tracks for videos.",
)
_UPLOAD = _keys(UploadOptions)

PARAMETERS = {
    DOWNLOAD: MappingType(
        {
            "task_ids": MappingKey(_IDS, "The tasks to download.", required=True),
            "out_dir": MappingKey(
                TextType(is_path=True),
                "The folder in which each task gets a folder: task147 and so on.",
            ),
            "out_paths": MappingKey(
                ListType(TextType(is_path=True), "[data/a, data/b]"),
                "A folder for each task, in the order of 'task_ids'; wins over 'out_dir'.",
            ),
            "dataset_format": _FORMAT,
            "save_images": MappingKey(BooleanType(), "Also fetch the images. By default false."),
            "skip_existing": MappingKey(
                BooleanType(), "Skip tasks whose annotation file exists. By default true."
            ),
            "folder_prefix": _UPLOAD["folder_prefix"],
        },
        either=(("out_dir",), ("out_paths",)),
    ),
    UPLOAD: MappingType(
        {
            "tasks": MappingKey(
                ListType(
                    MappingType(
                        {
                            "task_id": MappingKey(_ID, "The task.", required=True),
                            "annotation_path": MappingKey(
                                TextType(is_path=True),
                                "The file or folder to upload into it.",
                                required=True,
                            ),
                            "dataset_format": MappingKey(TextType(), "The format of this file."),
                        }
                    ),
                    "[{task_id: 147, annotation_path: task147.xml}]",
                ),
                "Tasks, each with its file; wins over 'task_ids' and 'in_dir'.",
            ),
            "task_ids": MappingKey(_IDS, "The tasks whose folders are in 'in_dir'."),
            "in_dir": MappingKey(
                TextType(is_path=True),
                "The folder that holds the tasks' folders, such as a mirror.",
            ),
            "dataset_format": MappingKey(
                TextType(),
                "The format of the files. By default the mirror's, or else CVAT's own XML.",
            ),
            "folder_prefix": _UPLOAD["folder_prefix"],
            "mode": _UPLOAD["mode"],
            "overwrite": _UPLOAD["overwrite"],
            "backup_dir": _UPLOAD["backup_dir"],
            "no_backup": _UPLOAD["no_backup"],
            "lossy": _UPLOAD["lossy"],
            "allow_empty": _UPLOAD["allow_empty"],
        },
        either=(("tasks",), ("task_ids", "in_dir")),
    ),
    MIRROR: MappingType(
        {
            "dest": MappingKey(
                TextType(is_path=True), "The folder that holds the mirror.", required=True
            ),
            **_keys(Selection),
            "format": _FORMAT,
            "images": MappingKey(BooleanType(), "Also fetch the images."),
            **_keys(MirrorOptions),
        }
    ),
    CREATE: MappingType(
        {
            "src": MappingKey(
                TextType(is_path=True),
                "A folder with images, or with their folders, videos or zips; or one video or zip.",
                required=True,
            ),
            "project": MappingKey(ScalarType(), "The project of the tasks, by its id or name."),
            "labels": MappingKey(
                TextType(is_path=True),
                "The file with the labels of a new project, or of tasks outside projects.",
            ),
            "labels_from": MappingKey(
                ScalarType(), "The project whose labels are taken, by its id or name."
            ),
            "order": MappingKey(
                TextType(is_path=True),
                "The order of the images: a file with the path of each below 'src', one a line.",
            ),
            **_keys(CreateOptions),
        }
    ),
    IMPORT_DATASET: MappingType(
        {
            "project": MappingKey(
                ScalarType(), "The project of the tasks, by its id or name.", required=True
            ),
            "files": MappingKey(
                ListType(TextType(is_path=True), "[train.zip, val.zip]", or_one=True, unique=True),
                "The datasets: archives of the format.",
                required=True,
            ),
            "format": MappingKey(
                TextType(),
                "The format of the files, like coco or 'COCO 1.0'.",
                required=True,
            ),
            **_keys(ImportOptions),
        }
    ),
    BACKUP: MappingType(
        {
            "dest": MappingKey(
                TextType(is_path=True), "The folder that holds the backups.", required=True
            ),
            **_keys(Selection),
            **_keys(BackupOptions),
        }
    ),
    COPY: MappingType(
        {
            "from": MappingKey(
                TextType(is_path=True),
                "Where the tasks are: a settings file like old.yaml, or a saved profile's name.",
                required=True,
            ),
            "to": MappingKey(
                TextType(is_path=True),
                "Where the copies go: a settings file like new.yaml, or a saved profile's name.",
                required=True,
            ),
            "from_org": MappingKey(
                ScalarType(), "The organization of 'from', instead of that of its file."
            ),
            "to_org": MappingKey(
                ScalarType(), "The organization of 'to', instead of that of its file."
            ),
            **_keys(Selection),
            **_keys(CopyOptions),
        }
    ),
    DELETE: MappingType(
        {
            "yes": MappingKey(
                BooleanType(), "Delete. Without it, the file can only be tried with --dry-run."
            ),
            "expect": MappingKey(
                IntegerType(0, 37), "The number that a dry run showed. 'yes' needs it."
            ),
            "plan": MappingKey(
                TextType(is_path=True),
                "What `asynccvat delete --plan FILE` saw: only what is unchanged since is deleted.",
            ),
            **_keys(Selection),
            **_keys(DeleteOptions),
        },
        either=tuple((key,) for key in _keys(Selection) if key not in NO_FILTERS),
    ),
    EXPORT_TO_CLOUD: MappingType(
        {
            "storage": MappingKey(_ID, "The cloud storage, by its id.", required=True),
            "prefix": MappingKey(TextType(), "The folder in it, such as exports/may."),
            **_keys(Selection),
            "format": _FORMAT,
            "images": MappingKey(BooleanType(), "With the images."),
            "backup": MappingKey(BooleanType(), "Whole backups instead of exports."),
            **_keys(CloudOptions),
        }
    ),
    RESTORE: MappingType(
        {
            "src": MappingKey(
                TextType(is_path=True),
                "The folder of backups, or the zip of one backup.",
                required=True,
            ),
            "task_id": MappingKey(
                _IDS, "These tasks, by the ids that they had. By default all of 'src'."
            ),
            "projects": MappingKey(
                BooleanType(), "Restore the backups of projects instead of tasks."
            ),
            "project_id": MappingKey(
                _IDS, "The backups of these projects, by the ids that they had."
            ),
            "at": MappingKey(
                DateType(), "The newest backups from before this date, or this long ago, like 7d."
            ),
            "project": MappingKey(
                ScalarType(), "The project that the tasks are moved into, by its id or name."
            ),
            "annotations": MappingKey(
                BooleanType(), "Put the annotations alone back into the tasks of 'task_id'."
            ),
            **_keys(RestoreOptions),
        }
    ),
}
"""The keys of `parameters` for each task."""


def run_file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a run file, for editors.

    The validator checks more than JSON Schema can express: that two lists are of one length, that
    files exist, what the server knows.
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
                "task": {"description": "What the step does.", "enum": list(NAMES)},
                "server": {
                    "description": "The server of this step. By default, the one of the settings.",
                    "anyOf": [SERVER.schema, {"type": "null"}],
                },
                "parameters": {"description": "The arguments of the task."},
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

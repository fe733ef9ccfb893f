"""The JSON Schema and the validator say the same of the same document.

The schema knows less on purpose: lists as long as each other, files that are there, what a number
means. What it refuses the validator refuses, too; the rest is named here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import asynccvat as ac
from asynccvat.runfiles.declarations import PARAMETERS

SCHEMA = Draft202012Validator(ac.run_file_schema())

DOWNLOAD = {
    "task": "download_cvat_tasks",
    "server": {"url": "http://a", "username": "ann", "password": 123, "project_id": 0},
    "parameters": {
        "task_ids": [147, 150],
        "out_dir": "raw",
        "dataset_format": "COCO 1.0",
        "save_images": True,
        "skip_existing": False,
        "folder_prefix": "",
    },
}
PLACES = {"task": "download", "parameters": {"task_ids": [1], "out_paths": ["a"]}}
PAIRS = {
    "task": "upload_anno_with_cvat_tasks",
    "parameters": {
        "tasks": [{"task_id": 1, "annotation_path": "raw/1.xml", "dataset_format": "CVAT 1.1"}],
        "dataset_format": "COCO 1.0",
        "folder_prefix": "t_",
        "mode": "append",
        "overwrite": True,
        "backup_dir": "replaced",
        "lossy": True,
        "allow_empty": False,
    },
}
IN_DIR = {
    "task": "upload",
    "server": None,
    "parameters": {"task_ids": [1], "in_dir": "raw", "no_backup": True},
}
LAID_OUT = {
    "task": "mirror",
    "parameters": {"dest": "data", "layout": "{project}/task{id}-{name}"},
}
MIRROR = {
    "task": "mirror",
    "parameters": {
        "dest": "data",
        "project_id": 5,
        "task_id": [1, 2],
        "status": "completed",
        "subset": "train",
        "name": "street",
        "project": ["Street", 5],
        "exclude": "draft-*",
        "limit": 10,
        "owner": "ann",
        "assignee": None,
        "updated_since": "2d",
        "filter": {"==": [{"var": "owner"}, "ann"]},
        "format": "COCO 1.0",
        "images": False,
        "frames": True,
        "without_exports": True,
        "folder_prefix": "t_",
        "keep_archive": True,
        "names": "map",
        "concurrency": 2,
        "transfers": 3,
        "bwlimit": "1.5G",
        "retries": 0,
        "wait_for_server": "10m",
        "queue_timeout": "4h",
        "max_time": "8h",
        "export_timeout": 90,
        "max_members": 10,
        "max_member_size": "1G",
        "max_size": "1T",
        "max_ratio": 300,
        "max_path_length": 2000,
        "max_depth": 80,
        "max_directory_size": "1G",
        "force": True,
        "no_reuse": True,
        "no_refresh": True,
        "trust_receipts": True,
        "prune": True,
        "max_delete": "10%",
        "adopt": True,
        "no_fsync": True,
        "break_lock": True,
        "change": True,
        "everything": True,
        "since_last_run": False,
        "history": "30d",
        "as": "jobs",
        "stage": "acceptance",
        "state": "completed",
        "type": "annotation",
    },
}
BACKUP = {
    "task": "backup",
    "parameters": {
        "dest": "backups",
        "project_id": 5,
        "task_id": [147],
        "status": "completed",
        "name": "street*",
        "project": ["Street", 5],
        "exclude": "draft-*",
        "limit": 10,
        "subset": "Train",
        "owner": "ann",
        "assignee": "bob",
        "updated_since": "2d",
        "filter": {"==": [{"var": "owner"}, "ann"]},
        "projects": False,
        "full": False,
        "lightweight": False,
        "keep": "30d",
        "force": True,
        "break_lock": False,
        "change": True,
        "everything": False,
        "concurrency": 2,
        "transfers": 4,
        "retries": 3,
        "wait_for_server": "0",
        "queue_timeout": "1h",
        "max_time": "5h",
        "no_fsync": True,
        "bwlimit": "10M",
        "export_timeout": "30m",
        "no_reuse": False,
        "max_members": 10,
        "max_member_size": "1G",
        "max_size": "2G",
        "max_ratio": 100,
        "max_path_length": 200,
        "max_depth": 9,
        "max_directory_size": "1M",
    },
}
COPY = {
    "task": "copy",
    "parameters": {
        "from": "old.yaml",
        "to": "new.yaml",
        "from_org": "acme",
        "to_org": "beta",
        "project_id": 5,
        "task_id": [147],
        "status": "completed",
        "name": "street*",
        "project": ["Street", 5],
        "exclude": "draft-*",
        "limit": 10,
        "subset": "Train",
        "owner": "ann",
        "assignee": "bob",
        "updated_since": "2d",
        "filter": {"==": [{"var": "owner"}, "ann"]},
        "into_project": "signs",
        "state": "state",
        "states": True,
        "overwrite": False,
        "duplicate": False,
        "prune": True,
        "expect": 3,
        "concurrency": 2,
        "transfers": 4,
        "retries": 3,
        "wait_for_server": "0",
        "queue_timeout": "1h",
        "max_time": "5h",
        "no_fsync": True,
        "bwlimit": "10M",
        "export_timeout": "30m",
        "import_timeout": "30m",
        "upload_limit": "60G",
        "spool_limit": "1G",
        "break_lock": False,
    },
}
CREATE = {
    "task": "create",
    "parameters": {
        "src": "images",
        "project": 5,
        "labels": "labels.txt",
        "labels_from": "Harbour",
        "order": "order.txt",
        "name": "{name} {part}",
        "split": 500,
        "single": True,
        "subset": "train",
        "skip_others": True,
        "follow_links": True,
        "no_annotations": True,
        "journal": "journal",
        "image_quality": 70,
        "chunk_size": 36,
        "sorting": "natural",
        "start_frame": 0,
        "stop_frame": 10,
        "frame_step": 2,
        "segment_size": 100,
        "overlap": 5,
        "same_name": True,
        "again": True,
        "upload_limit": "60G",
        "break_lock": True,
        "concurrency": 2,
        "transfers": 3,
        "import_timeout": "4h",
        "no_fsync": True,
        "retries": 0,
        "wait_for_server": "10m",
        "queue_timeout": "4h",
        "max_time": "8h",
    },
}
IMPORT_DATASET = {
    "task": "import_dataset",
    "parameters": {
        "project": 5,
        "files": ["train.zip", "val.zip"],
        "format": "COCO 1.0",
        "again": True,
        "upload_limit": "60G",
        "journal": "journal",
        "import_timeout": "4h",
        "no_fsync": True,
        "break_lock": True,
        "retries": 0,
        "wait_for_server": "10m",
        "queue_timeout": "4h",
        "max_time": "8h",
    },
}
IMPORT_ONE_DATASET = {
    "task": "import_dataset",
    "parameters": {"project": "Harbour", "files": "train.zip", "format": "COCO 1.0"},
}
DELETE = {
    "task": "delete",
    "parameters": {
        "yes": True,
        "expect": 37,
        "plan": "old.json",
        "project_id": 5,
        "task_id": [147],
        "status": "completed",
        "name": "street*",
        "project": ["Street", 5],
        "exclude": "draft-*",
        "limit": 10,
        "subset": "Train",
        "owner": "ann",
        "assignee": "bob",
        "updated_since": "2d",
        "filter": {"==": [{"var": "owner"}, "ann"]},
        "projects": False,
        "require_backup": "backups",
        "lose_issues": True,
        "log": "deletions.jsonl",
        "break_lock": False,
        "retries": 3,
        "wait_for_server": "0",
        "max_time": "5h",
        "no_fsync": True,
    },
}
RESTORE = {
    "task": "restore",
    "parameters": {
        "src": "backups",
        "task_id": [147, 150],
        "projects": False,
        "at": "7d",
        "project": "Harbour",
        "missing": True,
        "again": True,
        "upload_limit": "60G",
        "journal": "journal",
        "concurrency": 2,
        "transfers": 3,
        "import_timeout": 90,
        "no_fsync": True,
        "break_lock": True,
        "retries": 0,
        "wait_for_server": "10m",
        "queue_timeout": "4h",
        "max_time": "8h",
    },
}
RESTORE_PROJECTS = {
    "task": "restore",
    "parameters": {"src": "backups", "project_id": 5, "projects": True},
}
RESTORE_ANNOTATIONS = {
    "task": "restore",
    "parameters": {
        "src": "backups",
        "task_id": [147],
        "annotations": True,
        "overwrite": True,
        "backup_dir": "replaced",
    },
}
TO_CLOUD = {
    "task": "export_to_cloud",
    "parameters": {
        "storage": 3,
        "prefix": "exports/may",
        "project_id": [5, 6],
        "task_id": 147,
        "status": "completed",
        "subset": "Train",
        "project": "Street",
        "exclude": ["draft-*"],
        "limit": 10,
        "name": "a task",
        "owner": "ann",
        "assignee": "bob",
        "updated_since": "2d",
        "filter": {"==": [{"var": "status"}, "completed"]},
        "format": "COCO 1.0",
        "images": True,
        "as": "tasks",
        "record": "exports.jsonl",
        "overwrite": True,
        "export_timeout": 90,
        "concurrency": 2,
        "retries": 0,
        "wait_for_server": "10m",
        "queue_timeout": "4h",
        "max_time": "8h",
        "no_fsync": True,
        "break_lock": True,
    },
}
JOBS_TO_CLOUD = {
    "task": "export_to_cloud",
    "parameters": {
        "storage": 3,
        "as": "jobs",
        "stage": "acceptance",
        "state": "completed",
        "type": "ground_truth",
    },
}
BACKUPS_TO_CLOUD = {
    "task": "export_to_cloud",
    "parameters": {"storage": 3, "backup": True},
}
STEPS: list[Any] = [
    TO_CLOUD,
    BACKUPS_TO_CLOUD,
    DOWNLOAD,
    PLACES,
    PAIRS,
    IN_DIR,
    MIRROR,
    LAID_OUT,
    CREATE,
    IMPORT_DATASET,
    IMPORT_ONE_DATASET,
    BACKUP,
    RESTORE,
    RESTORE_PROJECTS,
    RESTORE_ANNOTATIONS,
    COPY,
    JOBS_TO_CLOUD,
    DELETE,
]
OF_FILES = (
    "there is no such file or folder",
    "cannot read",
    "is not a file",
    "holds none",
    "holds no annotations",
)


def accepted(document: Any) -> bool:
    """Whether the validator accepts a document, apart from missing files."""
    file = Path("steps.yaml")
    file.write_text(yaml.safe_dump(document))
    file.chmod(0o600)
    try:
        ac.load_run_file(file)
    except ac.errors.RunFileError as error:
        return all(any(words in one.message for words in OF_FILES) for one in error.problems)
    return True


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything that a document holds."""
    yield path
    if isinstance(value, dict):
        if value.keys() == {"=="}:
            return  # the server's own filters are its own business
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A document with another value at a path."""
    if not path:
        return value
    result = copy.deepcopy(document)
    parent = result
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    return result


def without(document: Any, path: tuple[Any, ...]) -> Any:
    result = copy.deepcopy(document)
    parent = result
    for part in path[:-1]:
        parent = parent[part]
    del parent[path[-1]]
    return result


@pytest.fixture(autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(ac.run_file_schema())


def test_every_key_is_in_an_example_here() -> None:
    """A key without an example would not be compared with the schema below."""
    used: dict[str, set[str]] = {}
    for step in STEPS:
        name = {"download": DOWNLOAD["task"], "upload": PAIRS["task"]}.get(
            step["task"], step["task"]
        )
        used.setdefault(str(name), set()).update(step["parameters"])
    assert used == {task: set(keys.keys) for task, keys in PARAMETERS.items()}


def test_both_accept_a_correct_document() -> None:
    assert SCHEMA.is_valid(STEPS)
    assert accepted(STEPS)


@pytest.mark.parametrize(
    "path",
    [path for path in places(STEPS) if path and path not in [(n,) for n in range(6)]],
    ids=lambda path: ".".join(map(str, path)),
)
def test_both_agree_on_every_changed_value(path: tuple[Any, ...]) -> None:
    for value in (None, True, -1, 0, 7, 2.5, "", "text", "7", [], [7], [7, 7], {}, {"a": 1}):
        document = changed(STEPS, path, value)[path[0] : path[0] + 1]
        if not SCHEMA.is_valid(document):
            assert not accepted(document), f"{value!r} is refused by the schema alone"
        elif not accepted(document):
            known = needs_all(path) and value in (None, False)
            assert known or beyond_the_schema(path, value), (
                f"{value!r} is refused by the validator alone"
            )


def needs_all(path: tuple[Any, ...]) -> bool:
    """Whether a key is of a restore of annotations, which needs the tasks and a folder."""
    return STEPS[path[0]] is RESTORE_ANNOTATIONS and path[-1] in (
        "annotations",
        "task_id",
        "backup_dir",
    )


def beyond_the_schema(path: tuple[Any, ...], value: Any) -> bool:
    """Whether a change breaks a rule that the schema cannot express."""
    match path[1:]:
        case ("parameters", "out_paths") | ("parameters", "task_ids"):
            # One folder for each task, and no two the same.
            return isinstance(value, list) and path[0] == 1
        case ("parameters", "filter", *_) | ("parameters", "record" | "log"):
            # JSON logic is more than a mapping; the name of a record or log has an ending.
            return path[-1] not in ("record", "log") or not str(value).endswith(".jsonl")
        case ("parameters", "updated_since" | "at" | "layout"):
            # No date; a text without {id} names no folders.
            return bool(value == "7" or path[-1] == "layout")
        case (
            "parameters",
            "export_timeout" | "bwlimit" | "max_size" | "max_member_size" | "max_directory_size",
        ) | (
            "parameters",
            "queue_timeout" | "max_time" | "import_timeout" | "upload_limit" | "spool_limit",
        ):
            return bool(value == 0)
        case ("parameters", "segment_size" | "projects"):
            # An overlap needs the size; the step names tasks, not projects.
            return value is (None if path[-1] == "segment_size" else True)
        case ("parameters", "prune" | "as"):
            # The number of copies to remove is for nothing else; nor are the states of jobs.
            step = STEPS[path[0]]
            return not value and (step["task"] == "copy" or step is JOBS_TO_CLOUD)
        case ("parameters", "keep" | "max_delete"):
            return bool(value == 2.5 or (value == 0 and path[-1] == "keep"))
        case _:
            return False


@pytest.mark.parametrize("path", [path for path in places(STEPS) if len(path) > 1], ids=str)
def test_both_agree_on_every_missing_key(path: tuple[Any, ...]) -> None:
    document = without(STEPS, path)[path[0] : path[0] + 1]
    if path[0] == STEPS.index(JOBS_TO_CLOUD) and path[-1] == "as":
        return
    if needs_all(path):
        assert not accepted(document)
    elif not {"filter", "segment_size"} & set(path) and path[-1:] != ("prune",):
        assert accepted(document) == SCHEMA.is_valid(document)


@given(st.sampled_from([p for p in places(STEPS) if p]), st.text(min_size=1, max_size=9))
def test_both_refuse_an_unknown_key(path: tuple[Any, ...], name: str) -> None:
    value: Any = STEPS
    for part in path:
        value = value[part]
    if not isinstance(value, dict) or value.keys() == {"=="} or name in value:
        return
    if name in ("server", "token", "organization", "insecure", "ca_bundle"):
        return
    document = changed(STEPS, path, {**value, name: 1})
    assert not SCHEMA.is_valid(document)
    assert not accepted(document)

"""Read the options that a client sends with the data of a task, as JSON or as fields of a form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SORTING_METHODS: Final = ("lexicographical", "natural", "predefined", "random")

_STEP: Final = re.compile(r"step\s*=\s*([1-9]\d*)")
_NUMBERS: Final = ("chunk_size", "start_frame", "stop_frame", "cloud_storage_id")


class InvalidDataOptionsError(Exception):
    """Options that CVAT refuses; `errors` is the body of the response."""

    def __init__(self, errors: Any) -> None:
        """Refuse with these errors."""
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class DataOptions:
    """What a task is to make of its data.

    Attributes:
        image_quality: Quality of compressed images, in percent.
        chunk_size: Frames of a chunk; None for CVAT's choice.
        sorting_method: The order of images; None for CVAT's choice, which is lexicographical.
        upload_file_order: The names of the files in the order of frames, for `predefined`.
        job_file_mapping: The names of the files of each job, or None.
        start_frame: The first frame to use.
        stop_frame: The last frame to use, or None.
        frame_filter: Which frames between, as given.
        server_files: Files that lie on the server, or in a cloud storage.
        cloud_storage_id: The cloud storage, or None.
    """

    image_quality: int = 70
    chunk_size: int | None = None
    sorting_method: str | None = None
    upload_file_order: tuple[str, ...] = ()
    job_file_mapping: tuple[tuple[str, ...], ...] | None = None
    start_frame: int = 0
    stop_frame: int | None = None
    frame_filter: str = ""
    server_files: tuple[str, ...] = ()
    cloud_storage_id: int | None = None

    @property
    def step(self) -> int:
        """Every how many frames one is used."""
        found = _STEP.fullmatch(self.frame_filter)
        return int(found[1]) if found else 1


def read_data_options(given: Mapping[str, Any]) -> DataOptions:
    """Return the options of a body or form.

    Raises:
        InvalidDataOptionsError: Something is wrong with them.
    """
    errors: dict[str, list[str]] = {}
    if "image_quality" not in given:
        errors["image_quality"] = ["This field is required."]
    numbers = {name: _number(given, name, errors) for name in ("image_quality", *_NUMBERS)}
    quality = numbers["image_quality"]
    if quality is not None and not 0 <= quality <= 100:
        side = "greater than or equal to 0" if quality < 0 else "less than or equal to 100"
        errors["image_quality"] = [f"Ensure this value is {side}."]
    method = given.get("sorting_method")
    if method is not None and method not in SORTING_METHODS:
        errors["sorting_method"] = [f'"{method}" is not a valid choice.']
    step = str(given.get("frame_filter") or "")
    if step and not _STEP.fullmatch(step):
        errors["frame_filter"] = ["Does not match the pattern step=N."]
    if errors:
        raise InvalidDataOptionsError(errors)
    mapping = given.get("job_file_mapping")
    return DataOptions(
        image_quality=quality or 0,
        chunk_size=numbers["chunk_size"],
        sorting_method=method,
        upload_file_order=tuple(given.get("upload_file_order") or ()),
        job_file_mapping=None if mapping is None else tuple(tuple(names) for names in mapping),
        start_frame=numbers["start_frame"] or 0,
        stop_frame=numbers["stop_frame"] or None,
        frame_filter=step,
        server_files=tuple(given.get("server_files") or ()),
        cloud_storage_id=numbers["cloud_storage_id"],
    )


def _number(given: Mapping[str, Any], name: str, errors: dict[str, list[str]]) -> int | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        errors[name] = ["A valid integer is required."]
        return None

"""Build downloads into folders and uploads of annotation files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from asynccvat.commands.upload.local_files import find_source
from asynccvat.core.format_names import format_without_server
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.selections.id_lists import required
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import AnnotationFileError
from asynccvat.runfiles.building.context import (
    NamedPositions,
    StepContext,
    absolute,
    path_of,
)
from asynccvat.runfiles.declarations import DOWNLOAD, UPLOAD
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.nodes import FilePosition
from asynccvat.runfiles.steps import (
    Batch,
    DownloadStep,
    StepHead,
    UploadStep,
)
from asynccvat.runfiles.wording import in_keys

_MIRRORED = Path(OWN_FOLDER, "receipts")


def download(context: StepContext, head: StepHead, section: Section) -> DownloadStep | None:
    """Build a download of tasks, each into its own folder."""
    values, places = section.values, NamedPositions()
    ids = places.ids(section, "task_ids")
    prefix = context.prefix(section, DOWNLOAD)
    context.remember(places, section, "dataset_format")
    if not ids:
        return None
    if "out_paths" in section.entries:
        folders = [path_of(text) for text, _ in section.all_of("out_paths")]
        if not folders:
            return None
        if ids.of_ranges:
            context.reader.report(
                section.entries["out_paths"].value,
                "'out_paths' names a folder for each task, and of a range not every number is a "
                "task: name the tasks one by one, or give 'out_dir'",
            )
            return None
        if len(folders) != len(ids):
            context.reader.report(
                section.entries["out_paths"].value,
                f"'out_paths' has {len(folders)} folders for {len(ids)} tasks: name one for each",
            )
            return None
        if "out_dir" in section.entries:
            context.warn(
                section, "out_dir", "it has no effect, since 'out_paths' names every folder"
            )
    elif "out_dir" in values and prefix is not None:
        folders = [path_of(values["out_dir"]) / f"{prefix}{task_id}" for task_id in ids]
    else:
        return None
    _refuse_shared(context, zip(ids, folders, strict=True), places)
    context.made.update(map(absolute, folders))
    return DownloadStep(
        **head.fields(places.found),
        paths=dict(zip(ids, folders, strict=True)),
        of_ranges=ids.of_ranges,
        spec=ExportSpec(
            values.get("dataset_format", ExportSpec().format),
            images=values.get("save_images", False),
        ),
        skip_existing=values.get("skip_existing", True),
    )


def upload(context: StepContext, head: StepHead, section: Section) -> UploadStep | None:
    """Build an upload of annotation files."""
    values, places = section.values, NamedPositions()
    context.remember(places, section, "dataset_format")
    prefix = context.prefix(section, UPLOAD)
    format_name = values.get("dataset_format")
    if "tasks" in values:
        for key in ("task_ids", "in_dir"):
            if key in section.entries:
                context.warn(section, key, "it has no effect, since 'tasks' names every file")
        batches = _pairs(context, values["tasks"], format_name, places)
    elif "in_dir" in values and "task_ids" in values:
        ids = places.ids(section, "task_ids")
        batches = (Batch(path_of(values["in_dir"]), ids, format_name),)
    else:
        return None
    if prefix is None:
        return None
    awaits, gaps = _check_files(context, batches, prefix, places)
    if "backup_dir" in values and values.get("no_backup"):
        context.reader.report(
            section.entries["backup_dir"].value,
            "'backup_dir' names where replaced annotations are kept, and 'no_backup' keeps none: "
            "remove one of them",
        )
        return None
    options = context.options(UploadOptions, head, section, "backup_dir")
    if options is None:
        return None
    return UploadStep(
        **head.fields(places.found),
        batches=batches,
        options=options,
        awaits=awaits,
        gaps=gaps,
    )


def _pairs(
    context: StepContext,
    items: list[tuple[Section, FilePosition]],
    format_name: str | None,
    places: NamedPositions,
) -> tuple[Batch, ...]:
    """Return a batch for each format of what `tasks` lists."""
    batches: dict[str | None, dict[int, Path]] = {}
    for item, place in items:
        if not {"task_id", "annotation_path"} <= item.values.keys():
            continue
        task_id = item.values["task_id"]
        if task_id in places.found:
            # The second import into a task would replace the annotations of the first.
            context.reader.report_at(place, f"task {task_id} is named twice: remove one of them")
            continue
        places.found[task_id] = place
        own = item.values.get("dataset_format", format_name)
        if "dataset_format" in item.values:
            places.found[own] = context.reader.place(item.entries["dataset_format"].value)
        batches.setdefault(own, {})[task_id] = path_of(item.values["annotation_path"])
    return tuple(Batch(paths, tuple(paths), own) for own, paths in batches.items())


def _refuse_shared(
    context: StepContext, paths: Iterable[tuple[int, Path]], places: NamedPositions
) -> None:
    owners: dict[Path, int] = {}
    for task_id, path in paths:
        other = owners.setdefault(absolute(path), task_id)
        if other != task_id:
            context.reader.report_at(
                places.of_id(task_id),
                f"tasks {other} and {task_id} have the same folder: {str(path)!r}",
            )


def _check_files(
    context: StepContext, batches: Iterable[Batch], prefix: str, places: NamedPositions
) -> tuple[frozenset[int], frozenset[int]]:
    """Report files that cannot be uploaded.

    Returns:
        The tasks that an earlier step fetches, and the numbers of ranges without a file.
    """
    awaits, gaps = set[int](), set[int]()
    for batch in batches:
        format_name = format_without_server(batch.format or ExportSpec().format)
        in_mirror = isinstance(batch.source, Path) and (batch.source / _MIRRORED).is_dir()
        named = required(batch.task_ids)
        for task_id in batch.task_ids:
            path = batch.path(task_id, prefix)
            if context.is_made(path):
                awaits.add(task_id)
            elif task_id not in named and not path.exists():
                gaps.add(task_id)
            elif not in_mirror:
                try:
                    find_source(path, format_name).inspected()
                except AnnotationFileError as error:
                    context.reader.report_at(places.of_id(task_id), in_keys(error.message, UPLOAD))
    return frozenset(awaits), frozenset(gaps)

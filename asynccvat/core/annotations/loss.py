"""Decide whether an import would lose annotations, and whether one has.

An import replaces all that a task has. `core.annotations.counts` counts what that is,
`core.annotations.file_counts` what the file holds, and `core.annotations.capacity` knows what its
format can carry.
"""

from __future__ import annotations

from collections.abc import Iterator

from asynccvat.core.annotations.capacity import FormatCapacity, better_format, capacity_of
from asynccvat.core.annotations.counts import AnnotationCounts, enumeration, quantity
from asynccvat.core.annotations.file_counts import FileCounts
from asynccvat.errors import AnnotationLossError

_FEW = 2
"""Warn if an import leaves less than a half: one in this many."""


def refuse_loss(
    task_id: int,
    existing: AnnotationCounts,
    held: FileCounts | None,
    importer: str,
    *,
    file: str,
    lossy: bool = False,
    allow_empty: bool = False,
) -> None:
    """Refuse an import that would empty a task, or lose what its format cannot carry.

    Args:
        task_id: The task.
        existing: What the task has.
        held: What the file holds, None if it cannot be counted.
        importer: The importer's name.
        file: The file, for the message.
        lossy: Permit what the format cannot carry.
        allow_empty: Permit a file without annotations.

    Raises:
        AnnotationLossError: It would lose annotations. Nothing was sent.
    """
    if not existing.total:
        return
    if held is not None and held.is_empty:
        if not allow_empty:
            raise _loss(
                task_id,
                existing,
                held,
                f"cannot upload to task {task_id}: {str(file)!r} holds no annotations, and the "
                f"import would remove the {existing} of the task. Check the file, or give "
                "--allow-empty.",
            )
        return
    counts = None if held is None else held.counts
    capacity = capacity_of(importer, held)
    lost = list(_lost(existing, counts, capacity))
    if lost and not lossy:
        what = enumeration(lost)
        raise _loss(
            task_id,
            existing,
            held,
            f"cannot upload to task {task_id}: it has {what}, "
            f"{_what_becomes(what, existing, counts, capacity)}. "
            f"{_remedy(existing, capacity)}, or give --lossy.",
        )


def _loss(
    task_id: int, before: AnnotationCounts, held: FileCounts | None, message: str
) -> AnnotationLossError:
    error = AnnotationLossError(message, task_id=task_id, step="check")
    error.before, error.in_file = before.total, exact_total(held)
    return error


def exact_total(held: FileCounts | None) -> int | None:
    """Return how many annotations an import should leave, None if that is unknown."""
    return held.counts.total if held is not None and held.exact else None


def _lost(
    existing: AnnotationCounts, held: AnnotationCounts | None, capacity: FormatCapacity
) -> Iterator[str]:
    """Yield what a task has, the file does not hold and its format cannot carry."""
    in_file = held or AnnotationCounts()
    # A format that can carry tracks need not: a detector's predictions have none.
    if existing.tracks and not in_file.tracks and (held is not None or not capacity.tracks):
        yield quantity(existing.tracks, "track")
    # A mask stays a shape even in a format for tracks.
    single = existing.shapes - existing.masks
    if single > 0 and not capacity.shapes and in_file.shapes == in_file.masks:
        yield quantity(single, "shape")
    for type_, count in sorted(existing.types.items()):
        if type_ not in capacity.types and not in_file.types.get(type_):
            yield _of_type(count, type_)
    if existing.tags and not capacity.tags and not in_file.tags:
        yield quantity(existing.tags, "tag")
    if existing.attributed and not capacity.attributes and not in_file.attributed:
        yield f"{quantity(existing.attributed, 'annotation')} with attributes"
    # A format for tracks carries the groups of tracks, and loses those of masks.
    has_grouped_masks = existing.masks > 0 and not capacity.shapes
    if existing.grouped > in_file.grouped and (
        has_grouped_masks or (not capacity.groups and not in_file.grouped)
    ):
        yield f"{quantity(existing.grouped, 'annotation')} in groups"


def _of_type(count: int, type_: str) -> str:
    if type_ == "points":
        return quantity(count, "set") + " of points"
    if type_ == "unknown":
        return quantity(count, "annotation") + " of an unknown type"
    return quantity(count, type_)


def _what_becomes(
    what: str, existing: AnnotationCounts, held: AnnotationCounts | None, capacity: FormatCapacity
) -> str:
    """Say what becomes of what is lost, as a relative clause."""
    only_tracks = what == quantity(existing.tracks, "track")
    only_shapes = what == quantity(existing.shapes - existing.masks, "shape")
    if capacity.tracks and held is not None and existing.tracks and not held.tracks:
        return f"and the file holds {held}"
    if only_tracks and held is not None and held.shapes:
        return f"which {capacity.format} turns into {_numbered(existing, held.shapes, 'shape')}"
    if only_shapes and held is not None and held.tracks:
        return f"which {capacity.format} turns into {_numbered(existing, held.tracks, 'track')}"
    if not capacity.known:
        return f"and asynccvat does not know whether {capacity.format} carries that"
    return f"which {capacity.format} does not carry, so the import would lose that"


def _numbered(existing: AnnotationCounts, count: int, noun: str) -> str:
    """Return the number only if nothing else of the task is in it."""
    is_all = not (existing.tracks and existing.shapes)
    return quantity(count, noun) if is_all else f"{noun}s"


def _remedy(existing: AnnotationCounts, capacity: FormatCapacity) -> str:
    better = better_format(existing)
    if better == capacity.format:
        return "Keep that in the file"
    both = ", which carries tracks and shapes" if existing.tracks and existing.shapes else ""
    return f"Mirror it as {better}{both}"


def check_result(
    task_id: int,
    before: AnnotationCounts,
    held: FileCounts | None,
    after: AnnotationCounts,
    *,
    appended: bool = False,
    lossy: bool = False,
    allow_empty: bool = False,
) -> tuple[str, ...]:
    """Compare what a task had with what it has after an import.

    Args:
        task_id: The task.
        before: What it had.
        held: What the file held, None if that could not be counted.
        after: What it has now.
        appended: Whether the import was to keep what it had.
        lossy: The user permits what the format cannot carry.
        allow_empty: The user permits that the task has none in the end.

    Returns:
        Warnings.

    Raises:
        AnnotationLossError: The task has no annotations now, and should have some.
    """
    in_file = held.counts.total if held is not None else 0
    if not after.total and not allow_empty and (before.total or in_file):
        error = _loss(
            task_id,
            before,
            held,
            f"the import left task {task_id} without annotations: it had {before.total:,} before, "
            f"and {_in_file(held)}. Check the names of images and labels in the "
            "file.",
        )
        error.after = after.total
        raise error
    warnings = []
    expected = in_file + (before.total if appended else 0)
    if held is not None and held.exact and after.total < expected:
        warnings.append(
            f"the task has {quantity(after.total, 'annotation')} now, and "
            f"{expected - after.total:,} of {expected:,} are missing: the server left them out"
        )
    if after.total * _FEW < before.total and not allow_empty:
        warnings.append(
            f"the task had {quantity(before.total, 'annotation')}, and has {after.total:,} now"
        )
    if after.total and not lossy:
        warnings += [
            f"the task had {quantity(count, noun)}, and has none now"
            for count, left, noun in (
                (before.tracks, after.tracks, "track"),
                (before.tags, after.tags, "tag"),
            )
            if count and not left
        ]
    return tuple(warnings)


def _in_file(held: FileCounts | None) -> str:
    if held is None:
        return "the file may hold some"
    return f"the file holds {held.counts.total:,}"

"""Write what a mirror as JSON holds into one page of HTML that needs no network."""

from __future__ import annotations

from typing import Any

from asynccvat.core.statistics.values import ContentCounts, MirrorStatistics
from asynccvat.core.texts import printable
from asynccvat.reports.page import filled

MOST_TASKS = 1_000
"""The most tasks that have a row in the page. If there are more, those with the most objects."""

MOST_LABELS = 1_000
"""The most rows of labels and kinds."""

_SCRIPTS = ("vendored/d3.min.js", "vendored/plot.min.js", "format.js", "statistics.js")
_NAME = 300


def stats_page(statistics: MirrorStatistics) -> str:
    """Return a page of HTML about what a mirror holds: figures, charts and tables.

    It is one file, and loads nothing.

    Args:
        statistics: What `stats` returns.
    """
    total = statistics.total
    fallback = (
        f"{statistics.source}: {len(statistics.tasks):,} tasks, {total.images:,} images, "
        f"{total.objects:,} objects. The rest of this page needs JavaScript, which this browser "
        "does not run."
    )
    title = f"asynccvat stats {printable(statistics.source)}"
    return filled(
        "statistics.html", _SCRIPTS, _document(statistics), title=title, fallback=fallback
    )


def _document(statistics: MirrorStatistics) -> dict[str, Any]:
    counted = [(one, one.counts) for one in statistics.tasks if one.counts is not None]
    shown = sorted(counted, key=lambda pair: (-pair[1].objects, pair[0].task_id))[:MOST_TASKS]
    return {
        "source": _text(statistics.source),
        "tasks": len(counted),
        "total": _figures(statistics.total),
        "sizes": statistics.total.sizes.to_json(),
        "imageSizes": [
            [f"{width} x {height}", count]
            for (width, height), count in statistics.total.image_sizes.items()
        ][:MOST_LABELS],
        "labels": [
            [_text(one.label), _text(one.kind), one.objects, one.tracks, one.on_frames]
            for one in statistics.total.labels[:MOST_LABELS]
        ],
        "rows": [
            [str(one.task_id), _text(one.name), *_figures(counts).values()] for one, counts in shown
        ],
        "failed": [
            [str(one.task_id), _text(one.why or "")] for one in statistics.failed[:MOST_TASKS]
        ],
    }


def _figures(counts: ContentCounts) -> dict[str, int]:
    return {
        "images": counts.images,
        "empty": counts.empty,
        "deleted": counts.deleted,
        "objects": counts.objects,
        "tracks": counts.tracks,
        "onFrames": counts.on_frames,
    }


def _text(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _NAME else f"{shown[: _NAME - 1]}…"

"""Find out why a list is empty, with one or two cheap calls, and warn of it.

`core.selections.empty` words the reason. `client.lists` asks when it found nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asynccvat.aio.list_warnings import warn
from asynccvat.core.decoding import ListPage, PageDecoder
from asynccvat.core.models import Job, Task
from asynccvat.core.selections.empty import explain, other_conditions, text_conditions
from asynccvat.core.selections.selection import JobSelection, Selection
from asynccvat.errors import AsyncCvatError
from asynccvat.http import Call, HttpSession

_SEEN = 500
"""Entries that are looked through for names that would fit."""

_JOBS = PageDecoder(Job)
_TASKS = PageDecoder(Task)
_log = logging.getLogger(__name__)


async def warn_of_none(
    http: HttpSession, what: str, selection: Any, decoder: PageDecoder[Any]
) -> None:
    """Warn of why a selection is empty, if that can be known.

    Args:
        http: The session.
        what: What the list holds, such as `tasks`: the last part of its path.
        selection: The selection, which holds nothing.
        decoder: Decodes a page of the list.
    """
    others = other_conditions(selection)
    if isinstance(selection, JobSelection) and selection.task_name is not None:
        # Older servers do not show the name of a job's task. The list of tasks does.
        others = other_conditions(replace(selection, task_name=None))
        others = others or selection.assignee is not None
        what, decoder = "tasks", _TASKS
        selection = Selection(
            project_ids=selection.project_ids,
            task_ids=selection.task_ids,
            name=selection.task_name,
        )
    conditions = text_conditions(selection)
    projects = selection.project_ids
    if getattr(selection, "task_ids", None) is not None or (projects is not None and not projects):
        return
    try:
        if conditions:
            # Without the other conditions, too: they may be what fits nothing.
            base = type(selection)(project_ids=selection.project_ids)
            seen = await _page(http, what, base, decoder)
            if seen.count:
                # Where more entries were not looked at, each of several conditions may fit some.
                alone = len(conditions) == 1 and not others
                if alone or seen.count <= len(seen.results):
                    warn(explain(conditions, what, seen.results))
                return
        if what == "tasks" and not others:
            await _warn_of_jobs(http, selection.project_ids)
    except AsyncCvatError as error:
        # The list itself was read, and is right.
        _log.debug("cannot find out why the list of %s is empty: %s", what, error)


async def _warn_of_jobs(http: HttpSession, project_ids: Sequence[int] | None) -> None:
    """Warn if the user sees jobs, of whose tasks CVAT lists none."""
    jobs = await _page(http, "jobs", JobSelection(project_ids=project_ids), _JOBS)
    if jobs.count:
        number = "1 job is" if jobs.count == 1 else f"{jobs.count:,} jobs are"
        whose = "its task" if jobs.count == 1 else "their tasks"
        warn(
            f"no task is listed, but {number} assigned to you: CVAT lists only tasks that are "
            f"yours or assigned to you. Ask for {whose} to be assigned to you. `asynccvat "
            "list-jobs` shows what you have."
        )


async def _page(
    http: HttpSession, what: str, selection: Any, decoder: PageDecoder[Any]
) -> ListPage[Any]:
    """Read the first page of a list."""
    query = next(selection.queries())
    call = Call(
        method="GET",
        path=f"/api/{what}",
        step="list",
        params={**query, "page_size": str(_SEEN)},
    )
    return http.decode(await http.call(call), decoder)

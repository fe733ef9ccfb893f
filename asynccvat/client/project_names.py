"""Ask a server for the projects that have given names.

`core.selections.project_names` compares the names.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.core.decoding import PageDecoder
from asynccvat.core.models import Project
from asynccvat.core.selections.project_names import ambiguous, named, unknown, with_name
from asynccvat.core.selections.selection import ProjectSelection
from asynccvat.errors import ConfigError
from asynccvat.http import Call, HttpSession
from asynccvat.http.paging import list_all

_PROJECTS = PageDecoder(Project)
_SEEN = 500
"""Projects that are looked through for names that look like a wanted one."""


async def projects_named(
    http: HttpSession, names: Sequence[str], *, several: bool = False, side: str = ""
) -> tuple[Project, ...]:
    """Return the project of each name. One call tells, if no name is wrong.

    Args:
        http: The session.
        names: The names.
        several: Whether `--project-id` takes several ids there, for messages.
        side: The option that names this server, where a command has two.

    Raises:
        ConfigError: No project has one of the names, or several have.
        AsyncCvatError: The server cannot be asked, or refuses the list.
    """
    queries = [query for selection in named(names) for query in selection.queries()]
    lists = await list_all(http, "/api/projects", queries, _PROJECTS, page_size=_SEEN)
    listed = [project for one in lists for project in one.items]
    found: list[Project] = []
    for name in names:
        projects = with_name(name, listed)
        if len(projects) > 1:
            raise ConfigError(ambiguous(name, projects, http.server.address), step="list")
        if not projects:
            seen = await _first_projects(http)
            raise ConfigError(
                unknown(name, seen, http.server.address, several=several, side=side), step="list"
            )
        found += projects
    return tuple(found)


async def _first_projects(http: HttpSession) -> list[Project]:
    query = next(ProjectSelection().queries())
    params = {**query, "page_size": str(_SEEN)}
    call = Call(method="GET", path="/api/projects", step="list", params=params)
    return list(http.decode(await http.call(call), _PROJECTS).results)

"""Find out what a call made whose answer was lost: by a broken connection, or by a kill.

The ids of restores are random, and their requests name no file. So the server's requests since the
call are looked at, and what they made is recognized by its name and its frames. Requests expire
after an hour; then the task itself is looked for.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from asynccvat.client import CvatClient, internals
from asynccvat.core.plans.restored import restores_since
from asynccvat.core.records.restores import Requesting, RestoreStates
from asynccvat.core.requests import ServerRequest
from asynccvat.core.selections.selection import ProjectSelection, Selection
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import NotFoundError, RequestUncertainError

SEARCHES = 3
"""How often the server is searched. The call of a killed process may still be on its way."""


class FoundMadeError(Exception):
    """A lost call made a task or project, and its request is forgotten.

    Attributes:
        new_id: The id of what it made.
    """

    def __init__(self, new_id: int) -> None:
        super().__init__(new_id)
        self.new_id = new_id


class LostRestores:
    """Find out what lost calls made."""

    def __init__(self, client: CvatClient, states: RestoreStates) -> None:
        """Search a server.

        Args:
            client: The server.
            states: What the journal knows. Known requests and tasks are of other calls.
        """
        self._client = client
        self._calls = internals(client).restores
        self._states = states

    async def search(self, call: Requesting) -> ServerRequest | int | None:
        """As `find`, several times while nothing is found.

        Raises:
            RequestUncertainError: The server does not tell.
        """
        for attempt in range(SEARCHES):
            found = await self.find(call)
            if found is not None:
                return found
            if attempt + 1 < SEARCHES:
                await self._calls.back_off(attempt)
        return None

    async def find(self, call: Requesting) -> ServerRequest | int | None:
        """Find what a call made. Requests that may be of this call are waited for.

        Returns:
            Its request, which has ended; or the id of what it made; or None if it made nothing.

        Raises:
            RequestUncertainError: The server does not tell.
            AsyncCvatError: The server cannot be asked.
        """
        if call.since is None:
            raise _uncertain(call, "the server sent no date, or a proxy dropped it")
        candidates = await self._ended_since(call, call.since)
        matching = [one for one in candidates if await self._is_made_by(call, one.result_id)]
        if len(matching) > 1:
            ids = [one.result_id for one in matching]
            raise _uncertain(call, f"{call.kind}s {first_few(ids)} may be of it")
        if matching:
            return matching[0]
        made = await self._made_since(call, call.since)
        if len(made) > 1:
            raise _uncertain(call, f"{call.kind}s {first_few(made)} may be of it")
        if made:
            return made[0]
        failed = [one for one in candidates if one.result_id is None]
        return failed[0] if failed else None

    async def _ended_since(self, call: Requesting, since: datetime) -> tuple[ServerRequest, ...]:
        """Return the requests that may be of a call, once all of them have ended."""
        attempt = 0
        while True:
            requests = await self._calls.imports()
            found = restores_since(requests, call.kind, since, self._states.rq_ids)
            if found is None:
                raise _uncertain(call, "the server sends no dates of its requests")
            if all(one.ended for one in found):
                return found
            await self._calls.back_off(attempt)
            attempt += 1

    async def _is_made_by(self, call: Requesting, new_id: int | None) -> bool:
        """Whether a request made what the backup holds. It may be of another process."""
        if new_id is None or not self._may_be_of(call, new_id):
            return False
        try:
            if call.kind is TargetKind.PROJECT:
                return (await self._client.project(new_id)).name == call.name
            task = await self._client.task(new_id)
        except NotFoundError:
            return False
        return task.name == call.name and call.frames in (None, task.size)

    async def _made_since(self, call: Requesting, since: datetime) -> list[int]:
        """Return the tasks or projects that may be of a call, by their name and date."""
        by_name = msgspec.json.encode({"==": [{"var": "name"}, call.name]}).decode()
        if call.kind is TargetKind.PROJECT:
            projects = await self._client.projects(ProjectSelection(filter=by_name))
            return [
                one.id
                for one in projects
                if one.name == call.name
                and self._may_be_of(call, one.id)
                and _is_since(one.created_date, since)
            ]
        listing = await self._client.tasks(Selection(filter=by_name))
        return [
            one.id
            for one in listing.tasks
            if one.name == call.name
            and call.frames in (None, one.size)
            and self._may_be_of(call, one.id)
            and _is_since(one.created_date, since)
        ]

    def _may_be_of(self, call: Requesting, new_id: int) -> bool:
        """Whether a call may have made this: it was not there before, and no other call made it.

        The server's clock comes in whole seconds. So a date alone does not tell what was there.
        """
        return new_id > call.newest and new_id not in self._states.new_ids


def _is_since(created: str | None, since: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(created or "")
    except ValueError:
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) >= since


def _uncertain(call: Requesting, why: str) -> RequestUncertainError:
    return RequestUncertainError(
        f"the restore of {call.key!r} may have happened or not: the answer of the server was lost, "
        f"and {why}. Look for the {call.kind} {call.name!r} there. If it is missing, restore it "
        "with --again.",
        step="upload",
    )

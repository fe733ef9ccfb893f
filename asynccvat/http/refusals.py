"""What is said of a call that was refused: which call, and what to do. Pure functions.

Which error class a status stands for is left to `core.responses`.
"""

from __future__ import annotations

from asynccvat.core.responses import is_json
from asynccvat.http.calls import Call

_REMEDIES = {
    401: "; give a valid token, or user name and password",
    403: "; ask for access, or use another account or organization",
    414: "; select less at once",
}
# What a server that is no CVAT says of CVAT's calls.
_NO_SUCH_CALL = frozenset({404, 405, 501})


def is_of_no_cvat(call: Call, status: int, content_type: str | None) -> bool:
    """Whether an answer is one of another kind of server, where nothing else speaks for CVAT.

    Of one task or request CVAT, or a proxy before it, may say itself that it is not there.
    """
    of_one_thing = call.task_id is not None or call.rq_id is not None
    return status in _NO_SUCH_CALL and not is_json(content_type) and not of_one_thing


def remedy_for(call: Call, status: int) -> str:
    """What to do about a refusal, where that is known; it follows the message."""
    if call.task_id is not None and call.step in ("detail", "export", "upload"):
        # CVAT says the one or the other of a task that the user may not see.
        if status == 404:
            return "; there is no such task, or this user may not see it"
        if status == 403:
            what = "annotate" if call.step == "upload" else "see or export"
            return f"; this user may not {what} it: ask for access, or use another account"
    if status == 400 and call.step == "list" and "filter" in call.params:
        return (
            "; check the filter: its variables are those that CVAT filters by, such as id, name, "
            "status, owner, assignee, project_name or updated_date"
        )
    return _REMEDIES.get(status, "")


def subject(call: Call) -> str:
    """The call as a message names it: its step, and its task if it is about one."""
    if call.task_id is not None:
        return f"{call.step} of task {call.task_id}"
    return call.step

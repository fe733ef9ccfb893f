"""Word the errors for refused calls: which call it was, and what to do. Pure functions.

`core.responses` chooses the error class for a status.
"""

from __future__ import annotations

from asynccvat.core.responses import is_json, response_error
from asynccvat.errors import AsyncCvatError, ConfigError
from asynccvat.http.calls import Call

CHECK_URL = "Check that the URL is that of a CVAT server."

_REMEDIES = {
    401: "Give a valid token, or user name and password.",
    403: "Ask for access, or use another account or organization.",
    414: "Select less at once.",
}
# The statuses with which a server that is not CVAT answers CVAT's calls.
_NO_SUCH_CALL = frozenset({404, 405, 501})


def refusal(
    call: Call,
    status: int,
    content_type: str | None,
    text: str,
    *,
    origin: str,
    organization: str | None,
    retry_after: float | None,
    is_cvat: bool,
) -> AsyncCvatError:
    """Return the error for a response with an unexpected status.

    Args:
        call: The refused call.
        status: The response's status.
        content_type: Its Content-Type header.
        text: The message of its body, without secrets.
        origin: The server.
        organization: The organization that the call was made in.
        retry_after: The seconds that the server asked to wait, None if it did not.
        is_cvat: Whether the server ever sent what only CVAT sends.
    """
    if status == 404 and "organization does not exist" in text:
        return ConfigError(
            f"{origin} knows no organization {organization!r} of yours. Check its short name "
            "(slug), and that you are a member."
        )
    if not is_cvat and _shows_another_server(call, status, content_type):
        return ConfigError(
            f"{_subject(call)}: {origin} answered {status}, and has sent nothing that only CVAT "
            f"sends. {CHECK_URL}"
        )
    message = f"{_subject(call)}: {origin} answered {status}"
    if text:
        message += f", {text}"
    remedy = _remedy(call, status) or ("" if is_cvat else CHECK_URL)
    return response_error(
        status,
        f"{message.rstrip('.')}. {remedy}" if remedy else message,
        detail=text,
        task_id=call.task_id,
        rq_id=call.rq_id,
        step=call.step,
        retry_after=retry_after,
    )


def _shows_another_server(call: Call, status: int, content_type: str | None) -> bool:
    """Whether a refusal shows that a server is not CVAT, if it never spoke as CVAT does.

    A refusal of a call about one task or request shows nothing: CVAT, or a proxy before it, may
    answer that the task or request does not exist.
    """
    of_one_thing = call.task_id is not None or call.rq_id is not None
    return status in _NO_SUCH_CALL and not is_json(content_type) and not of_one_thing


def _remedy(call: Call, status: int) -> str:
    """Return a sentence on what to do about a refusal, "" if that is unknown."""
    if call.task_id is not None and call.step in ("detail", "export", "upload"):
        # CVAT answers 404 or 403 for a task that the user may not see.
        if status == 404:
            return "There is no such task, or this user may not see it."
        if status == 403:
            what = "annotate" if call.step == "upload" else "see or export"
            return f"This user may not {what} it. Ask for access, or use another account."
    if status == 400 and call.step == "list" and "filter" in call.params:
        return (
            "Check the filter: its variables are those that CVAT filters by, such as id, name, "
            "status, owner, assignee, project_name or updated_date."
        )
    return _REMEDIES.get(status, "")


def _subject(call: Call) -> str:
    """Return the name of a call for messages: its step, and its task if it is about one."""
    if call.task_id is not None:
        return f"{call.step} of task {call.task_id}"
    return call.step

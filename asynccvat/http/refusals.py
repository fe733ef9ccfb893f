"""Word the errors for refused calls: which call it was, who refused it, and what to do.

Pure functions. `core.wire.responders` recognises who refused, and `core.wire.responses` chooses the
error class for a status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from asynccvat.core.wire.responders import Responder, Sender, recognise
from asynccvat.core.wire.responses import is_json, response_error
from asynccvat.core.wire.server_versions import oldest_text
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    GatewayError,
    ResponseError,
    ServerError,
)
from asynccvat.http.calls import Call
from asynccvat.http.route import Route

CHECK_URL = "Check that the URL is that of a CVAT server."
_ASK_FOR_A_WAY = (
    "Ask its administrator to let /api/ pass, or for a header or a client certificate that "
    "programs may use, and give that with --header or --client-cert."
)

_REMEDIES = {
    401: "The token may have expired. Log in again with `asynccvat login`, or give a valid token.",
    403: "Ask for access, or use another account or organization.",
    414: "Select less at once.",
    429: "Run less at once, or run again later.",
}
# A user's quota, by the words of hosted servers.
_LIMIT = re.compile(r"maximum number|quota|limit\b.*\b(?:reached|exceeded)", re.IGNORECASE)

# The statuses with which a server that is not CVAT answers CVAT's calls.
_NO_SUCH_CALL = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that refuses a call, or that CVAT would not send.

    Attributes:
        status: Its status.
        content_type: Its Content-Type header.
        headers: All headers.
        body: The beginning of its body.
        text: The message of the body on one line, without secrets.
    """

    status: int
    content_type: str | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    text: str

    @property
    def sender(self) -> Sender:
        """Who sent it."""
        return recognise(self.status, self.headers, self.body)

    @property
    def said(self) -> str:
        """Status and message, as a part of a sentence."""
        text = self.text.removeprefix(str(self.status)).strip()
        return f"{self.status}, {text}" if text else str(self.status)


def refusal(
    call: Call,
    answer: Answer,
    route: Route,
    *,
    organization: str | None,
    retry_after: float | None,
    is_cvat: bool,
) -> AsyncCvatError:
    """Return the error for a response with an unexpected status.

    Args:
        call: The refused call.
        answer: The response.
        route: The way to the server.
        organization: The organization that the call was made in.
        retry_after: The seconds that the server asked to wait, None if it did not.
        is_cvat: Whether the server ever sent what only CVAT sends.
    """
    status = answer.status
    if status == 404 and "organization does not exist" in answer.text:
        return ConfigError(
            f"{route.origin} knows no organization {organization!r} of yours. Check its short name "
            "(slug), and that you are a member."
        )
    if "plain HTTP request was sent to HTTPS port" in answer.text:
        other = f"https{route.origin.removeprefix('http')}"
        return ConfigError(f"no answer from {route.origin}: its port speaks https. Write {other}.")
    if error := interception(call, answer, route):
        return error
    sender = answer.sender
    if not is_cvat and (error := _refusal_of_stranger(call, answer, route, sender)):
        return error
    if sender.kind is Responder.NO_ROUTE and call.step == "export":
        return ConfigError(
            f"{_subject(call)}: {route.origin} has no such call ({call.path}). Update the server "
            f"to CVAT {oldest_text()} or later, or check whether a gateway changes paths."
        )
    who, remedy = route.origin, _remedy(call, answer)
    if sender.kind is Responder.GATEWAY:
        who, remedy = _who(sender, route), _remedy_of_gateway(status)
    message = f"{_subject(call)}: {who} answered {answer.said}"
    remedy = remedy or ("" if is_cvat or sender.kind is Responder.GATEWAY else CHECK_URL)
    if remedy:
        message = f"{message.rstrip('.')}. {remedy}"
    if sender.kind is Responder.GATEWAY and status == 403 and call.task_id is None:
        return GatewayError(message, status=status, detail=answer.text, step=call.step)
    error = response_error(
        status,
        message,
        detail=answer.text,
        task_id=call.task_id,
        rq_id=call.rq_id,
        step=call.step,
        retry_after=retry_after,
    )
    if sender.kind is Responder.GATEWAY and status == 404:
        # A gateway without a way to CVAT knows nothing of tasks: this is an outage.
        return ServerError(
            error.message, status=404, detail=answer.text, task_id=call.task_id, step=call.step
        )
    return error


def _refusal_of_stranger(
    call: Call, answer: Answer, route: Route, sender: Sender
) -> AsyncCvatError | None:
    """Return the error for a server that never spoke as CVAT does, None if it may be CVAT."""
    if _shows_another_server(call, answer.status, answer.content_type, sender):
        return ConfigError(
            f"{_subject(call)}: {route.origin} answered {answer.status}, and has sent nothing that "
            f"only CVAT sends. {CHECK_URL}"
        )
    if answer.status == 403 and sender.kind is Responder.UNKNOWN:
        return GatewayError(
            f"{_subject(call)}: {route.origin} answered {answer.said.rstrip('.')}. It has sent "
            "nothing that only CVAT sends. Ask the administrator of the gateway before it, or "
            "check the URL.",
            status=answer.status,
            detail=answer.text,
            task_id=call.task_id,
            rq_id=call.rq_id,
            step=call.step,
        )
    return None


def interception(call: Call, answer: Answer, route: Route) -> AsyncCvatError | None:
    """Return the error for a response of something before CVAT that stopped the call.

    Returns:
        None if the response may be that of CVAT, or of a gateway that only passes calls on.
    """
    sender = answer.sender
    subject, who = _subject(call), _who(sender, route)
    match sender.kind:
        case Responder.PROXY:
            return proxy_refusal(answer.status, answer.text, route, name=sender.name)
        case Responder.ASKS_TO_LOG_IN:
            message = (
                f"{subject}: {who} asks for a login of its own{_login(sender)}, so CVAT was not "
                f"reached. {_ASK_FOR_A_WAY}"
            )
            if sender.scheme:
                message += " The token of CVAT needs the Authorization header for itself."
        case Responder.LOGIN_PAGE if answer.status == 511:
            message = (
                f"{subject}: the network on the way to {route.origin} wants a login first (511). "
                "Log in with a browser, and run again."
            )
        case Responder.LOGIN_PAGE:
            message = (
                f"{subject}: {who} answered with a login page, so CVAT was not reached. "
                f"{_ASK_FOR_A_WAY}"
            )
        case Responder.CHALLENGE:
            message = (
                f"{subject}: {who} answered {answer.status} with a check for a browser, which no "
                f"program passes, so CVAT was not reached. {_ASK_FOR_A_WAY}"
            )
        case Responder.WANTS_CERTIFICATE:
            message = f"{subject}: {who} {certificate_wanted(route)}"
        case Responder.USER_INTERFACE:
            return ConfigError(
                f"{subject}: {route.origin} answered with CVAT's user interface instead of its "
                "API. Check address and port, and that the web server passes /api/ to CVAT."
            )
        case _:
            return None
    return GatewayError(
        message,
        status=answer.status,
        detail=answer.text,
        task_id=call.task_id,
        rq_id=call.rq_id,
        step=call.step,
    )


def login_refusal(error: AsyncCvatError, origin: str, user: str) -> AuthenticationError | None:
    """Return the error for a login that CVAT refused, None if it failed in another way."""
    status = getattr(error, "status", 0)
    if status not in (400, 401, 403) or not isinstance(error, ResponseError):
        return None
    said = error.detail.rstrip(".") or f"it answered {status}"
    return AuthenticationError(
        f"{origin} refuses the login of {user!r}: {said}. Check user name and password.",
        status=status,
        step="login",
    )


def login_redirect(call: Call, status: int, route: Route, elsewhere: str | None) -> GatewayError:
    """Return the error for a redirect to a login page, on the server itself or elsewhere."""
    where = "its own login page" if elsewhere is None else f"a login page at {elsewhere}"
    return GatewayError(
        f"{_subject(call)}: a gateway before {route.origin} redirects to {where}, so CVAT was not "
        f"reached. {_ASK_FOR_A_WAY}",
        status=status,
        task_id=call.task_id,
        rq_id=call.rq_id,
        step=call.step,
    )


def proxy_refusal(status: int, text: str, route: Route, *, name: str = "") -> ConnectError:
    """Return the error for a proxy on this side that does not pass calls on.

    Args:
        status: The status of its response.
        text: The message of that response.
        route: The way to the server.
        name: The program's name, "" if it is unknown.
    """
    proxy = route.proxy
    shown = f"the proxy {proxy}" if proxy is not None else f"a proxy before {route.origin}"
    if name:
        shown += f", {name},"
    if status == 407:
        if proxy is not None and proxy.username is not None:
            why = "refuses its user and password"
            what = f"Correct them in {proxy.source}."
        else:
            why = "asks for a user and a password"
            what = "Give them in its address, like --proxy http://user:password@host:3128."
    else:
        why = f"does not pass calls on to {route.origin}: {status}" + (f", {text}" if text else "")
        what = "Ask its administrator."
        if proxy is not None and proxy.excludes:
            what = f"Ask its administrator, or add {proxy.excludes} to NO_PROXY."
        if status >= 500:
            what = f"Check the URL, and that the proxy can reach it. {what}"
    return ConnectError(f"{shown} {why.rstrip('.')}. {what}", retryable=status >= 500)


def certificate_wanted(route: Route) -> str:
    """Return what a gateway says that wants a client certificate, and what to do about it."""
    if route.certificate:
        return (
            f"does not accept the client certificate {route.certificate!r}. Check that it is "
            "valid, and of the authority that the gateway trusts."
        )
    return "wants a client certificate. Give it with --client-cert and --client-key."


def _who(sender: Sender, route: Route) -> str:
    return f"{sender.name or 'a gateway'} before {route.origin}"


def _login(sender: Sender) -> str:
    if not sender.scheme:
        return ""
    return f" ({sender.scheme}, {sender.realm!r})" if sender.realm else f" ({sender.scheme})"


def _shows_another_server(
    call: Call, status: int, content_type: str | None, sender: Sender
) -> bool:
    """Whether a refusal shows that a server is not CVAT, if it never spoke as CVAT does.

    A refusal of a call about one task or request shows nothing: CVAT, or a proxy before it, may
    answer that the task or request does not exist.
    """
    of_one_thing = call.task_id is not None or call.rq_id is not None
    of_cvat = sender.kind in (Responder.CVAT, Responder.NO_ROUTE)
    return status in _NO_SUCH_CALL and not (is_json(content_type) or of_one_thing or of_cvat)


def _remedy(call: Call, answer: Answer) -> str:
    """Return a sentence on what to do about a refusal, "" if that is unknown."""
    status = answer.status
    if status == 403 and _LIMIT.search(answer.text):
        return "Make room at the server, or use another account or organization."
    if call.task_id is not None and call.step in ("detail", "export", "upload"):
        # CVAT answers 404 or 403 for a target that the user may not see.
        if status == 404:
            return f"There is no such {call.target}, or this user may not see it."
        if status == 403:
            what = "annotate" if call.step == "upload" else "see or export"
            return f"This user may not {what} it. Ask for access, or use another account."
    if call.step == "delete" and status == 403:
        return "This user may not delete it. Ask its owner, or use another account."
    if status == 400 and call.step == "list" and "filter" in call.params:
        return (
            "Check the filter: its variables are those that CVAT filters by, such as id, name, "
            "status, owner, assignee, project_name or updated_date."
        )
    return _REMEDIES.get(status, "")


def _remedy_of_gateway(status: int) -> str:
    """Return what to do about a refusal by a gateway that passes other calls on."""
    if status == 404:  # Traefik answers it, too, while CVAT is down
        return (
            "It has no way to CVAT for this call. Check that the server runs, and that the gateway "
            "passes all of /api/ on."
        )
    if status in (502, 503, 504) or 520 <= status <= 530:
        return "CVAT behind it does not answer. Check that the server runs, or try again later."
    if status in (403, 405, 501):
        return "CVAT was not reached. Ask the gateway's administrator."
    return _REMEDIES.get(status, "")


_OF_TARGETS = {
    "detail": "cannot read {}",
    "export": "cannot export {}",
    "upload": "cannot upload to {}",
    "download": "cannot download the export of {}",
    "annotations": "cannot read the annotations of {}",
    "delete": "cannot delete {}",
    "issues": "cannot read the open issues of {}",
}
_OF_OTHERS = {
    "about": "cannot read the server's version",
    "cancel": "cannot cancel a request",
    "create": "cannot create a task",
    "create project": "cannot create a project",
    "download": "cannot download an export",
    "formats": "cannot list the formats",
    "labels": "cannot read labels",
    "login": "cannot log in",
    "probe": "the server cannot serve requests",
    "project": "cannot read the project",
    "user": "cannot read the user",
    "wait": "cannot read a request",
}


def _subject(call: Call) -> str:
    """Say what failed with a call: what its step is for, and the target if it is about one."""
    if call.purpose:
        return f"cannot {call.purpose}"
    if call.task_id is not None:
        named = f"{call.target} {call.task_id}"
        return _OF_TARGETS.get(call.step, f"{call.step} of {{}} failed").format(named)
    if call.step == "list":
        return f"cannot list the {call.path.rpartition('/')[2]}"
    return _OF_OTHERS.get(call.step, f"{call.step} failed")

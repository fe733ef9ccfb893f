"""One server's HTTP session: origin rule, credentials, timeouts, retries, the Retry-After gate.

Every exchange of a client goes through `HttpSession.call` (a whole answer) or
`HttpSession.open_stream` (a download). Redirects are followed for GET within the configured origin
only, cookies are not kept (with a session cookie CVAT wants CSRF tokens), and failures are
errors of asynccvat alone. What the calls mean is left to `client`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar
from urllib.parse import urlencode, urljoin

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.responses import (
    ByteRange,
    error_text,
    is_json,
    media_type,
    parse_date,
    parse_retry_after,
    response_error,
)
from asynccvat.core.retry import GiveUp
from asynccvat.core.urls import ServerUrl, origin_of
from asynccvat.core.version import VERSION
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    ProtocolError,
    RateLimitError,
)
from asynccvat.http.authorization import Authorization, Credentials
from asynccvat.http.calls import Call, HttpOptions, Response
from asynccvat.http.connection import Connection
from asynccvat.http.exchange import Exchange
from asynccvat.http.refusals import is_of_no_cvat, remedy_for, subject
from asynccvat.http.result_stream import ResultStream
from asynccvat.http.retry_after import RetryAfterGate, Timing
from asynccvat.http.retry_budget import SharedBudget

T = TypeVar("T")

_log = logging.getLogger(__name__)

# `application/json` and `application/zip` alone are both answered with 406 by CVAT.
_ACCEPT = "application/vnd.cvat+json, */*"
_USER_AGENT = f"asynccvat/{VERSION}"
_MAX_REDIRECTS = 5
_NO_SLUG = re.compile(r"[^\x21-\x7e]")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _Login(msgspec.Struct):
    key: str


_LOGIN = msgspec.json.Decoder(_Login)


@dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    on_retry: Callable[[str, int | None, AsyncCvatError, float], None] | None
    on_pause: Callable[[float], None] | None


class HttpSession:
    """Exchanges with one server. Use it as an async context manager.

    Attributes:
        server: The configured address.
        organization: Its slug; "" for the personal workspace, None for no narrowing.
        server_date: The latest `Date` that the server sent, None before the first.
        budget: The retries that all who use the session share.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        organization: str | None = None,
        options: HttpOptions | None = None,
        timing: Timing | None = None,
    ) -> None:
        if organization is not None and _NO_SLUG.search(organization):
            raise ConfigError(
                f"{organization!r} cannot be an organization's short name (slug); give the one "
                "that its page in CVAT shows"
            )
        self.server = ServerUrl.parse(url)
        self.server_date: datetime | None = None
        self._options = options or HttpOptions()
        self.organization = organization
        self._authorization = Authorization(credentials, self._log_in)
        self._connection = Connection(self.server, self._options)
        self.budget = SharedBudget()
        self._listeners: list[_Listener] = []
        self._timing = timing or Timing()
        self._gate = RetryAfterGate(self._timing)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server.origin!r})"

    async def open(self) -> None:
        """Make the pool of connections; nothing is sent yet.

        Raises:
            ConfigError: The CA bundle or the proxy cannot be used.
            RuntimeError: The session is open, or the given connector cannot be used.
        """
        await self._connection.open()

    async def close(self) -> None:
        """Close all connections; a session that is closed may be opened again."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def requests_sent(self) -> int:
        """Requests sent so far: logins, redirects and retries included."""
        return self._connection.requests_sent

    @contextmanager
    def listening(
        self,
        *,
        on_retry: Callable[[str, int | None, AsyncCvatError, float], None] | None = None,
        on_pause: Callable[[float], None] | None = None,
    ) -> Iterator[None]:
        """Be told of retries (step, task, error, delay) and pauses (seconds) while inside."""
        listener = _Listener(on_retry, on_pause)
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def log_in(self) -> None:
        """Log in now if that is due, rather than with the first call that needs it.

        Raises:
            AuthenticationError: User or password are refused.
        """
        login = Call(method="POST", path="/api/auth/login", step="login")
        await self._retrying(login, self._authorization.header)

    async def call(self, call: Call) -> Response:
        """Make a call and read its whole answer.

        Raises:
            AsyncCvatError: A subclass that says what failed; see `asynccvat.errors`.
        """
        return await self._retrying(call, lambda: self._answer(call))

    async def open_stream(self, call: Call, asked: ByteRange | None) -> ResultStream:
        """Start a download; the caller reads it, closes it, and asks again if it breaks.

        Raises:
            AsyncCvatError: A subclass that says what failed; see `asynccvat.errors`.
        """
        exchange = await self._retrying(call, lambda: self._open(call, auto_decompress=False))
        try:
            return ResultStream(exchange, asked)
        except ProtocolError as error:
            exchange.close()
            error.task_id, error.step = call.task_id, call.step
            raise

    async def _retrying(self, call: Call, once: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            try:
                return await once()
            except AsyncCvatError as error:
                if error.step is None:
                    error.step = call.step
                error.task_id = error.task_id or call.task_id
                error.rq_id = error.rq_id or call.rq_id
                if not call.retry:
                    raise
                failure = error
            await self.retry_or_raise(failure, attempt)
            attempt += 1

    async def retry_or_raise(self, error: AsyncCvatError, attempt: int) -> None:
        """Wait as long as is right before a failed step is tried again, out of the shared budget.

        Args:
            error: What happened; its step and its task are those of the call.
            attempt: How many retries of this step there were.

        Raises:
            AsyncCvatError: That very error, where trying again is not right.
        """
        # A server that never answered is a wrong URL more often than a passing trouble.
        if isinstance(error, ConnectError) and not self._connection.answered:
            raise error
        decision = self.budget.decide(error, attempt, self._options.policy, self._timing)
        if isinstance(decision, GiveUp):
            raise error
        delay = decision.delay
        _log.debug("%s: retry %d in %.1f s after: %s", error.step, attempt + 1, delay, error)
        if isinstance(error, RateLimitError) and error.retry_after is None:
            # Asked to slow down without a time: everyone waits as long as this call.
            self._pause(delay)
        for listener in tuple(self._listeners):
            if listener.on_retry is not None:
                listener.on_retry(error.step or "", error.task_id, error, delay)
        await self._timing.sleep(delay)

    async def back_off(self, attempt: int) -> None:
        """Wait as before a retry, where nothing failed: for something that is still to come."""
        await self._timing.sleep(self._options.policy.backoff(attempt, self._timing.jitter()))

    async def _answer(self, call: Call) -> Response:
        exchange = await self._open(call)
        try:
            return Response(
                exchange.status,
                exchange.header("Content-Type"),
                await exchange.read(),
                parse_date(exchange.header("Date")),
                exchange.response.headers,
            )
        finally:
            exchange.close()

    async def _open(self, call: Call, *, auto_decompress: bool = True) -> Exchange:
        """Make one attempt, up to the headers of an expected response; the caller closes it."""
        url = self._url(call)
        renewed = False
        for _ in range(_MAX_REDIRECTS):
            header = None if call.anonymous else await self._authorization.header()
            exchange = await self._send(call, url, header, auto_decompress)
            if exchange.status in call.expect:
                self._authorization.accepted(header)
                return exchange
            try:
                if exchange.status in _REDIRECTS:
                    url = self._redirected(call, url, exchange)
                    continue
                failure = await self._refusal(call, exchange)
            finally:
                exchange.close()
            if exchange.status != 401:
                self._authorization.accepted(header)
            elif not renewed and self._authorization.renewable(header):
                renewed = True
                continue
            raise failure
        raise ProtocolError(f"{self.server.origin} redirects in a circle; check the server URL")

    async def _send(
        self, call: Call, url: str, header: str | None, auto_decompress: bool
    ) -> Exchange:
        headers = {"Accept": _ACCEPT, "User-Agent": _USER_AGENT, **call.headers}
        if header is not None:
            headers["Authorization"] = header
        if self.organization and not call.anonymous:
            headers["X-Organization"] = self.organization
        await self._gate.wait()
        exchange = await self._connection.send(
            call.method,
            url,
            headers,
            json=call.json,
            body=call.body,
            auto_decompress=auto_decompress,
        )
        date = parse_date(exchange.header("Date"))
        if date is not None and (self.server_date is None or date > self.server_date):
            self.server_date = date
        return exchange

    def _url(self, call: Call) -> str:
        params = dict(call.params)
        if self.organization == "" and not call.anonymous and "?" not in call.path:
            # The personal workspace alone; an empty header would mean nothing.
            params["org"] = ""
        return f"{self.server.origin}{call.path}" + (f"?{urlencode(params)}" if params else "")

    def _redirected(self, call: Call, url: str, exchange: Exchange) -> str:
        location = exchange.header("Location") or ""
        target = self.server.redirect_target(url, location)
        if target is not None and call.method == "GET":
            return target
        elsewhere = origin_of(urljoin(url, location))
        if elsewhere is None or elsewhere == self.server.origin:
            raise response_error(
                exchange.status,
                f"{self.server.origin} redirects the {call.step} call, which is not followed; "
                "check the server URL",
            )
        raise ConfigError(
            f"{self.server.origin} redirects to {elsewhere}, where no credentials are sent; if "
            f"that is the CVAT server, give {elsewhere} as its URL"
        )

    async def _refusal(self, call: Call, exchange: Exchange) -> AsyncCvatError:
        """The error that an unexpected status stands for; closes the gate where it asks to."""
        content_type = exchange.header("Content-Type")
        body = await exchange.read_error()
        status = exchange.status
        text = self._redacted(error_text(content_type, body))
        if status == 404 and "organization does not exist" in text:
            return ConfigError(
                f"{self.server.origin} knows no organization {self.organization!r} of yours; "
                "check its short name (slug) and that you are a member"
            )
        retry_after = None
        if status in (429, 503):
            date = parse_date(exchange.header("Date"))
            retry_after = parse_retry_after(exchange.header("Retry-After"), date)
            if retry_after is not None:
                self._pause(self._options.policy.pause(retry_after))
        if not self._connection.is_cvat and is_of_no_cvat(call, status, content_type):
            return ConfigError(
                f"{subject(call)}: {self.server.origin} answered {status}, and nothing that it "
                "sent is CVAT's; check that the URL is that of a CVAT server"
            )
        remedy = remedy_for(call, status)
        if not remedy and not self._connection.is_cvat:
            remedy = "; check that the URL is that of a CVAT server"
        return response_error(
            status,
            f"{subject(call)}: {self.server.origin} answered {status}"
            + (f", {text}" if text else "")
            + remedy,
            detail=text,
            task_id=call.task_id,
            rq_id=call.rq_id,
            step=call.step,
            retry_after=retry_after,
        )

    def _pause(self, seconds: float) -> None:
        if self._gate.close_for(seconds):
            for listener in tuple(self._listeners):
                if listener.on_pause is not None:
                    listener.on_pause(seconds)

    async def _log_in(self, body: dict[str, str]) -> str:
        call = Call(
            method="POST",
            path="/api/auth/login",
            step="login",
            json=body,
            expect=(200, 400, 401, 403),
            anonymous=True,
        )
        # Tried again, if at all, with the call that needs it.
        answer = await self._answer(call)
        if answer.status != 200:
            raise AuthenticationError(
                f"{self.server.origin} refuses the login of {next(iter(body.values()))!r}: "
                f"{self._redacted(answer.text)}; check user name and password",
                status=answer.status,
                step="login",
            )
        return self.decode(answer, _LOGIN).key

    def decode(self, answer: Response, decoder: msgspec.json.Decoder[T]) -> T:
        """Decode the JSON of an answer.

        Raises:
            ConfigError: It is no JSON, and the server never sent what only CVAT sends.
            ProtocolError: It is no JSON, or not the JSON that was due.
        """
        if not is_json(answer.content_type):
            what = media_type(answer.content_type) or "something"
            # One that never spoke as CVAT is a wrong URL rather than a server out of order.
            kind = ProtocolError if self._connection.is_cvat else ConfigError
            raise kind(
                f"{self.server.origin} sent {what} where JSON was due; check that the URL is that "
                "of a CVAT server"
            )
        try:
            return decoder.decode(answer.body)
        except UNREADABLE as error:
            raise ProtocolError(
                f"{self.server.origin} sent JSON that cannot be read: {error}"
            ) from error

    def _redacted(self, text: str) -> str:
        for secret in self._authorization.secrets:
            text = text.replace(secret, "***")
        return text

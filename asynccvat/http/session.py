"""One server's HTTP session: calls with credentials, redirects, refusals and retries.

All exchanges of a client go through `HttpSession.call`, which reads the whole response, or
`HttpSession.open_stream`, which begins a download. Redirects are followed only for GET, and only
within the configured origin. All failures are errors of asynccvat.

`connection` sends the requests, `retries` waits between them, and `client` knows what they mean.
`unexpected` makes the errors of responses that no call expects.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import anyio

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.version import VERSION
from asynccvat.core.wire.proxies import Proxy
from asynccvat.core.wire.responses import (
    ByteRange,
    is_json,
    media_type,
    parse_date,
    parse_retry_after,
)
from asynccvat.core.wire.urls import ServerUrl
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ConnectError,
    GatewayError,
    ProtocolError,
    ReadError,
    ServerError,
    StallError,
    TransportError,
)
from asynccvat.http.authorization import Authorization, Credentials
from asynccvat.http.calls import Call, HeldBackError, HttpOptions, Response, described_type
from asynccvat.http.connection import Connection
from asynccvat.http.exchange import Exchange
from asynccvat.http.listeners import current_listener
from asynccvat.http.login import PasswordLogin
from asynccvat.http.refusals import CHECK_URL
from asynccvat.http.result_stream import ResultStream
from asynccvat.http.retries import Retries
from asynccvat.http.retry_after import Timing
from asynccvat.http.scheme_probe import wrong_scheme
from asynccvat.http.unexpected import UnexpectedResponses

T = TypeVar("T")
DecodedT_co = TypeVar("DecodedT_co", covariant=True)

# CVAT answers 406 to `application/json` alone, and to `application/zip` alone.
_ACCEPT = "application/vnd.cvat+json, */*"
_USER_AGENT = f"asynccvat/{VERSION}"
_MAX_REDIRECTS = 5
_NOT_IN_SLUGS = re.compile(r"[^\x21-\x7e]")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Decoder(Protocol[DecodedT_co]):
    """Decodes JSON. It raises `UNREADABLE`."""

    def decode(self, body: bytes, /) -> DecodedT_co: ...


_PROBE_SECONDS = 10.0
_MOST_OUTAGES = 3
_ABOUT = Call(
    method="GET",
    path="/api/server/about",
    step="probe",
    retry=False,
    during_outage=True,
)
# While the login is due, which may be the call that failed.
_ABOUT_WITHOUT_LOGIN = replace(_ABOUT, anonymous=True)
_REQUESTS = Call(
    method="GET",
    path="/api/requests",
    step="probe",
    params={"page_size": "1"},
    retry=False,
    during_outage=True,
)


def _status_of(rq_id: str) -> Call:
    return replace(_REQUESTS, path=f"/api/requests/{quote(rq_id, safe='')}", params={})


class HttpSession:
    """Make calls to one server. Use it as an async context manager.

    Args:
        url: The server's address.
        credentials: The user's credentials.
        organization: The organization's short name (slug); "" for the personal workspace, None
            for all that the user may see.
        options: How to connect.
        timing: Time and randomness; tests replace them.

    Attributes:
        server: The configured address.
        organization: As given.
        server_date: The latest `Date` header of the server, None before the first.
        retries: The retries and pauses of all users of the session.

    Raises:
        ConfigError: URL or organization cannot be used.
        TypeError: URL or organization is not a string.
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
        if not isinstance(url, str):
            raise TypeError(f"url must be a string, not {described_type(url)}")
        if organization is not None and not isinstance(organization, str):
            raise TypeError(f"organization must be a string, not {described_type(organization)}")
        if organization is not None and _NOT_IN_SLUGS.search(organization):
            raise ConfigError(
                f"{organization!r} cannot be an organization's short name (slug). Give the short "
                "name that its page in CVAT shows."
            )
        self.server = ServerUrl.parse(url)
        self.server_date: datetime | None = None
        self._options = options or HttpOptions()
        self.organization = organization
        self._connection = Connection(self.server, self._options)
        login = PasswordLogin(
            self.server, self._call_once, self.decode, lambda: self._connection.is_cvat
        )
        self._authorization = Authorization(credentials, login.token)
        self._unexpected = UnexpectedResponses(
            self.server,
            organization,
            self._connection,
            self._authorization,
            self._options.headers,
        )
        self._scheme_checked = False
        self._waits = 0  # calls that had to wait for a pause or an outage
        # Preferably a request whose status was read before: a damaged one must show no outage.
        self._known_request: str | None = None
        self.retries = Retries(self._options.policy, timing or Timing(), self.probe)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server.address!r})"

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
    def proxy(self) -> Proxy | None:
        """The proxy on the way, once the session is open; None for none."""
        return self._connection.route.proxy

    @property
    def requests_sent(self) -> int:
        """Requests sent so far, including logins, redirects and retries."""
        return self._connection.requests_sent

    @property
    def token(self) -> str | None:
        """The token that calls are made with: the given one, or the login's key."""
        return self._authorization.token

    @property
    def logs_in(self) -> bool:
        """Whether calls are made with the key of a login with a password."""
        return self._authorization.logs_in

    @property
    def options(self) -> HttpOptions:
        """How to connect."""
        return self._options

    @property
    def has_access_token(self) -> bool:
        """Whether the calls are made with a personal access token."""
        return self._authorization.is_access_token

    async def log_in(self) -> None:
        """Log in now if a login is due, instead of with the first call that needs it.

        Raises:
            AuthenticationError: User name or password are refused.
        """
        login = Call(method="POST", path="/api/auth/login", step="login")
        await self._retrying(login, self._authorization.header)

    async def call(self, call: Call) -> Response:
        """Make a call and read its whole response.

        Raises:
            AsyncCvatError: The call failed; its subclasses tell how (see `asynccvat.errors`).
            HeldBackError: A call with `at_once` had to wait. It was not sent.
        """
        return await self._retrying(call, lambda: self._call_once(call))

    async def open_stream(self, call: Call, requested: ByteRange | None) -> ResultStream:
        """Begin a download. The caller reads and closes it, and calls again if it breaks.

        Args:
            call: The call, with its Range header.
            requested: The part that the header requests, None for the whole archive.

        Raises:
            AsyncCvatError: The call failed; its subclasses tell how (see `asynccvat.errors`).
        """
        exchange = await self._retrying(call, lambda: self._open(call, auto_decompress=False))
        try:
            if media_type(exchange.header("Content-Type")) == "text/html":
                error = await self._unexpected.interception(call, exchange)
                if error is not None:
                    exchange.close()
                    raise error
            return ResultStream(exchange, requested)
        except ProtocolError as error:
            exchange.close()
            error.task_id, error.step = call.task_id, call.step
            raise

    async def _retrying(self, call: Call, once: Callable[[], Awaitable[T]]) -> T:
        attempt = outages = 0
        while True:
            try:
                result = await once()
            except AsyncCvatError as error:
                if error.step is None:
                    error.step = call.step
                error.task_id = error.task_id or call.task_id
                error.rq_id = error.rq_id or call.rq_id
                if isinstance(error, TransportError | ServerError):
                    self.retries.outages.note_failure()
                if not call.retry:
                    raise
                failure = error
            else:
                self.retries.outages.note_answer()
                if call.rq_id is not None:
                    self._known_request = call.rq_id
                return result
            # A call that ends the server each time must not be sent for ever.
            may_outwait = outages < _MOST_OUTAGES
            if await self.retry_or_raise(failure, attempt, may_outwait=may_outwait):
                attempt, outages = 0, outages + 1
            else:
                attempt += 1

    async def retry_or_raise(
        self, error: AsyncCvatError, attempt: int, *, may_outwait: bool = True
    ) -> bool:
        """Wait for the right time to retry a failed step, or raise its error.

        Args:
            error: The failure, with the call's step and task.
            attempt: The number of retries of this step so far.
            may_outwait: Whether an outage of the server may be waited for.

        Returns:
            Whether there was an outage. If not, the failure is the step's own.

        Raises:
            AsyncCvatError: `error` itself, if the step should not be retried.
            OutageError: The server does not answer any more.
        """
        answered = self._connection.answered
        # If a server never answered, a wrong URL is more likely than a temporary failure.
        if not answered:
            if isinstance(error, ConnectError | ReadError) and self._connection.direct:
                await self._check_scheme(error)
            if isinstance(error, ConnectError):
                raise error
        return await self.retries.retry_or_raise(
            error, attempt, may_outwait=may_outwait and answered
        )

    async def _check_scheme(self, error: ConnectError | ReadError) -> None:
        """Raise a better error if the server speaks the other one of http and https; asks once."""
        if self._scheme_checked:
            return
        self._scheme_checked = True
        other = await wrong_scheme(self.server)
        if other is not None:
            other.step = error.step
            raise other from error

    async def _call_once(self, call: Call) -> Response:
        exchange = await self._open(call)
        try:
            response = Response(
                exchange.status,
                exchange.header("Content-Type"),
                await exchange.read(),
                parse_date(exchange.header("Date")),
                exchange.response.headers,
            )
        finally:
            exchange.close()
        if not is_json(response.content_type):
            error = self._unexpected.stranger(call, response)
            if error is not None:
                raise error
        return response

    async def _open(self, call: Call, *, auto_decompress: bool = True) -> Exchange:
        """Make one attempt, up to the headers of an expected response; the caller closes it."""
        url = self._url(call)
        renewed, waits = False, self._waits
        for _ in range(_MAX_REDIRECTS):
            header = None if call.anonymous else await self._authorization.header()
            if await self.retries.wait_until_free(during_outage=call.during_outage):
                self._waits += 1
            # A login in between may have waited, too.
            if call.at_once and self._waits != waits:
                raise HeldBackError
            exchange = await self._send(call, url, header, auto_decompress)
            if exchange.status in call.expect:
                self._authorization.note_accepted(header)
                return exchange
            try:
                if exchange.status in _REDIRECTS:
                    url = self._unexpected.redirect_target(call, url, exchange)
                    continue
                failure = await self._unexpected.refusal(
                    call, exchange, self._pause_if_asked(exchange)
                )
                failure.unanswered = exchange.unanswered
            finally:
                exchange.close()
            if isinstance(failure, GatewayError):
                raise failure  # the header was not seen by CVAT
            if exchange.status != 401:
                self._authorization.note_accepted(header)
            elif not renewed and self._authorization.discard(header):
                renewed = True
                continue
            raise failure
        raise ProtocolError(f"{self.server.address} redirects in a circle. Check the server URL.")

    async def _send(
        self, call: Call, url: str, header: str | None, auto_decompress: bool
    ) -> Exchange:
        headers = {
            "Accept": _ACCEPT,
            "User-Agent": _USER_AGENT,
            **self._options.headers,
            **call.headers,
        }
        if header is not None:
            headers["Authorization"] = header
        if self.organization and not call.anonymous:
            headers["X-Organization"] = self.organization
        current_listener().requests += 1
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
            # An empty X-Organization header would not select the personal workspace.
            params["org"] = ""
        return f"{self.server.address}{call.path}" + (f"?{urlencode(params)}" if params else "")

    def note_request(self, rq_id: str) -> None:
        """Note the id of a request that the server has accepted, for probes."""
        if self._known_request is None:
            self._known_request = rq_id

    async def probe(self) -> AsyncCvatError | None:
        """Ask the server for what concerns no task.

        While CVAT's Redis is down, it tells its version and lists tasks, but exports nothing. So
        its requests are listed, too. Either call can fail for ever while the server exports. If one
        fails, the status of a known request decides, which cannot be read without Redis either.

        Returns:
            Why the server cannot serve anyone now. None if it can, or refuses this user alone.
        """
        # With credentials if possible: CVAT throttles the anonymous calls of an address together,
        # and its pause would hold back the whole run.
        if not self._authorization.is_known:
            return await self._failure_of(_ABOUT_WITHOUT_LOGIN)
        error = await self._failure_of(_ABOUT)
        if isinstance(error, TransportError):
            return error  # other calls would not arrive either
        error = error or await self._failure_of(_REQUESTS)
        if error is None or self._known_request is None:
            return error
        return await self._failure_of(_status_of(self._known_request)) and error

    async def _failure_of(self, call: Call) -> AsyncCvatError | None:
        """Make a call of a probe. Returns why the server did not serve it, None if it did."""
        try:
            with anyio.fail_after(_PROBE_SECONDS):
                await self._call_once(call)
        except TimeoutError:
            return StallError(
                f"{self.server.origin} sent nothing for {_PROBE_SECONDS:g} s. Check the network "
                "and the server."
            )
        except (TransportError, ServerError) as error:
            return error
        except AsyncCvatError:
            return None
        return None

    def _pause_if_asked(self, exchange: Exchange) -> float | None:
        """Hold all calls back for the seconds that the server asks for, and return these."""
        if exchange.status not in (429, 503):
            return None
        date = parse_date(exchange.header("Date"))
        retry_after = parse_retry_after(exchange.header("Retry-After"), date)
        if retry_after is not None:
            self.retries.pause(retry_after)
        return retry_after

    def decode(self, response: Response, decoder: Decoder[T]) -> T:
        """Decode the JSON of a response.

        Raises:
            ConfigError: The response is not JSON, and the server never sent what only CVAT sends.
            ProtocolError: The response is not JSON, or other JSON than expected.
        """
        if not is_json(response.content_type):
            what = media_type(response.content_type) or "a body without a type"
            # If the server never spoke as CVAT does, a wrong URL is the most likely cause.
            kind = ProtocolError if self._connection.is_cvat else ConfigError
            raise kind(f"{self.server.address} sent {what} instead of JSON. {CHECK_URL}")
        try:
            return decoder.decode(response.body)
        except UNREADABLE as error:
            said = f"{self.server.address} sent JSON that cannot be read: {error}"
            if not self._connection.is_cvat:
                said += f". {CHECK_URL}"
            raise ProtocolError(said) from error

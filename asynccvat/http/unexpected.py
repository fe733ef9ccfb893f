"""Tell what an unexpected response means: a refusal, a redirect, the page of a gateway.

`session` makes the calls and reads the responses. `refusals` words the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from asynccvat.core.wire.headers import secrets_of
from asynccvat.core.wire.responders import Responder, leads_to_email_check, leads_to_login
from asynccvat.core.wire.responses import error_text, response_error
from asynccvat.core.wire.urls import ServerUrl, origin_of
from asynccvat.errors import AsyncCvatError, AuthenticationError, ConfigError
from asynccvat.http.authorization import Authorization
from asynccvat.http.calls import Call, Response
from asynccvat.http.connection import Connection
from asynccvat.http.exchange import Exchange
from asynccvat.http.refusals import Answer, interception, login_redirect, refusal

_SHOWS_SENDER = 2**16
"""Bytes of a page in which its sender is looked for."""


class UnexpectedResponses:
    """Make errors of the responses of one server that no call expects."""

    def __init__(
        self,
        server: ServerUrl,
        organization: str | None,
        connection: Connection,
        authorization: Authorization,
        headers: Mapping[str, str],
    ) -> None:
        """Prepare for one server.

        Args:
            server: The configured address.
            organization: The organization of all calls.
            connection: Knows the way to the server, and whether CVAT ever answered.
            authorization: Knows the secrets that no error may show.
            headers: The user's own headers, which are secret as well.
        """
        self._server = server
        self._organization = organization
        self._connection = connection
        self._authorization = authorization
        self._headers = headers

    async def refusal(
        self, call: Call, exchange: Exchange, retry_after: float | None
    ) -> AsyncCvatError:
        """Return the error for an unexpected status.

        Args:
            call: The refused call.
            exchange: Its response, whose body is not read yet.
            retry_after: Seconds that the server asks to wait, None if it does not ask.
        """
        answer = await self._answer(exchange)
        error = refusal(
            call,
            answer,
            self._connection.route,
            organization=self._organization,
            retry_after=retry_after,
            is_cvat=self._connection.is_cvat,
        )
        if isinstance(error, AuthenticationError) and self._authorization.is_like_no_token:
            error.message += (
                " A token of CVAT looks different: if this is a password, give it with --username "
                "and --password."
            )
        return error

    async def interception(self, call: Call, exchange: Exchange) -> AsyncCvatError | None:
        """Return the error for a page that a gateway sent in place of an archive."""
        return interception(call, await self._answer(exchange), self._connection.route)

    def stranger(self, call: Call, response: Response) -> AsyncCvatError | None:
        """Return the error for a response that something before CVAT sent in its place.

        Also if its status is expected: a gateway's 404 says nothing of what CVAT has.
        """
        body = response.body[:_SHOWS_SENDER]
        text = self._redacted(error_text(response.content_type, body))
        headers = tuple(response.headers.items())
        answer = Answer(response.status, response.content_type, headers, body, text)
        route = self._connection.route
        error = interception(call, answer, route)
        if error is None and answer.status >= 400 and answer.sender.kind is Responder.GATEWAY:
            error = refusal(
                call,
                answer,
                route,
                organization=self._organization,
                retry_after=None,
                is_cvat=self._connection.is_cvat,
            )
        return error

    def redirect_target(self, call: Call, url: str, exchange: Exchange) -> str:
        """Return where to make a redirected call again.

        Raises:
            AsyncCvatError: The redirect is not followed. The error says where it leads.
        """
        location = exchange.header("Location") or ""
        target = self._server.redirect_target(url, location)
        absolute = urljoin(url, location)
        elsewhere = origin_of(absolute)
        path = urlsplit(absolute).path
        moved = path.rstrip("/") == urlsplit(url).path.rstrip("/")
        if call.step == "login" and target is not None and leads_to_email_check(path):
            raise AuthenticationError(
                f"{self._server.address} refuses the login: the user's e-mail address is not "
                "confirmed. Open the link in the e-mail that CVAT sent.",
                status=exchange.status,
                step="login",
            )
        if elsewhere is not None and not moved and leads_to_login(absolute):
            raise login_redirect(
                call,
                exchange.status,
                self._connection.route,
                None if elsewhere == self._server.origin else elsewhere,
            )
        if target is not None and call.method == "GET":
            return target
        if elsewhere is None or elsewhere == self._server.origin:
            raise response_error(
                exchange.status,
                f"{self._server.address} redirects the {call.step} call, which is not followed. "
                "Check the server URL.",
            )
        raise ConfigError(
            f"{self._server.address} redirects to {elsewhere}, where no credentials are sent. If "
            f"that is the CVAT server, give {elsewhere} as its URL."
        )

    async def _answer(self, exchange: Exchange) -> Answer:
        """Read what a refusal, or a response in place of another one, says."""
        content_type = exchange.header("Content-Type")
        body = await exchange.read_error()
        return Answer(
            exchange.status,
            content_type,
            tuple(exchange.response.headers.items()),
            body,
            self._redacted(error_text(content_type, body)),
        )

    def _redacted(self, text: str) -> str:
        proxy = self._connection.route.proxy
        secrets = (
            *self._authorization.secrets,
            *secrets_of(self._headers),
            *(() if proxy is None else proxy.secrets),
        )
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

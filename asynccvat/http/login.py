"""Log in with user name and password, and say what a refused login means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from asynccvat.core.wire.urls import ServerUrl
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    GatewayError,
    ResponseError,
)
from asynccvat.http.calls import Call, Response
from asynccvat.http.refusals import login_refusal


class _Login(msgspec.Struct):
    key: str


_LOGIN = msgspec.json.Decoder(_Login)


class PasswordLogin:
    """The login of one session. `authorization` decides when it is due."""

    def __init__(
        self,
        server: ServerUrl,
        call_once: Callable[[Call], Awaitable[Response]],
        decode: Callable[[Response, msgspec.json.Decoder[_Login]], _Login],
        is_cvat: Callable[[], bool],
    ) -> None:
        """Prepare logins.

        Args:
            server: The configured address.
            call_once: Makes a call without retries.
            decode: Decodes a response, or raises what is wrong with it.
            is_cvat: Whether a response ever had the media type that only CVAT sends.
        """
        self._server = server
        self._call_once = call_once
        self._decode = decode
        self._is_cvat = is_cvat

    async def token(self, body: dict[str, str]) -> str:
        """Log in once, and return the user's token.

        Args:
            body: User name or e-mail address, and password.

        Raises:
            AuthenticationError: The server refuses them, or has no login with a password.
            AsyncCvatError: The call failed in another way.
        """
        call = Call(
            method="POST",
            path="/api/auth/login",
            step="login",
            json=body,
            anonymous=True,
            # The probe may need it, and the call that it is for waits on its own.
            during_outage=True,
        )
        try:
            # Not retried here: the call that needs the login is retried as a whole.
            response = await self._call_once(call)
        except GatewayError:
            raise
        except (ConfigError, ResponseError) as error:
            refused = login_refusal(error, self._server.address, next(iter(body.values())))
            if refused is not None:
                raise refused from error
            if await self._without_passwords(error):
                raise AuthenticationError(
                    f"{self._server.address} has no login with a password (404): it may allow "
                    "single sign-on alone. Give a personal access token with --token or "
                    "CVAT_ACCESS_TOKEN.",
                    status=404,
                    step="login",
                ) from error
            raise
        return self._decode(response, _LOGIN).key

    async def _without_passwords(self, error: AsyncCvatError) -> bool:
        """Whether a refused login shows a CVAT that has no login by password."""
        if not isinstance(error, ConfigError) and getattr(error, "status", 0) not in (404, 405):
            return False
        about = Call(method="GET", path="/api/server/about", step="about", anonymous=True)
        try:
            await self._call_once(about)
        except AsyncCvatError:
            return False  # whatever is there, the login's own error says what to do
        return self._is_cvat()

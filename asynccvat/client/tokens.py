"""Read, make and revoke personal access tokens.

CVAT lets an access token see the tokens of its user, and neither make nor revoke any: that needs
a password, or the key of a login.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from asynccvat.core.models import AccessToken
from asynccvat.core.numbers import whole
from asynccvat.core.wire.responses import is_json
from asynccvat.errors import NotFoundError, PermissionDeniedError
from asynccvat.http import Call, HttpSession

_PATH = "/api/auth/access_tokens"
_TOKEN = msgspec.json.Decoder(AccessToken)


class _Value(msgspec.Struct):
    value: str


_VALUE = msgspec.json.Decoder(_Value)


@dataclass(frozen=True, slots=True)
class NewAccessToken:
    """A personal access token that was just made. Its value stays out of `repr`.

    Attributes:
        token: What the server says of it.
        value: The token itself. The server shows it this once.
    """

    token: AccessToken
    value: str = field(repr=False)


async def read_access_token(http: HttpSession) -> AccessToken | None:
    """Return the access token of a session. `CvatClient.access_token` documents it."""
    if not http.has_access_token:
        return None
    call = Call(
        method="GET",
        path=f"{_PATH}/self",
        step="token",
        # Older servers have no such call, and a gateway may not let it pass.
        expect=(200, 403, 404),
    )
    answer = await http.call(call)
    if answer.status != 200 or not is_json(answer.content_type):
        return None
    return http.decode(answer, _TOKEN)


async def create_access_token(
    http: HttpSession, name: str, *, read_only: bool, expiry: datetime | None
) -> NewAccessToken | None:
    """Make an access token. `CvatClient.create_access_token` documents it."""
    body: dict[str, object] = {"name": name, "read_only": read_only}
    if expiry is not None:
        body["expiry_date"] = expiry.isoformat()
    call = Call(
        method="POST",
        path=_PATH,
        step="token",
        json=body,
        # Servers before CVAT 2.48 have no such call.
        expect=(201, 404),
        # After a lost answer it would make a second one.
        retry=False,
        purpose="make an access token",
    )
    answer = await http.call(call)
    if answer.status == 404:
        return None
    return NewAccessToken(http.decode(answer, _TOKEN), http.decode(answer, _VALUE).value)


async def revoke_access_token(http: HttpSession, token_id: int) -> bool:
    """Revoke an access token. `CvatClient.revoke_access_token` documents it."""
    call = Call(
        method="DELETE",
        path=f"{_PATH}/{whole('token_id', token_id)}",
        step="token",
        expect=(204,),
        purpose="revoke an access token",
    )
    try:
        await http.call(call)
    except NotFoundError as error:
        return error.unanswered > 0
    return True


def read_only_refusal(token: AccessToken, what: str, origin: str) -> PermissionDeniedError:
    """Return the error of something that a read-only token may not do."""
    return PermissionDeniedError(
        f"cannot {what} at {origin}: the access token {token.name!r} is read-only, as CVAT makes "
        "them by default. Log in with `asynccvat login --read-write`, or give another token.",
        status=403,
        step="token",
    )

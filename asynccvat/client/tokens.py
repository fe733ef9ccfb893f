"""Read what CVAT says of the personal access token that a client uses."""

from __future__ import annotations

import msgspec

from asynccvat.core.models import AccessToken
from asynccvat.core.wire.responses import is_json
from asynccvat.errors import PermissionDeniedError
from asynccvat.http import Call, HttpSession

_TOKEN = msgspec.json.Decoder(AccessToken)


async def read_access_token(http: HttpSession) -> AccessToken | None:
    """Return the access token of a session. `CvatClient.access_token` documents it."""
    if not http.has_access_token:
        return None
    call = Call(
        method="GET",
        path="/api/auth/access_tokens/self",
        step="token",
        # Older servers have no such call, and a gateway may not let it pass.
        expect=(200, 403, 404),
    )
    answer = await http.call(call)
    if answer.status != 200 or not is_json(answer.content_type):
        return None
    return http.decode(answer, _TOKEN)


def read_only_refusal(token: AccessToken, what: str, origin: str) -> PermissionDeniedError:
    """Return the error of something that a read-only token may not do."""
    return PermissionDeniedError(
        f"cannot {what} at {origin}: the access token {token.name!r} is read-only, as CVAT makes "
        "them by default. Make one in CVAT that is not, or use user name and password.",
        status=403,
        step="token",
    )

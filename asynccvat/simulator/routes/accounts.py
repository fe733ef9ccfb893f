"""Handlers of login, logout, access tokens, users and organizations."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.serializers import (
    access_token_json,
    account_json,
    organization_json,
)
from asynccvat.simulator.wire.credentials import unauthorized
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    field_error,
    forbidden,
    json_response,
    messages,
    no_such,
)
from asynccvat.simulator.world.dates import utc_now

_LONGEST_NAME = 50
_MOST_ACCESS_TOKENS = 50
_TOO_MANY_TOKENS = (
    "You have reached the maximum allowed number of Personal Access Tokens for a user"
)


async def log_in(call: Call) -> ServerResponse:
    """`POST /api/auth/login`: return the user's one key and the cookies of a new session."""
    given = await call.json_object()
    name = given.get("username") or given.get("email")
    password = given.get("password")
    if not name or not password:
        raise messages(400, 'Must include either "username" or "email" and "password".')
    accounts = call.backend.accounts
    account = accounts.find(str(name))
    if account is None or account.password != password:
        raise field_error("non_field_errors", "Unable to log in with provided credentials.")
    key, session_id, csrf_token = accounts.log_in(account)
    response = json_response({"key": key})
    response.cookies = (
        _cookie("csrftoken", csrf_token, 31449600, http_only=False),
        _cookie("sessionfresh", "1", 86400),
        _cookie("sessionid", session_id, 1209600),
    )
    return response


def _cookie(name: str, value: str, seconds: int, *, http_only: bool = True) -> str:
    expires = format_datetime(utc_now() + timedelta(seconds=seconds), usegmt=True)
    middle = "HttpOnly; " if http_only else ""
    return f"{name}={value}; expires={expires}; {middle}Max-Age={seconds}; Path=/; SameSite=Lax"


async def log_out(call: Call) -> ServerResponse:
    """`POST /api/auth/logout`: revoke the key for all clients; sessions stay."""
    if call.identity.account is not None:
        call.backend.accounts.log_out(call.identity.account)
    return json_response({"detail": "Successfully logged out."})


async def show_self(call: Call) -> ServerResponse:
    """`GET /api/users/self`: show the caller."""
    return ServerResponse(body=account_json(call.account, call.origin))


async def change_user(call: Call) -> ServerResponse:
    """`PATCH /api/users/{id}`: accept and ignore changes; access tokens are refused."""
    if call.identity.scheme == "bearer":
        raise forbidden()
    account = call.backend.accounts.by_id.get(call.number)
    if account is None:
        raise no_such("User")
    await call.json_object()
    return ServerResponse(body=account_json(account, call.origin))


async def show_user(call: Call) -> ServerResponse:
    """`GET /api/users/{id}`: show a user."""
    account = call.backend.accounts.by_id.get(call.number)
    if account is None:
        raise no_such("User")
    return ServerResponse(body=account_json(account, call.origin))


async def list_access_tokens(call: Call) -> ServerResponse:
    """`GET /api/auth/access_tokens`: list the user's own that still work, newest first."""
    own = call.backend.accounts.usable_tokens(call.account)
    page = cut_page(own, call.query)
    return list_response(call, page, [access_token_json(token, call.origin) for token in page.rows])


async def create_access_token(call: Call) -> ServerResponse:
    """`POST /api/auth/access_tokens`: create one; only this response shows its value."""
    _refuse_access_token(call)
    given = await call.json_object()
    name = given.get("name")
    if name is None:
        raise field_error("name", "This field is required.")
    if not str(name).strip():
        raise field_error("name", "This field may not be blank.")
    if len(str(name)) > _LONGEST_NAME:
        raise field_error("name", f"Ensure this field has no more than {_LONGEST_NAME} characters.")
    accounts = call.backend.accounts
    if len(accounts.usable_tokens(call.account)) >= _MOST_ACCESS_TOKENS:
        raise messages(400, _TOO_MANY_TOKENS)
    expiry = given.get("expiry_date")
    token = accounts.create_access_token(
        call.account,
        str(name),
        # CVAT's model: `read_only = BooleanField(default=True)`.
        read_only=bool(given.get("read_only", True)),
        expiry=datetime.fromisoformat(expiry) if expiry else None,
    )
    return json_response({**access_token_json(token, call.origin), "value": token.value}, 201)


async def show_own_access_token(call: Call) -> ServerResponse:
    """`GET /api/auth/access_tokens/self`: show the one that the call used.

    CVAT reads no other kind of credentials for this call, so others are as good as none.
    """
    value = call.request.headers.get("Authorization", "").partition(" ")[2]
    for token in call.backend.accounts.access_tokens.values():
        if token.value == value:
            return json_response(access_token_json(token, call.origin))
    raise unauthorized("Authentication credentials were not provided.")


async def delete_access_token(call: Call) -> ServerResponse:
    """`DELETE /api/auth/access_tokens/{id}`: revoke one of the user's own."""
    _refuse_access_token(call)
    tokens = call.backend.accounts.access_tokens
    if call.number not in tokens or tokens[call.number].account is not call.account:
        raise no_such("AccessToken")
    del tokens[call.number]
    return ServerResponse(204, content_type=None)


def _refuse_access_token(call: Call) -> None:
    """Refuse a change of tokens by an access token, as CVAT does: it may list and view them."""
    if call.identity.scheme == "bearer":
        raise forbidden()


async def list_organizations(call: Call) -> ServerResponse:
    """`GET /api/organizations`: list organizations."""
    page = cut_page(list(call.backend.world.organizations.values()), call.query)
    rows = [organization_json(organization, call.origin) for organization in page.rows]
    return list_response(call, page, rows)


async def create_organization(call: Call) -> ServerResponse:
    """`POST /api/organizations`: create an organization."""
    given = await call.json_object()
    if not given.get("slug"):
        raise field_error("slug", "This field is required.")
    organization = call.backend.world.add_organization(
        str(given["slug"]), given.get("name"), call.account.user
    )
    return json_response(organization_json(organization, call.origin), 201)

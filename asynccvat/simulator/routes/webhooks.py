"""Handlers of webhooks: list, make, change, delete and ping them, and show their deliveries."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.filters import FilterTerms, select
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.scopes import AnyOrganization
from asynccvat.simulator.routes.serializers import user_json
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    encode,
    field_error,
    forbidden,
    json_response,
    json_string,
    messages,
    no_such,
    server_error_page,
)
from asynccvat.simulator.world.dates import stamp
from asynccvat.simulator.world.webhooks import EVENTS, Delivery, Webhook

_CONTENT_TYPE: Final = "application/json"
_KNOWN_EVENTS: Final = frozenset(EVENTS["organization"])

WEBHOOK_TERMS: Final = FilterTerms[Webhook](
    read={
        "id": lambda webhook: webhook.id,
        "target_url": lambda webhook: webhook.target_url,
        "owner": lambda webhook: webhook.owner.username,
        "type": lambda webhook: webhook.type,
        "description": lambda webhook: webhook.description,
        "project_id": lambda webhook: webhook.project_id,
        "updated_date": lambda webhook: webhook.updated_date,
    },
    simple=("target_url", "owner", "type", "project_id"),
    numbers=frozenset({"project_id"}),
    search=("target_url", "owner", "type", "description"),
)


# --- As JSON --------------------------------------------------------------------------------------


def webhook_json(call: Call, webhook: Webhook) -> dict[str, Any]:
    """Return a webhook as JSON, without its secret."""
    value: dict[str, Any] = {
        "id": webhook.id,
        "url": f"{call.origin}/api/webhooks/{webhook.id}",
        "target_url": webhook.target_url,
        "description": webhook.description,
        "type": webhook.type,
        "content_type": webhook.content_type,
        "is_active": webhook.is_active,
        "enable_ssl": webhook.enable_ssl,
        "created_date": stamp(webhook.created_date),
        "updated_date": stamp(webhook.updated_date),
        "owner": user_json(webhook.owner, call.origin),
        "project_id": webhook.project_id,
        "organization": webhook.organization_id,
        "events": list(webhook.events),
    }
    for last in call.backend.world.webhooks.deliveries_of(webhook.id)[:1]:
        value["last_status"] = last.status_code
        value["last_delivery_date"] = stamp(last.created_date)
    return value


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as JSON."""
    return {
        "id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "event": delivery.event,
        "status_code": delivery.status_code,
        "redelivery": delivery.redelivery,
        "created_date": stamp(delivery.created_date),
        "updated_date": stamp(delivery.created_date),
        "changed_fields": delivery.changed_fields,
        "request": delivery.request,
        "response": delivery.response,
    }


# --- Webhooks -------------------------------------------------------------------------------------


async def list_webhooks(call: Call) -> ServerResponse:
    """`GET /api/webhooks`: list them, newest first."""
    scope = call.scope
    visible = [
        webhook
        for webhook in reversed(call.backend.world.webhooks.by_id.values())
        if _may_manage(call, webhook)
        and (isinstance(scope, AnyOrganization) or webhook.organization_id == call.organization_id)
    ]
    page = cut_page(select(visible, call.query, WEBHOOK_TERMS), call.query)
    return list_response(call, page, [webhook_json(call, one) for one in page.rows])


async def list_events(call: Call) -> ServerResponse:
    """`GET /api/webhooks/events`: list the events of a type of webhook."""
    wanted = call.query.get("type", "all")
    events = EVENTS.get("organization" if wanted == "all" else wanted)
    if events is None:
        raise json_string(400, "Incorrect value of type parameter")
    return json_response({"webhook_type": wanted, "events": list(events)})


async def create_webhook(call: Call) -> ServerResponse:
    """`POST /api/webhooks`: make one."""
    given = await call.json_object()
    _check(given, given.get("type"))
    place = _place(call, given)
    webhook = call.backend.world.webhooks.add(
        type=given["type"], owner=call.account.user, **place, **_fields(given)
    )
    response = json_response(webhook_json(call, webhook), 201)
    response.headers["Location"] = f"{call.origin}/api/webhooks/{webhook.id}"
    return response


async def show_webhook(call: Call) -> ServerResponse:
    """`GET /api/webhooks/{id}`: show one."""
    return json_response(webhook_json(call, _find(call)))


async def change_webhook(call: Call) -> ServerResponse:
    """`PATCH /api/webhooks/{id}`: change some fields; type and project are ignored."""
    webhook = _find(call)
    given = await call.json_object()
    _check({"target_url": webhook.target_url, "events": webhook.events, **given}, webhook.type)
    changed = call.backend.world.webhooks.change(webhook.id, **_fields(given))
    return json_response(webhook_json(call, changed))


async def replace_webhook(call: Call) -> ServerResponse:
    """`PUT /api/webhooks/{id}`: change all fields; type and project are ignored."""
    webhook = _find(call)
    given = await call.json_object()
    _check(given, webhook.type)
    changed = call.backend.world.webhooks.change(webhook.id, **_fields(given))
    return json_response(webhook_json(call, changed))


async def delete_webhook(call: Call) -> ServerResponse:
    """`DELETE /api/webhooks/{id}`: delete one and its deliveries."""
    call.backend.world.webhooks.delete(_find(call).id)
    return ServerResponse(204, content_type=None)


async def ping_webhook(call: Call) -> ServerResponse:
    """`POST /api/webhooks/{id}/ping`: send it a ping, and show the delivery."""
    webhook = _find(call)
    body = {
        "event": "ping",
        "webhook": webhook_json(call, webhook),
        "sender": user_json(call.account.user, call.origin),
    }
    return json_response(delivery_json(await call.backend.deliveries.send(webhook, body)))


# --- Deliveries -----------------------------------------------------------------------------------


async def list_deliveries(call: Call) -> ServerResponse:
    """`GET /api/webhooks/{id}/deliveries`: list them, newest first."""
    found = call.backend.world.webhooks.deliveries_of(_find(call).id)
    page = cut_page(found, call.query)
    return list_response(call, page, [delivery_json(one) for one in page.rows])


async def show_delivery(call: Call) -> ServerResponse:
    """`GET /api/webhooks/{id}/deliveries/{part}`: show one."""
    return json_response(delivery_json(_find_delivery(call)))


async def deliver_again(call: Call) -> ServerResponse:
    """`POST /api/webhooks/{id}/deliveries/{part}/redelivery`: send one again."""
    delivery = _find_delivery(call)
    call.backend.deliveries.add(_find(call), delivery.request, redelivery=True)
    return json_response({})


# --- Finding and checking -------------------------------------------------------------------------


def _find(call: Call) -> Webhook:
    webhook = call.backend.world.webhooks.by_id.get(call.number)
    if webhook is None:
        raise no_such("Webhook")
    if not _may_manage(call, webhook):
        raise forbidden()
    return webhook


def _find_delivery(call: Call) -> Delivery:
    webhook = _find(call)
    delivery = call.backend.world.webhooks.deliveries.get(call.part or 0)
    if delivery is None or delivery.webhook_id != webhook.id:
        raise server_error_page()  # CVAT does not catch that there is none
    return delivery


def _may_manage(call: Call, webhook: Webhook) -> bool:
    """Whether the caller made the webhook, or owns what it concerns."""
    user = call.account.user
    return webhook.owner.id == user.id or _owns(call, webhook.project_id, webhook.organization_id)


def _owns(call: Call, project_id: int | None, organization_id: int | None) -> bool:
    world, user = call.backend.world, call.account.user
    if call.account.superuser:
        return True
    project = world.projects.get(project_id or 0)
    if project is not None:
        people = (project.owner, project.assignee)
        return user.id in [one.id for one in people if one is not None]
    organization = world.organizations.get(organization_id or 0)
    return organization is not None and organization.owner.id == user.id


def _place(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Return the project or organization of a new webhook."""
    project_id, organization_id = given.get("project_id"), call.organization_id
    if given["type"] == "project":
        if project_id is None:
            raise server_error_page()  # a constraint of CVAT's database, which it does not catch
        project = call.backend.world.projects.get(project_id)
        if project is None:
            raise messages(400, f"Could not find project with provided id: {project_id}")
        organization_id = project.organization_id
    elif organization_id is None or project_id is not None:
        raise server_error_page()
    if not _owns(call, project_id, organization_id):
        raise forbidden()
    return {"project_id": project_id, "organization_id": organization_id}


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a body gives."""
    names = ("target_url", "description", "content_type", "secret", "is_active", "enable_ssl")
    found = {name: given[name] for name in names if name in given}
    if "events" in given:
        found["events"] = tuple(sorted(set(given["events"])))
    return found


def _check(given: dict[str, Any], type_: Any) -> None:
    """Refuse a body with wrong or missing fields."""
    found: dict[str, list[str]] = {}
    if type_ is None:
        found["type"] = ["This field is required."]
    elif not isinstance(type_, str) or type_ not in EVENTS:
        found["type"] = [f'"{type_}" is not a valid choice.']
    if given.get("content_type", _CONTENT_TYPE) != _CONTENT_TYPE:
        found["content_type"] = [f'"{given["content_type"]}" is not a valid choice.']
    if "target_url" not in given:
        found["target_url"] = ["This field is required."]
    elif not _is_url(given["target_url"]):
        found["target_url"] = ["Enter a valid URL."]
    if not isinstance(given.get("project_id"), int | None):
        found["project_id"] = ["A valid integer is required."]
    found |= _wrong_events(given.get("events"))
    if found:
        raise RefusedError(ServerResponse(400, encode(found)))
    if not set(given["events"]) <= set(EVENTS[str(type_)]):
        raise field_error("non_field_errors", f"Invalid events list for {type_} webhook")


def _wrong_events(events: Any) -> dict[str, list[str]]:
    if events is None:
        return {"events": ["This field is required."]}
    if isinstance(events, str) or not isinstance(events, (list, tuple)):
        return {"events": [f'Expected a list of items but got type "{type(events).__name__}".']}
    unknown = [one for one in events if not isinstance(one, str) or one not in _KNOWN_EVENTS]
    return {"events": [f'"{unknown[0]}" is not a valid choice.']} if unknown else {}


def _is_url(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.hostname)

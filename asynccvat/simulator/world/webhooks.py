"""Webhooks and their deliveries as values, and the store of a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from asynccvat.simulator.world.dates import RisingClock
from asynccvat.simulator.world.users import User

WebhookType = Literal["project", "organization"]

_IN_PROJECTS: Final = (
    "create:comment",
    "create:issue",
    "create:job",
    "create:task",
    "delete:comment",
    "delete:issue",
    "delete:job",
    "delete:project",
    "delete:task",
    "update:comment",
    "update:issue",
    "update:job",
    "update:project",
    "update:task",
)
_IN_ORGANIZATIONS: Final = (
    "create:invitation",
    "create:membership",
    "create:project",
    "delete:invitation",
    "delete:membership",
    "delete:organization",
    "update:membership",
    "update:organization",
)

EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "project": _IN_PROJECTS,
    "organization": tuple(sorted(_IN_PROJECTS + _IN_ORGANIZATIONS)),
}
"""The events that a webhook of each type may have, in CVAT's order."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address to which the server sends events.

    Attributes:
        id: Its number.
        target_url: The address.
        type: Whether it concerns a project or an organization.
        events: The events that are sent.
        owner: Who made it.
        created_date: When it was made.
        updated_date: When it was changed last.
        description: A text for people.
        content_type: What CVAT shows as the type of the body.
        secret: The key of the signature; "" for none.
        is_active: Whether events are sent.
        enable_ssl: Whether the certificate of the address is checked.
        project_id: The project, or None.
        organization_id: The organization, or None.
    """

    id: int
    target_url: str
    type: WebhookType
    events: tuple[str, ...]
    owner: User
    created_date: datetime
    updated_date: datetime
    description: str = ""
    content_type: str = "application/json"
    secret: str = ""
    is_active: bool = True
    enable_ssl: bool = True
    project_id: int | None = None
    organization_id: int | None = None

    def wants(self, event: str, project_id: int | None, organization_id: int | None) -> bool:
        """Tell whether an event in a project or organization is sent."""
        if not self.is_active or event not in self.events:
            return False
        if self.type == "project":
            return self.project_id == project_id
        return organization_id is not None and self.organization_id == organization_id


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to send an event.

    Attributes:
        id: Its number.
        webhook_id: The webhook.
        event: The event, such as `update:task`.
        status_code: The status of the answer; 502 without a connection, 504 without an answer.
        redelivery: Whether a user asked for it again.
        created_date: When it ended.
        request: The body that was sent.
        response: The body of the answer.
    """

    id: int
    webhook_id: int
    event: str
    status_code: int
    redelivery: bool
    created_date: datetime
    request: Mapping[str, Any]
    response: str

    @property
    def changed_fields(self) -> str:
        """The names of the fields that changed, joined by commas."""
        return ",".join(self.request.get("before_update", ()))


class Webhooks:
    """The webhooks of a server, and their deliveries.

    Attributes:
        by_id: The webhooks, by id.
        deliveries: The deliveries, by id.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.by_id: dict[int, Webhook] = {}
        self.deliveries: dict[int, Delivery] = {}
        self._last = self._last_delivery = 0
        self._clock = RisingClock()

    def add(self, target_url: str, **fields: Any) -> Webhook:
        """Add a webhook. Further fields are those of `Webhook`."""
        number = self._last = self._last + 1
        now = self._clock.now()
        webhook = Webhook(number, target_url, created_date=now, updated_date=now, **fields)
        self.by_id[number] = webhook
        return webhook

    def change(self, webhook_id: int, **fields: Any) -> Webhook:
        """Change fields of a webhook.

        Raises:
            KeyError: There is no such webhook.
        """
        now = self._clock.now()
        webhook = dataclasses.replace(self.by_id[webhook_id], updated_date=now, **fields)
        self.by_id[webhook_id] = webhook
        return webhook

    def delete(self, webhook_id: int) -> None:
        """Delete a webhook and its deliveries.

        Raises:
            KeyError: There is no such webhook.
        """
        del self.by_id[webhook_id]
        for delivery in self.deliveries_of(webhook_id):
            del self.deliveries[delivery.id]

    def delete_of_project(self, project_id: int) -> None:
        """Delete the webhooks of a project, as CVAT does with the project."""
        for webhook in list(self.by_id.values()):
            if webhook.project_id == project_id:
                self.delete(webhook.id)

    def wanting(
        self, event: str, project_id: int | None, organization_id: int | None
    ) -> list[Webhook]:
        """Return the webhooks to which an event is sent."""
        return [
            webhook
            for webhook in self.by_id.values()
            if webhook.wants(event, project_id, organization_id)
        ]

    def deliveries_of(self, webhook_id: int) -> list[Delivery]:
        """Return the deliveries of a webhook, newest first."""
        found = [one for one in self.deliveries.values() if one.webhook_id == webhook_id]
        return found[::-1]

    def add_delivery(
        self,
        webhook_id: int,
        request: Mapping[str, Any],
        status_code: int,
        response: str,
        *,
        redelivery: bool,
    ) -> Delivery:
        """Remember a delivery; that of a webhook which is gone is only returned."""
        number = self._last_delivery = self._last_delivery + 1
        delivery = Delivery(
            number,
            webhook_id,
            request["event"],
            status_code,
            redelivery,
            self._clock.now(),
            request,
            response,
        )
        if webhook_id in self.by_id:
            self.deliveries[number] = delivery
        return delivery

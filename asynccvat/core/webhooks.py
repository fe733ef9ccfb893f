"""Webhooks and their deliveries as values, and which events a mirror needs.

`core.watching.deliveries` reads what a webhook delivers.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime

import msgspec

from asynccvat.core.watching.deliveries import WANTED_EVENTS
from asynccvat.core.wire.urls import origin_of
from asynccvat.errors import ConfigError


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as CVAT shows it, without its secret.

    Attributes:
        id: Its id.
        target_url: Where its deliveries go.
        type: `project` or `organization`.
        project_id: Its project, None for one of an organization.
        organization: The id of its organization, None outside any.
        events: What is delivered, like `update:task`.
        is_active: Whether anything is delivered.
        enable_ssl: Whether CVAT checks the certificate of the address.
        description: A text for people.
        last_status: The status that the last delivery was answered with, None for none.
        last_delivery_date: When that was.
    """

    id: int
    target_url: str = ""
    type: str = ""
    project_id: int | None = None
    organization: int | None = None
    events: tuple[str, ...] = ()
    is_active: bool = True
    enable_ssl: bool = True
    description: str = ""
    last_status: int | None = None
    last_delivery_date: datetime | None = None


class WebhookDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as CVAT remembers it.

    Attributes:
        id: Its id.
        event: Like `ping` or `update:task`.
        status_code: How the address answered; 502 without a connection, 504 without an answer.
            None if CVAT does not say.
        response: The text of the answer.
        created_date: When it was made.
    """

    id: int
    event: str = ""
    status_code: int | None = None
    response: str = ""
    created_date: datetime | None = None

    @property
    def arrived(self) -> bool:
        """Whether the address took it."""
        return self.status_code is not None and 200 <= self.status_code < 300


def webhook_fields(
    target_url: str,
    *,
    project_id: int | None,
    known_events: Collection[str],
    secret: str,
    enable_ssl: bool,
) -> dict[str, object]:
    """Return the body that makes a webhook whose deliveries begin rounds of a watch.

    Args:
        target_url: Where deliveries go.
        project_id: The project; None for the organization of the client.
        known_events: The events that the server has for this type of webhook.
        secret: What the deliveries are signed with.
        enable_ssl: Whether CVAT checks the certificate of the address.

    Raises:
        ConfigError: The address or the secret cannot be used.
    """
    check_target_url(target_url)
    if not secret:
        raise ConfigError("the secret of the webhook is empty. Set ASYNCCVAT_WEBHOOK_SECRET.")
    events = sorted(set(WANTED_EVENTS) & set(known_events))
    place = (
        {"type": "organization"}
        if project_id is None
        else {"type": "project", "project_id": project_id}
    )
    return {
        **place,
        "target_url": target_url,
        "description": "asynccvat watch",
        "content_type": "application/json",
        "secret": secret,
        "enable_ssl": enable_ssl,
        "is_active": True,
        "events": events,
    }


def check_target_url(url: str) -> None:
    """Check the address of a webhook.

    Raises:
        ConfigError: It is no address with `http://` or `https://`.
    """
    if re.search(r"\s", url) or origin_of(url) is None:
        raise ConfigError(
            f"{url!r} is no address for a webhook. Give one that CVAT reaches, like "
            "https://mirror.example.com/webhook."
        )

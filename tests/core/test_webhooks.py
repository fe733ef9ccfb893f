"""Check the bodies of webhooks, and what their pings say."""

from __future__ import annotations

import pytest

from asynccvat.core.webhooks import WebhookDelivery, webhook_fields
from asynccvat.errors import ConfigError

URL = "https://mirror.example.com/webhook"
EVENTS = ("create:task", "delete:task", "update:task", "create:comment")


def test_a_webhook_of_a_project_asks_for_known_events_alone() -> None:
    fields = webhook_fields(URL, project_id=5, known_events=EVENTS, secret="s", enable_ssl=True)
    assert (fields["type"], fields["project_id"]) == ("project", 5)
    assert fields["events"] == ["create:task", "delete:task", "update:task"]


def test_a_webhook_of_an_organization_names_no_project() -> None:
    fields = webhook_fields(URL, project_id=None, known_events=EVENTS, secret="s", enable_ssl=False)
    assert fields["type"] == "organization"
    assert "project_id" not in fields
    assert fields["enable_ssl"] is False


@pytest.mark.parametrize(
    ("url", "secret", "message"),
    [
        ("mirror.example.com/webhook", "s", "is no address for a webhook"),
        ("ftp://mirror/webhook", "s", "is no address for a webhook"),
        ("https://mirror/web hook", "s", "is no address for a webhook"),
        (URL, "", "Set ASYNCCVAT_WEBHOOK_SECRET"),
    ],
)
def test_webhooks_that_cannot_work_are_refused(url: str, secret: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        webhook_fields(url, project_id=1, known_events=EVENTS, secret=secret, enable_ssl=True)


@pytest.mark.parametrize(("status", "arrived"), [(200, True), (403, False), (None, False)])
def test_a_ping_arrived_if_the_address_took_it(status: int | None, *, arrived: bool) -> None:
    assert WebhookDelivery(id=1, status_code=status).arrived is arrived

"""Check and read what CVAT's webhooks deliver.

CVAT signs the bytes of the body with the webhook's secret: `X-Signature-256: sha256=<hex digits>`.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

SIGNATURE_HEADER = "X-Signature-256"

LARGEST_BODY = 4 << 20
"""Bytes of a delivery. CVAT's have a few KiB; the labels of a project can make more."""

EVENTS_OF_TASKS = ("create:task", "delete:task", "update:task")
"""The events after which a mirror of tasks may be out of date."""

EVENTS_OF_JOBS = ("create:job", "delete:job", "update:job")
EVENTS_OF_PROJECTS = ("create:project", "delete:project", "update:project")

WANTED_EVENTS = (*EVENTS_OF_TASKS, *EVENTS_OF_JOBS, *EVENTS_OF_PROJECTS)
"""The events that begin a round. A change of annotations sends three, which begin one together."""


class Delivery(msgspec.Struct, frozen=True):
    """What is read of a delivery.

    Attributes:
        event: Like `update:task`; `ping` for one that only tests the address.
        webhook_id: The webhook, None in a ping.
    """

    event: str
    webhook_id: int | None = None


_DECODER = msgspec.json.Decoder(Delivery)


def is_signed(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether a body was signed with a secret. The comparison takes the same time for all."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = (signature or "").encode("utf-8", "replace")
    return hmac.compare_digest(f"sha256={expected}".encode(), given)


def read_delivery(body: bytes) -> Delivery | None:
    """Return a delivery, None if the body is not one."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

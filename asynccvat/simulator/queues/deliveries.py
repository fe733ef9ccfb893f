"""The queue of webhook deliveries: one worker sends events in their order.

`world.webhooks` holds the webhooks, `routes.webhook_events` makes the bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from asynccvat.simulator.world.webhooks import Delivery, Webhook, Webhooks

_SECONDS: Final = 10
"""How long CVAT waits for an answer."""

_LARGEST_ANSWER: Final = 1 << 20
"""Bytes of an answer past which CVAT keeps nothing of it."""


class DeliveryQueue:
    """Sends events to webhooks, and remembers the answers."""

    def __init__(self, webhooks: Webhooks, version: str) -> None:
        """Make the queue; `start` starts its worker.

        Args:
            webhooks: Where deliveries are remembered.
            version: The version of the server, which names itself in its calls.
        """
        self._webhooks = webhooks
        self._agent = f"CVAT/{version} python-requests/2.32.4"
        self._queue: asyncio.Queue[tuple[Webhook, Mapping[str, Any], bool]] = asyncio.Queue()
        self._session: aiohttp.ClientSession | None = None
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the worker in the running loop."""
        self._worker = asyncio.create_task(self._work(), name="webhook worker")

    async def stop(self) -> None:
        """Stop the worker; what is queued is not sent."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        if self._session is not None:
            await self._session.close()
            self._session = None

    def add(
        self, webhook: Webhook, request: Mapping[str, Any], *, redelivery: bool = False
    ) -> None:
        """Send an event after those before it."""
        self._queue.put_nowait((webhook, request, redelivery))

    async def idle(self) -> None:
        """Wait until all events are sent."""
        await self._queue.join()

    async def send(
        self, webhook: Webhook, request: Mapping[str, Any], *, redelivery: bool = False
    ) -> Delivery:
        """Send an event now, and return what became of it."""
        status, response = await self._post(webhook, json.dumps(request).encode())
        return self._webhooks.add_delivery(
            webhook.id, request, status, response, redelivery=redelivery
        )

    async def _work(self) -> None:
        while True:
            webhook, request, redelivery = await self._queue.get()
            try:
                await self.send(webhook, request, redelivery=redelivery)
            finally:
                self._queue.task_done()

    async def _post(self, webhook: Webhook, body: bytes) -> tuple[int, str]:
        """Send a body; return status and text of the answer, as CVAT remembers them."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
            )
        headers = {"User-Agent": self._agent}
        if webhook.secret:
            signature = hmac.new(webhook.secret.encode(), body, hashlib.sha256)
            headers["X-Signature-256"] = f"sha256={signature.hexdigest()}"
        headers["Content-Type"] = "application/json"
        try:
            async with self._session.post(
                webhook.target_url, data=body, headers=headers, ssl=webhook.enable_ssl
            ) as answer:
                found = await answer.read()
        except TimeoutError:
            return 504, ""
        except (aiohttp.ClientError, OSError):
            return 502, ""
        text = found.decode("utf-8", "replace") if len(found) <= _LARGEST_ANSWER else ""
        return answer.status, text

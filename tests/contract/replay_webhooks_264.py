"""Replay the recording of CVAT 2.64's webhooks: the calls, and what the server sent."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from typing import Any, Final

import aiohttp
from condense import shape_of
from replay import compare, compare_shapes
from replay_creations_264 import CreationReplay, form, picture
from webhook_address import Hook, Received, listening

from asynccvat.simulator import SimulatedServer, SimulatorOptions

SECRET: Final = "webhook-secret-1"
RECORDED_URL: Final = "http://127.0.0.1:19077/hook"
OPTIONS: Final = SimulatorOptions(tasks=430, projects=15, version="2.64.0")
DATA_AT: Final = 6
"""The exchange before which the image of the task was sent, which the recording leaves out."""


class WebhookReplay(CreationReplay):
    """The replay of one scenario."""

    hook: Hook

    def body(self, recorded: dict[str, Any], headers: dict[str, str]) -> bytes | None:
        """Return the body of a call, with the secret and the address that listens here."""
        body = super().body(recorded, headers)
        if body is None:
            return None
        text = body.decode().replace(RECORDED_URL, self.hook.url)
        given = json.loads(text)
        if "secret" in given:
            given["secret"] = SECRET
        return json.dumps(given).encode()


async def send_data(replay: WebhookReplay) -> None:
    headers = {
        "Authorization": f"Token {replay.server.token}",
        "Content-Type": "multipart/form-data; boundary=xyz",
    }
    body = form({"im_0.jpg": picture(0)}, "xyz")
    for more in ({"Upload-Start": "true"}, {}):
        url = f"{replay.server.url}/api/tasks/431/data"
        sent = None if more else body
        async with replay.session.post(url, data=sent, headers=headers | more) as answer:
            assert answer.status == 202, await answer.text()
    await replay.settle()


def compare_delivery(recorded: dict[str, Any], received: Received) -> list[str]:
    """Return how an event differs from the recorded one."""
    body = json.loads(received.body)
    found = compare_shapes(recorded["shape"], shape_of(body), "")
    for name, value in recorded["headers"].items():
        if received.headers.get(name) != value:
            found.append(f"{name} is {received.headers.get(name)} instead of {value}")
    if list(body) != recorded["keys"]:
        found.append(f"keys {list(body)} instead of {recorded['keys']}")
    changed = sorted(body.get("before_update", ()))
    if changed != recorded["changed"]:
        found.append(f"changed {changed} instead of {recorded['changed']}")
    signature = hmac.new(SECRET.encode(), received.body, hashlib.sha256).hexdigest()
    if received.headers.get("X-Signature-256") != f"sha256={signature}":
        found.append("wrong signature")
    return found


async def replay_webhooks_264(
    _scenario: str, exchanges: list[dict[str, Any]], shapes: list[Any]
) -> dict[int, list[str]]:
    """Replay the recording; return the differences of each exchange that differs, by its number."""
    differences, _ = await _replay(exchanges, shapes)
    return differences


async def replay_deliveries_264(
    exchanges: list[dict[str, Any]], shapes: list[Any], delivered: list[dict[str, Any]]
) -> dict[str, list[str]]:
    """Replay the recording; return how the events that were sent differ from the recorded ones."""
    _, received = await _replay(exchanges, shapes)
    expected = [one["event"] for one in delivered]
    events = [json.loads(one.body)["event"] for one in received]
    if events != expected:
        return {"events": [f"{events} instead of {expected}"]}
    found = {
        f"{number} {event}": compare_delivery(one, other)
        for number, (event, one, other) in enumerate(zip(events, delivered, received, strict=True))
    }
    return {name: differences for name, differences in found.items() if differences}


async def _replay(
    exchanges: list[dict[str, Any]], shapes: list[Any]
) -> tuple[dict[int, list[str]], list[Received]]:
    differences: dict[int, list[str]] = {}
    async with (
        SimulatedServer(OPTIONS) as server,
        listening() as hook,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=["User-Agent", "Content-Type"]
        ) as session,
    ):
        server.world.label_ids = itertools.count(223)
        server.world.job_ids = itertools.count(433)
        replay = WebhookReplay(server, session, 16)
        replay.hook = hook
        for index, exchange in enumerate(exchanges):
            if index == DATA_AT:
                await send_data(replay)
            response = await replay.exchange(exchange)
            await server.deliveries_sent()
            found = compare(exchange["response"], shapes, response)
            if found:
                differences[index] = found
    return differences, hook.received

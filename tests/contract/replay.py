"""Replay the recorded exchanges against a simulated server, and report differing responses.

The exchanges of a scenario run in order against one new server, which holds what the recorded one
held as far as the calls show it. The replay fills in what a recording lacks: secrets, and when an
export ended. It compares status, content type, JSON shape, the text of errors and the headers that
clients act on.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import aiohttp
from anyio.lowlevel import checkpoint
from condense import VALIDATORS, lengthen, shape_of
from yarl import URL

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions, UserSpec
from asynccvat.simulator.formats.backups import write_backup
from asynccvat.simulator.world.annotations import Label
from asynccvat.simulator.world.content import project_labels

ADMIN_PASSWORD: Final = "a dm:in"
WORKER_PASSWORD: Final = "w orker"
PENDING: Final = frozenset({"queued", "started"})

NULLABLE: Final = frozenset(
    {"assignee", "job_id", "last_login", "last_used_date", "next", "previous", "project_id"}
    | {"task_id", "expiry_date?", "organization", "organization_id"}
)
"""Keys that may be null, since the content is not that of the recorded server."""

NULLABLE_IN_LISTS: Final = frozenset(
    f".results[].{name}"
    for name in ("operation.format", "result_url", "started_date", "finished_date", "expiry_date")
)
"""The same for lists of requests, since the requests are not those of the recorded server."""

FILE_ID: Final = re.compile(r"1_[0-9a-f-]{36}")
RESTORE_ID: Final = re.compile(r"(?<=id%3D)[0-9a-f-]{36}")
"""The random part of the id of a restore."""

ANNOTATION_FILE: Final = (
    b'<annotations><image id="0" name="street_0000.jpg" width="640" height="480"><box label="car" '
    b'occluded="0" xtl="1.00" ytl="2.00" xbr="3.00" ybr="4.00" z_order="0"></box></image>'
).ljust(5849 - len("</annotations>")) + b"</annotations>"
"""A file as long as the one that was uploaded in pieces."""

OPTIONS: Final = SimulatorOptions(
    tasks=323,
    projects=3,
    frames=5,
    password=ADMIN_PASSWORD,
    users=(UserSpec("worker1", WORKER_PASSWORD),),
    subsets=("Train", "Validation", "Test"),
    statuses=("annotation",),
    throttle_anonymous=None,
)


@dataclass(slots=True)
class ReceivedResponse:
    """A response of the simulated server."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Replay:
    """The replay of one scenario."""

    server: SimulatedServer
    session: aiohttp.ClientSession
    scenario: str
    token: str
    worker_token: str
    cookies: dict[str, str] = field(default_factory=dict)
    access_tokens: list[str] = field(default_factory=list)
    validators: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    file_id: str = ""
    restore_id: str = ""

    async def call(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> ReceivedResponse:
        """Send a call exactly as given."""
        url = URL(f"{self.server.url}{path}", encoded=True)
        async with self.session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return ReceivedResponse(response.status, lowered, await response.read())

    async def settle(self, rq_id: str = "") -> None:
        """Let one export end, or all."""
        queue = self.server.export_queue
        known = queue.requests
        wanted = [known[rq_id]] if rq_id in known else list(known.values())
        while not all(request.ended for request in wanted):
            for request in wanted:
                request.hold.set()
            running = sum(request.status == "started" for request in known.values())
            queued = all(request.ended or request.status == "queued" for request in wanted)
            if queued and running == self.server.options.export_workers:
                queue.release()  # the exports before it
            await checkpoint()

    async def post(self, path: str) -> None:
        """Ask for an export as the administrator, and wait for its end."""
        await self.call("POST", path, {"Authorization": f"Token {self.token}"})
        await self.settle()

    async def create(self) -> None:
        """Make a task of data that hold no media."""
        task = self.server.world.add_task("made", project_id=1, frames=None)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        await self.call("POST", f"/api/tasks/{task.id}/data", headers, b'{"image_quality": 70}')
        await self.settle()

    def credentials(self, index: int, recorded: str) -> str:
        """Return the Authorization header that replaces a redacted one."""
        chosen = CREDENTIALS.get((self.scenario, index), recorded.split(" ", maxsplit=1)[0])
        basic = {
            "Basic": f"admin:{ADMIN_PASSWORD}",
            "worker": f"worker1:{WORKER_PASSWORD}",
            "wrong password": "admin:wrong",
            "nobody": "nobody:wrong",
        }
        if chosen in basic:
            return f"Basic {base64.b64encode(basic[chosen].encode()).decode()}"
        others = {
            "Token": f"Token {self.token}",
            "worker token": f"Token {self.worker_token}",
            "wrong token": f"Token {'0' * 40}",
            "wrong bearer": "Bearer not-a-token",
            "wrong access token": f"Bearer 12345678.{'0' * 32}",
            "malformed": "Basic ???",
        }
        if chosen in others:
            return others[chosen]
        scheme, number = chosen.split(" ")
        return f"{scheme} {self.access_tokens[int(number)]}"

    def headers(self, index: int, recorded: dict[str, str]) -> dict[str, str]:
        """Return the headers of a call, with secrets and validators filled in."""
        headers = {"accept": "*/*", "accept-encoding": "gzip, deflate"}
        headers |= {name: lengthen(value) for name, value in recorded.items()}
        if "authorization" in headers:
            headers["authorization"] = self.credentials(index, headers["authorization"])
        if "cookie" in headers:
            headers["cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        if "x-csrftoken" in headers:
            headers["x-csrftoken"] = self.cookies["csrftoken"]
        for name in ("if-range", "if-none-match", "if-modified-since"):
            if name in headers:
                headers[name] = self.validators.get(headers[name], headers[name])
        return headers

    def learn_restore(self, received: ReceivedResponse) -> None:
        """Note the id of a restore."""
        found = re.search(rb'&id=([0-9a-f-]{36})&subresource=backup"\}$', received.body)
        if found is not None:
            self.restore_id = found[1].decode()

    def learn(self, recorded: dict[str, Any], received: ReceivedResponse) -> None:
        """Remember the parts of a response to which later exchanges refer."""
        if received.headers.get("content-type") == "application/vnd.cvat+json":
            value = json.loads(received.body)
            if isinstance(value, dict) and "value" in value:
                self.access_tokens.append(value["value"])
        self.file_id = received.headers.get("upload-filename", self.file_id)
        for name in VALIDATORS & set(received.headers) & set(recorded.get("headers", {})):
            self.validators[recorded["headers"][name]] = received.headers[name]


CREDENTIALS: Final = {
    ("auth_basic", 1): "wrong password",
    ("auth_basic", 2): "nobody",
    ("auth_basic", 5): "wrong token",
    ("auth_basic", 6): "wrong bearer",
    ("auth_basic", 7): "malformed",
    ("auth_basic", 8): "wrong access token",
    ("auth_pat", 3): "Bearer 0",
    ("auth_pat", 4): "Bearer 0",
    ("auth_pat", 5): "Token 0",
    ("auth_pat", 6): "Bearer 0",
    ("auth_pat", 7): "Bearer 0",
    ("auth_pat", 8): "Bearer 1",
    ("auth_pat", 9): "Bearer 1",
    ("auth_pat", 10): "Bearer 0",
    ("auth_pat", 12): "Bearer 0",
    ("download", 14): "worker",
    ("export_errors", 5): "worker",
    ("export_errors", 6): "worker",
    ("export_errors", 22): "worker",
    ("export_errors", 23): "worker",
    ("export_errors", 24): "worker",
    ("login_twice", 2): "worker token",
    ("login_twice", 3): "worker token",
    ("throttle", 6): "wrong password",
    **{("two_users_same_task", index): "worker" for index in (1, 2, 4, 5, 6, 7, 10)},
}
"""Whose credentials a redacted header had, unless they were the administrator's valid ones."""


def prepare(server: SimulatedServer) -> None:
    """Change the tasks to those that the recorded calls name."""

    def change(task_id: int, **fields: Any) -> None:
        tasks = server.tasks
        tasks[task_id] = dataclasses.replace(tasks[task_id], **fields)

    world = server.world
    for task in list(world.tasks.values()):
        change(task.id, name=f"mirror-{task.id - 3:04d}")
    change(3, project_id=1)
    change(206, labels=project_labels(None))  # labels 1 to 4, as on the recorded server
    change(279, size=None, mode="", subset="", project_id=2)
    unicode = dataclasses.replace(world.tasks[280].content, unicode_names=True)
    change(280, size=8, content=unicode, subset="")
    change(296, mode="interpolation")
    for task_id in range(310, 323):
        change(task_id, updated_date=datetime(2026, 11, 23, 11, 46, task_id - 300, 1, tzinfo=UTC))
    for number, name in ((1, "mirror-300"), (2, "odd"), (3, "images-12")):
        world.projects[number] = dataclasses.replace(world.projects[number], name=name)
    point = Label(901, "1", "#d12345", "points", (), 2)
    skeleton = Label(900, "body", "#c06060", "skeleton", (), 2, (point,), "<circle></circle>")
    world.projects[2] = dataclasses.replace(
        world.projects[2], labels=(*world.projects[2].labels, skeleton)
    )
    del world.tasks[1]  # the recorded calls expect that job 1 is gone
    server.world.version += 1


async def _ask_for_exports(replay: Replay) -> None:
    """Make the exports whose requests the recorded server remembered."""
    paths = [
        f"/api/tasks/{number}/dataset/export?format={name}&save_images={images}"
        for number in (3, 200, 304)
        for name in ("CVAT for images 1.1", "COCO 1.0", "Datumaro 1.0")
        for images in ("true", "false")
    ]
    paths += [f"/api/tasks/279/dataset/export?format={name} 1.0" for name in ("COCO", "Datumaro")]
    paths += [f"/api/tasks/279/dataset/export?format={name}" for name in ("MOT 1.1", "YOLO 1.1")]
    paths += [f"/api/projects/{number}/dataset/export?format=COCO 1.0" for number in (1, 2)]
    paths += [
        f"/api/jobs/3/dataset/export?format=COCO 1.0&save_images={images}"
        for images in ("true", "false")
    ]
    for path in paths:
        await replay.post(path.replace(" ", "+"))
    await replay.create()


async def _export_200(replay: Replay) -> None:
    for number in (3, 200):
        for images in ("true", "false"):
            await replay.post(
                f"/api/tasks/{number}/dataset/export?"
                f"format=CVAT+for+images+1.1&save_images={images}"
            )


async def _null_dates(replay: Replay) -> None:
    replay.server.faults.add(Fault(export="null_dates", count=1))
    for number in (3, 12):
        await replay.post(
            f"/api/tasks/{number}/dataset/export?format=CVAT+for+images+1.1&save_images=false"
        )
        replay.server.faults.add(Fault(export="null_dates", count=1))


async def _kill(replay: Replay) -> None:
    replay.server.faults.add(Fault(export="kill"))


async def _stop_application(replay: Replay) -> None:
    page = (
        "<html><head><title>502 Bad Gateway</title></head> <body> "
        "<center><h1>502 Bad Gateway</h1></center> <hr><center>nginx</center> </body> </html>"
    )
    replay.server.faults.add(Fault(status=502, body=page, content_type="text/html", times=5))


async def _stop_redis(replay: Replay) -> None:
    replay.server.faults.add(
        Fault(
            path="^/api/requests",
            status=503,
            body='"Redis service is not available"',
            content_type="application/vnd.cvat+json",
            headers={"Allow": "GET, HEAD, OPTIONS"},
            times=None,
        ),
        Fault(
            path="dataset/(export|download)|server/about",
            status=500,
            body=(
                '<!doctype html> <html lang="en"> <head> <title>Server Error (500)</title> </head>'
                " <body> <h1>Server Error (500)</h1><p></p> </body> </html>"
            ),
            times=None,
        ),
    )


async def _expire(replay: Replay) -> None:
    replay.server.export_queue.remove_results(lambda request: request.task_id == 202)


async def _use_up_the_anonymous_calls(replay: Replay) -> None:
    for _ in range(2):
        await replay.call("GET", "/api/server/about", {})


BEFORE: Final[dict[tuple[str, int], Callable[[Replay], Awaitable[None]]]] = {
    ("app_down_502", 1): _stop_application,
    ("cache_reuse", 14): _expire,
    ("export_errors", 0): _export_200,
    ("export_worker_killed", 0): _kill,
    ("finished_with_null_dates", 0): _null_dates,
    ("redis_down", 0): _stop_redis,
    ("requests_list", 0): _ask_for_exports,
    ("big_bodies_and_urls", 0): _ask_for_exports,
    ("throttle", 0): _use_up_the_anonymous_calls,
}
"""What happened on the recorded server before an exchange, besides calls."""


async def replay_scenario(
    scenario: str, exchanges: list[dict[str, Any]], shapes: list[Any]
) -> dict[int, list[str]]:
    """Replay a scenario; return the differences of each exchange that differs, by its number."""
    options = OPTIONS
    if scenario == "throttle":
        options = dataclasses.replace(options, throttle_anonymous=1)
    differences: dict[int, list[str]] = {}
    async with (
        SimulatedServer(options) as server,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=["User-Agent", "Content-Type"]
        ) as session,
    ):
        prepare(server)
        # Every export stays started until it is released: when exports ended is not recorded.
        server.faults.add(Fault(export="stick", times=None))
        accounts = server.accounts
        admin, worker = accounts.by_id[1], accounts.by_id[2]
        replay = Replay(
            server, session, scenario, accounts.token_of(admin), accounts.token_of(worker)
        )
        for index, exchange in enumerate(exchanges):
            received = await _replay_exchange(replay, index, exchange)
            found = compare(exchange["response"], shapes, received)
            if found:
                differences[index] = found
        await replay.settle()
    return differences


async def _replay_exchange(
    replay: Replay, index: int, exchange: dict[str, Any]
) -> ReceivedResponse:
    before = BEFORE.get((replay.scenario, index))
    if before is not None:
        await before(replay)
    request, response = exchange["request"], exchange["response"]
    if _needs_ended_exports(replay, request, response):
        await replay.settle(unquote(request["path"].rpartition("/")[2]))
    if request["method"] == "POST" and "/export?" in request["path"]:
        replay.asked.add(request["path"])
    headers = replay.headers(index, request.get("headers", {}))
    body = _body(replay, index, exchange, headers)
    path = FILE_ID.sub(replay.file_id, lengthen(request["path"]))
    path = RESTORE_ID.sub(replay.restore_id, path)
    received = await replay.call(request["method"], path, headers, body)
    replay.learn(response, received)
    replay.learn_restore(received)
    if replay.scenario == "auth_login" and index == 0:
        replay.cookies = _cookies_of(replay)
    return received


def _needs_ended_exports(replay: Replay, request: dict[str, Any], response: dict[str, Any]) -> bool:
    path = unquote(request["path"])
    if request["method"] == "POST":
        return response["status"] == 202 and request["path"] in replay.asked
    if response.get("text", "").startswith("The export process is not finished"):
        return "279" in path or replay.scenario == "export_worker_killed"  # those that failed
    if response["status"] >= 400 or response.get("request_status") in PENDING:
        return False
    if "status=queued" in path or "status=started" in path:
        return False
    return "/download" in path or path.startswith("/api/requests")


def _body(
    replay: Replay, index: int, exchange: dict[str, Any], headers: dict[str, str]
) -> bytes | None:
    recorded = exchange["request"].get("body")
    if headers.get("content-type", "").startswith("multipart/form-data"):
        if exchange["request"]["path"].startswith("/api/tasks/backup"):
            stream = io.BytesIO()
            write_backup(stream, [replay.server.tasks[207]])
            return form_of("task_file", stream.getvalue(), headers["content-type"])
        content = b"rubbish" if exchange.get("label") == "rubbish file" else ANNOTATION_FILE
        return form_of("annotation_file", content, headers["content-type"])
    if recorded is None:
        return None
    piece = re.fullmatch(r"<(\d+) bytes>", recorded) if isinstance(recorded, str) else None
    if piece is not None:
        start = int(headers["upload-offset"])
        return ANNOTATION_FILE[start : start + int(piece[1])]
    headers.setdefault("content-type", "application/json")
    text = recorded if isinstance(recorded, str) else json.dumps(recorded)
    password = WORKER_PASSWORD if "worker1" in text else ADMIN_PASSWORD
    if replay.scenario == "auth_login_bad" and index == 0:
        password = "wrong"
    text = text.replace("<redacted>", password)
    if "urlencoded" in headers.get("content-type", ""):
        return b"username=admin&password=x"
    return text.encode()


def form_of(name: str, content: bytes, content_type: str) -> bytes:
    """Return a form with a file, like the one that was sent, of which only the type is recorded."""
    boundary = content_type.rpartition("boundary=")[2]
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{name}"; filename="sent"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def _cookies_of(replay: Replay) -> dict[str, str]:
    (session_id, session), *_ = replay.server.accounts.sessions.items()
    return {
        "csrftoken": session.csrf_token,
        "sessionfresh": "1",
        "sessionid": session_id,
    }


# --- Comparing ----------------------------------------------------------------------------------


def compare(recorded: dict[str, Any], shapes: list[Any], received: ReceivedResponse) -> list[str]:
    """Return how a response differs from the recorded one; empty if it does not."""
    found = []
    if received.status != recorded["status"]:
        return [
            f"status {received.status} instead of {recorded['status']}: {received.body[:120]!r}"
        ]
    content_type = _media_type(received.headers.get("content-type", ""))
    if content_type != _media_type(recorded["type"]):
        found.append(f"content type {content_type!r} instead of {recorded['type']!r}")
        return found
    found += _compare_headers(recorded.get("headers", {}), received)
    return found + _compare_body(recorded, shapes, received.body)


def _compare_body(recorded: dict[str, Any], shapes: list[Any], body: bytes) -> list[str]:
    if "shape" in recorded:
        return _compare_json(recorded, shapes, json.loads(body))
    if "json" in recorded:
        value = json.loads(body)
        if _without_numbers(value) != _without_numbers(recorded["json"]):
            return [f"{value!r} instead of {recorded['json']!r}"]
    elif "text" in recorded and recorded["status"] >= 400:
        text = body.decode()
        if not _words(text).startswith(_words(recorded["text"])):
            return [f"{text!r} instead of {recorded['text']!r}"]
    elif recorded.get("binary") == "zip" and not body.startswith(b"PK\x03\x04"):
        return ["not an archive"]
    return []


def _compare_json(recorded: dict[str, Any], shapes: list[Any], value: Any) -> list[str]:
    expected = shapes[recorded["shape"]]
    status = recorded.get("request_status")
    if status in PENDING:  # whether it has started already is a matter of milliseconds
        expected = {**expected, "started_date": shape_of(value["started_date"])}
    found = compare_shapes(expected, shape_of(value), "")
    if status and value["status"] != status and {value["status"], status} != PENDING:
        found.append(f"request {value['status']} instead of {status}")
    return found


def _media_type(value: str) -> str:
    return re.sub(r"boundary=\S+", "boundary=...", value)


def _without_numbers(value: Any) -> str:
    return re.sub(r"\d+", "0", json.dumps(value))


def _words(text: str) -> str:
    """Return a page without the white space between its tags, or a text unchanged."""
    return re.sub(r"\s*(<[^>]*>)\s*", r"\1", text) if "<html" in text else text


def _compare_headers(recorded: dict[str, str], received: ReceivedResponse) -> list[str]:
    differences = []
    for name, value in recorded.items():
        actual = received.headers.get(name)
        if actual is None:
            differences.append(f"no {name}: {value}")
        elif value not in ("...", actual) and name not in VALIDATORS:
            differences.append(f"{name}: {actual} instead of {value}")
    return differences


def compare_shapes(expected: Any, actual: Any, where: str) -> list[str]:
    """Return how a shape differs from the recorded one."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _compare_objects(expected, actual, where)
    if isinstance(expected, list) and isinstance(actual, list):
        if expected and actual:
            return compare_shapes(expected[0], actual[0], f"{where}[]")
        if bool(expected) != bool(actual):
            return [f"{where} is {'empty' if expected else 'not empty'}"]
        return []
    nullable = where.rpartition(".")[2] in NULLABLE or where in NULLABLE_IN_LISTS
    if nullable and "null" in (expected, actual):
        return []
    if isinstance(expected, str) and isinstance(actual, str):
        allowed = {*expected.split("|"), *(("null",) if nullable else ())}
        if set(actual.split("|")) <= allowed:
            return []
    return [f"{where} is {json.dumps(actual)} instead of {json.dumps(expected)}"]


def _compare_objects(expected: dict[str, Any], actual: dict[str, Any], where: str) -> list[str]:
    found = []
    bare = {name.removesuffix("?"): name for name in expected}
    received = {name.removesuffix("?"): name for name in actual}
    for name, key in bare.items():
        if name in received:
            found += compare_shapes(expected[key], actual[received[name]], f"{where}.{name}")
        elif not key.endswith("?"):
            found.append(f"{where}.{name} is missing")
    return found + [f"{where}.{name} is not recorded" for name in received if name not in bare]

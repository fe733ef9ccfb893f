"""Recorded responses of a real server decode, and its refusals become one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from asynccvat.core.decoding import PageDecoder
from asynccvat.core.models import About, DataMeta, Formats, Project, Task, User
from asynccvat.core.requests import ServerRequest
from asynccvat.core.wire.responses import error_text, is_json, parse_date

KINDS: dict[str, Any] = {
    "/api/tasks": PageDecoder(Task),
    "/api/projects": PageDecoder(Project),
    "/api/requests": PageDecoder(ServerRequest),
    "/api/users/self": User,
    "/api/server/about": About,
    "/api/server/annotation/formats": Formats,
}


def exchanges(shared: Path) -> Iterator[tuple[str, int, dict[str, str], str]]:
    """Path, status, headers and whole body of every recorded call that was answered so."""
    for recording in sorted((shared / "contract" / "http").glob("*.json")):
        for exchange in json.loads(recording.read_text("utf-8"))["exchanges"]:
            response = exchange.get("response") or {}
            body = response.get("body")
            if isinstance(body, str) and "<cut, " not in body:
                headers = {name.lower(): value for name, value in response["headers"]}
                path = urlsplit(exchange["request"]["path"]).path
                yield f"{exchange['request']['method']} {path}", response["status"], headers, body


def kind_of(path: str) -> Any:
    method, _, path = path.partition(" ")
    if method != "GET":
        return None
    parts = path.split("/")
    if len(parts) == 4 and parts[2] == "tasks" and parts[3].isdigit():
        return Task
    if len(parts) == 6 and parts[2] == "tasks" and parts[4:] == ["data", "meta"]:
        return DataMeta
    if len(parts) == 4 and parts[2] == "requests":
        return ServerRequest
    return KINDS.get(path)


def test_recorded_responses_decode(shared: Path) -> None:
    decoded: dict[Any, int] = {}
    for path, status, headers, body in exchanges(shared):
        kind = kind_of(path)
        if status == 200 and kind is not None and is_json(headers.get("content-type")):
            if isinstance(kind, PageDecoder):
                assert kind.decode(body.encode()).unreadable == ()
            else:
                msgspec.json.decode(body, type=kind)
            decoded[kind] = decoded.get(kind, 0) + 1
    assert decoded.keys() == {*KINDS.values(), Task, DataMeta, ServerRequest}


def test_recorded_refusals_become_one_line(shared: Path) -> None:
    said: set[str] = set()
    for path, status, headers, body in exchanges(shared):
        if status >= 400:
            text = error_text(headers.get("content-type"), body.encode())
            assert text.isprintable(), path
            assert "<" not in text, path
            if body:
                assert text, path
            said.add(text)
    assert {
        "Invalid token.",
        "Redis service is not available",
        "502 Bad Gateway",
        "Server Error (500)",
        "Unable to log in with provided credentials.",
        "There is no request with specified id",
        "project_id: Enter a number.",
    } <= said


def test_recorded_dates_are_read(shared: Path) -> None:
    dates = [headers["date"] for _, _, headers, _ in exchanges(shared) if "date" in headers]
    assert dates
    assert all(parse_date(date) for date in dates)

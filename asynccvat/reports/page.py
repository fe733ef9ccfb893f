"""Write the data of a report into one page of HTML that needs no network.

The page runs its own scripts and styles alone: its content security policy names them by their
hashes. Data of the run is never markup: it is in a block of JSON, and the script shows it as text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from asynccvat.core.version import VERSION

MOST_PLAIN_CHARACTERS = 400_000
"""Longer data is compressed. Every browser since 2023 can read it."""

_SCRIPTS = ("vendored/d3.min.js", "vendored/plot.min.js", "format.js", "charts.js", "page.js")
_STYLE = "page.css"


def page(data: Mapping[str, Any]) -> str:
    """Return the page for the data of a run.

    Args:
        data: What `document` returns.
    """
    head = data["head"]
    server = f" of {head['server']}" if head["server"] else ""
    title = f"asynccvat {head['command']}{server}"
    return filled("template.html", _SCRIPTS, data, title=title, fallback=_fallback(head))


def filled(
    template: str, scripts: Sequence[str], data: Mapping[str, Any], *, title: str, fallback: str
) -> str:
    """Fill a template with data, and with the scripts that show it.

    Args:
        template: A file of this package, with names in double braces.
        scripts: Files of this package, in the order in which they run.
        data: What the scripts show, as JSON types.
        title: The title of the page.
        fallback: What is said where scripts do not run.
    """
    texts = [_resource(name) for name in scripts]
    style = _resource(_STYLE)
    parts = {
        "policy": _policy(texts, style),
        "title": escape(title),
        "style": style,
        "version": escape(VERSION),
        "fallback": escape(fallback),
        "data": _block(data),
        "scripts": "\n".join(f"<script>{script}</script>" for script in texts),
    }
    before, *rest = _resource(template).split("{{")
    found = [before]
    for part in rest:
        name, _, after = part.partition("}}")
        found += [parts[name], after]
    return "".join(found)


def _policy(scripts: list[str], style: str) -> str:
    """Return the content security policy: nothing is loaded, and only these scripts run."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _block(data: Mapping[str, Any]) -> str:
    """Return data as JSON in which nothing can end the block of the page, or begin markup."""
    text = json.dumps(data, separators=(",", ":"))
    if len(text) > MOST_PLAIN_CHARACTERS:
        packed = base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
        text = json.dumps({"gzip": packed})
    # All else that matters to HTML and to old JavaScript is escaped by the encoder: it is no ASCII.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _fallback(head: Mapping[str, Any]) -> str:
    """Return what is said where scripts do not run."""
    counts = ", ".join(f"{count:,} {action}" for action, count in head["counts"].items())
    return (
        f"asynccvat {head['command']} {head['server']}: {head['state']}. "
        f"{head['tasks']:,} {head['noun']}s ({counts}) in {head['seconds']:,} s. "
        "The rest of this page needs JavaScript, which this browser does not run."
    )


@cache
def _resource(name: str) -> str:
    """Return a file of this package. Line ends are those that browsers hash."""
    return files("asynccvat.reports").joinpath(name).read_text("utf-8").replace("\r\n", "\n")

"""Write the pages of a watch: its status, and each of its last rounds.

They are HTML without scripts and without other files.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape

from asynccvat.core.quantities import duration_text
from asynccvat.core.targets import TargetKind
from asynccvat.core.units import number_of_bytes
from asynccvat.core.watching.rounds import TaskFailure, WatchRound
from asynccvat.core.watching.status import WatchStatus

REFRESH_SECONDS = 10
"""After which a browser loads the page again."""

_FAILING_SHOWN = 200
_NAMES_SHOWN = 3

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f6f7f9; --sheet: #fff; --ink: #16191d; --soft: #5b6470; --line: #dfe3e8;
  --good: #14803c; --bad: #c62f2f; --good-paper: #e4f5e9; --bad-paper: #fdeaea;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #0f1216; --sheet: #171b21; --ink: #e8ebef; --soft: #9aa4b1; --line: #2a3038;
    --good: #5fd38a; --bad: #ff8a80; --good-paper: #15301f; --bad-paper: #3a1b1b;
  }
}
* { box-sizing: border-box; }
a { color: inherit; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; background: var(--paper);
       color: var(--ink); }
main { background: var(--sheet); border: 1px solid var(--line); border-radius: 12px;
       margin: 1.75rem auto; max-width: 72rem; padding: 1.25rem 1.5rem 1.5rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.75rem 0 .4rem; }
.state { font-weight: 600; overflow-wrap: anywhere; border-radius: 8px; padding: .5rem .85rem;
         margin: 0; }
.good { color: var(--good); background: var(--good-paper); }
.bad { color: var(--bad); background: var(--bad-paper); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-size: .85rem; font-weight: 600; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; }
td.text { overflow-wrap: anywhere; white-space: normal; width: 99%; min-width: 12rem; }
td.text:not(:last-child) { width: auto; }
@media (max-width: 1240px) { main { margin: 1rem; } }
@media (max-width: 40rem) {
  main { margin: .6rem .5rem; padding: 1rem; border-radius: 10px; }
  .detail { display: none; }
  th, td { padding-right: .6rem; }
  td.text { min-width: 7rem; }
}
@media print { main { margin: 0; max-width: none; border: 0; padding: 0; } }
"""

_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The headers of each page of a watch."""


def status_page(status: WatchStatus, now: datetime) -> str:
    """Return the page.

    Args:
        status: What the watch is doing.
        now: The date and time, for ages.
    """
    return _page(
        f"asynccvat watch: {status.destination}",
        f"""<h1>{escape(status.destination)}</h1>
{_headline(status, now)}
{_facts(status, now)}
{_failing(status)}
<h2>Last rounds</h2>
{_rounds(status, now)}""",
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n',
    )


def round_page(status: WatchStatus, number: int) -> str | None:
    """Return the page of one of the last rounds, None if it is no longer kept.

    Args:
        status: What the watch is doing.
        number: The round.
    """
    found = next((one for one in status.rounds if one.number == number), None)
    if found is None:
        return None
    facts = {
        "Began": _moment(found.began),
        "Took": f"{found.seconds:.1f} s",
        "Requests": f"{found.requests:,}",
        "Received": number_of_bytes(found.transferred),
        "Listed all tasks": "no" if found.full_because is None else str(found.full_because),
        "Woken by": found.woken_by or "nothing: its time had come",
        "Error": "none" if found.error is None else str(found.error),
    }
    changes = [
        (
            (str(one.task_id), "number"),
            (str(one.action), ""),
            (one.reason, ""),
            (one.name, "text"),
            (one.path, "text"),
        )
        for one in found.changes
    ]
    heads = (
        (str(status.target), "number"),
        ("what", ""),
        ("why", ""),
        ("name", ""),
        ("folder", ""),
    )
    failures = _failures(found.failures, status.target)
    return _page(
        f"asynccvat watch: round {number}",
        f"""<p><a href="../../status">{escape(status.destination)}</a></p>
<h1>Round {number:,}</h1>
{_list(facts)}
{_some("Changes", _table(heads, changes), found.changed, len(changes))}
{_some("Failed", failures, found.failed, len(found.failures))}
{_some("Warnings", _paragraphs(found.warnings), len(found.warnings), len(found.warnings))}""",
    )


def _page(title: str, main: str, head: str = "") -> str:
    """Return a page. Title is text, the other two are HTML."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{main}
</main>
</body>
</html>
"""


def _some(title: str, shown: str, count: int, length: int) -> str:
    """Return a part of a page with its title, nothing if there is nothing in it."""
    if not count:
        return ""
    more = f"<p>{count - length:,} more.</p>" if count > length else ""
    return f"<h2>{escape(title)}</h2>\n{shown}{more}"


def _paragraphs(texts: Iterable[str]) -> str:
    return "\n".join(f"<p>{escape(text)}</p>" for text in texts)


def _headline(status: WatchStatus, now: datetime) -> str:
    since = status.up_to_date_at
    if status.is_up_to_date and since is not None:
        return f'<p class="state good">Up to date {_age(since, now)}.</p>'
    old = "Never up to date so far" if since is None else f"Last up to date {_age(since, now)}"
    why = escape(status.problem.rstrip("."))
    return f'<p class="state bad">Not up to date: {why}. {old}.</p>'


def _facts(status: WatchStatus, now: datetime) -> str:
    doing = str(status.state)
    if status.next_at is not None:
        doing += f"; next round {_in(status.next_at, now)}"
    facts = {
        "Server": status.server,
        status.target.plural.capitalize(): f"{status.tasks:,}",
        "State": doing,
        "Looks every": duration_text(status.every),
        "Watching since": _moment(status.started),
        "Rounds": f"{status.rounds_total:,}",
        "Changes": _counts(status.changes_total) or "none",
        "Requests": f"{status.requests_total:,}",
        "Received": number_of_bytes(status.transferred_total),
    }
    if status.deliveries:
        facts["Webhooks"] = _counts(status.deliveries)
    return _list(facts)


def _list(facts: Mapping[str, str]) -> str:
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def _failing(status: WatchStatus) -> str:
    failures = list(status.failing.values())
    shown = failures[:_FAILING_SHOWN]
    title = "Stale: failed, and tried again"
    return _some(title, _failures(shown, status.target), len(failures), len(shown))


def _failures(failures: Iterable[TaskFailure], target: TargetKind) -> str:
    rows = [
        ((str(one.task_id), "number"), (one.name, "text"), (one.message, "text"))
        for one in failures
    ]
    return _table(((str(target), "number"), ("name", ""), ("why", "")), rows)


def _rounds(status: WatchStatus, now: datetime) -> str:
    if not status.rounds:
        return "<p>None has ended yet.</p>"
    heads = (
        ("round", "number"),
        ("began", ""),
        ("took", "number detail"),
        ("requests", "number detail"),
        ("changes", "number"),
        ("failed", "number"),
        ("what", ""),
    )
    rows = [
        (
            (f"{one.number:,}", f"number link:status/rounds/{one.number}"),
            (_age(one.began, now), ""),
            (f"{one.seconds:.1f} s", "number detail"),
            (f"{one.requests:,}", "number detail"),
            (f"{one.changed:,}", "number"),
            (f"{one.failed:,}", "number"),
            (_what(one), "text"),
        )
        for one in status.rounds
    ]
    return _table(heads, rows)


def _what(ended: WatchRound) -> str:
    """Describe a round in a few words."""
    parts: list[str] = []
    if ended.error is not None:
        parts.append(f"stopped: {ended.error}")
    if ended.full_because is not None:
        parts.append(f"listed all tasks: {ended.full_because}")
    if ended.woken_by:
        parts.append(f"woken by {ended.woken_by}")
    shown = ended.changes[:_NAMES_SHOWN]
    for action in dict.fromkeys(one.action for one in shown):
        names = ", ".join(one.name or str(one.task_id) for one in shown if one.action is action)
        parts.append(f"{action}: {names}")
    if ended.changed > len(shown):
        parts.append(f"{ended.changed - len(shown):,} more")
    if ended.failures:
        failed = ended.failures[:_NAMES_SHOWN]
        names = ", ".join(one.name or str(one.task_id) for one in failed)
        more = ended.failed - len(failed)
        parts.append(f"failed: {names}" + (f" and {more:,} more" if more > 0 else ""))
    parts += ended.warnings[:3]
    return "; ".join(parts) or "nothing to do"


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[tuple[str, str]]]) -> str:
    """Return a table. Each cell has a text and its classes; `link:` makes it a link."""
    head = "".join(_cell("th", text, kind) for text, kind in heads)
    body = "".join(
        f"<tr>{''.join(_cell('td', text, kind) for text, kind in row)}</tr>\n" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(tag: str, text: str, kind: str) -> str:
    kind, _, link = kind.partition(" link:")
    shown = f'<a href="{escape(link)}">{escape(text)}</a>' if link else escape(text)
    classes = f' class="{kind}"' if kind else ""
    return f"<{tag}{classes}>{shown}</{tag}>"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _age(moment: datetime, now: datetime) -> str:
    seconds = max(round((now - moment).total_seconds()), 0)
    return f"{duration_text(seconds)} ago" if seconds else "now"


def _in(moment: datetime, now: datetime) -> str:
    seconds = max(round((moment - now).total_seconds()), 0)
    return f"in {duration_text(seconds)}" if seconds else "now"

"""Draw the diagrams of the architecture page as SVG.

    python docs/diagrams/make.py

It writes `docs/assets/packages.svg` and `docs/assets/one-task.svg`. Pictures need no script in the
reader's browser, and look the same on a light and on a dark page.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

ASSETS = Path(__file__).resolve().parents[1] / "assets"

Floor = tuple[tuple[str, str], ...]
FLOORS: tuple[Floor, ...] = (
    (("cli", "commands and display"),),
    (("runfiles", "files of steps"),),
    (("api", "the verbs"),),
    (("commands", "mirror, download, upload, verify"),),
    (("transfer", "many tasks at once"),),
    (("archives", "HTTP into staged files"),),
    (("client", "CVAT's REST API"), ("reports", "pages about runs")),
    (
        ("http", "calls, retries"),
        ("progress", "numbers"),
        ("settings", "server, user"),
        ("store", "destinations"),
        ("telemetry", "spans"),
    ),
    (
        ("aio", "threads, task groups"),
        ("events", "what happened"),
        ("fs", "effects on the disk"),
        ("models", "public values"),
    ),
    (("core", "decisions: pure values and functions"),),
    (("errors", "what can go wrong"),),
)
"""From the top floor down, as in `tests/test_floors.py`."""

PARTICIPANTS = ("transfer", "CVAT", "archives", "store")
Message = tuple[str, str, str]
MESSAGES: tuple[Message, ...] = (
    ("transfer", "CVAT", "POST dataset/export"),
    ("CVAT", "transfer", "202 and the request's id"),
    ("transfer", "transfer", "predict or poll its end"),
    ("transfer", "archives", "read the archive"),
    ("archives", "CVAT", "GET the last 256 KiB"),
    ("CVAT", "archives", "the directory, perhaps all"),
    ("archives", "archives", "check names, sizes, room"),
    ("archives", "store", "reuse members on disk"),
    ("archives", "CVAT", "GET the missing ranges"),
    ("CVAT", "archives", "members"),
    ("archives", "store", "stage files, check CRCs"),
    ("transfer", "store", "commit"),
    ("store", "transfer", "folder and receipt in place"),
)

INK, LINE, PAPER, FILL, PALE = "#1f2d3a", "#5b7083", "#ffffff", "#e3f1ee", "#f2f5f7"
FONT = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def packages() -> str:
    """Draw the floors, the highest on top, with the simulator beside them."""
    width, row, gap, left, top = 920, 54, 16, 70, 24
    inner, body = 640, []
    for number, floor in enumerate(FLOORS):
        y = top + number * (row + gap)
        body.append(_text(left - 18, y + row / 2 + 5, str(len(FLOORS) - number), LINE, "end"))
        box = (inner - gap * (len(floor) - 1)) / len(floor)
        for place, (name, what) in enumerate(floor):
            body += _box((left + place * (box + gap), y, box, row), name, what)
    height = top * 2 + len(FLOORS) * (row + gap) - gap
    body.append(_arrow(24, top, 24, height - top))
    body.append(_text(20, top - 8, "imports", LINE, "start"))
    side = left + inner + 40
    beside = (side, top, width - side - 20, row * 2 + gap)
    body += _box(beside, "simulator", "a CVAT server", PALE)
    body.append(_arrow(left + inner, top + row / 2, side, top + row / 2, dashed=True))
    below = top + row * 2 + gap + 20
    body.append(_text(side, below, "imports nothing of them", LINE))
    return _picture(width, height, body)


def one_task() -> str:
    """Draw one task's way as a sequence of messages."""
    width, top, step = 920, 78, 40
    at = {name: 110 + place * 233 for place, name in enumerate(PARTICIPANTS)}
    height = top + len(MESSAGES) * step + 20
    body = [
        f'<line x1="{x}" y1="58" x2="{x}" y2="{height - 14}" stroke="{LINE}" '
        'stroke-dasharray="4 5"/>'
        for x in at.values()
    ]
    for name, x in at.items():
        body += _box((x - 75, 18, 150, 40), name)
    for number, (sender, receiver, what) in enumerate(MESSAGES, start=1):
        y = top + number * step - 18
        start, end = at[sender], at[receiver]
        if start == end:
            body.append(_text(start + 10, y, f"{number}. {what}", INK))
            body.append(f'<circle cx="{start}" cy="{y - 5}" r="4" fill="{INK}"/>')
            continue
        body.append(_arrow(start, y, end, y, dashed=sender in ("CVAT", "store")))
        body.append(_text((start + end) / 2, y - 7, f"{number}. {what}", INK, "middle", halo=True))
    return _picture(width, height, body)


def _box(
    place: tuple[float, float, float, float], name: str, what: str = "", fill: str = FILL
) -> list[str]:
    x, y, width, height = place
    middle = x + width / 2
    line = y + height / 2 + (5 if not what else -3)
    frame = (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" '
        f'stroke="{LINE}"/>'
    )
    title = (
        f'<text x="{middle:g}" y="{line:g}" text-anchor="middle" font-weight="600" '
        f'fill="{INK}">{escape(name)}</text>'
    )
    parts = [frame, title]
    if what:
        parts.append(_text(middle, line + 18, what, LINE, "middle"))
    return parts


def _text(
    x: float, y: float, text: str, fill: str, anchor: str = "start", *, halo: bool = False
) -> str:
    edge = f' paint-order="stroke" stroke="{PAPER}" stroke-width="5"' if halo else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="13" fill="{fill}"{edge}>'
        f"{escape(text)}</text>"
    )


def _arrow(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{INK}" '
        f'stroke-width="1.4" marker-end="url(#tip)"{dashes}/>'
    )


def _picture(width: float, height: float, body: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="{FONT}" font-size="15">'
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0 0 10 5 0 10z" fill="{INK}"/></marker></defs>'
    )
    paper = f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>'
    return "\n".join([head, tip, paper, *body, "</svg>\n"])


def main() -> None:
    """Write both pictures."""
    for name, picture in (("packages.svg", packages()), ("one-task.svg", one_task())):
        (ASSETS / name).write_text(picture, "utf-8")


if __name__ == "__main__":
    main()

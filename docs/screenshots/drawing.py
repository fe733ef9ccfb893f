"""Draw what a terminal showed: one frame, or a film of all of them, as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from xml.sax.saxutils import escape

from recording import Frame, Row

CHARACTER, LINE, MARGIN, BAR = 8.4, 19.0, 18.0, 34.0
LAST_FRAME_SECONDS = 6.0
_FONT = (
    'text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;'
    "white-space:pre}"
)


def still(frame: Frame, title: str, columns: int) -> str:
    """Return one frame as an SVG.

    Args:
        frame: What the terminal showed.
        title: What it is, for who does not see it.
        columns: The width of the terminal.
    """
    inner = len(frame.rows) * LINE + MARGIN
    return _window(title, columns, inner, _drawn(frame), _FONT)


def film(frames: Sequence[Frame], title: str, columns: int) -> str:
    """Return frames as an SVG: one below the other, moved past a window by CSS.

    Viewers that do not animate show the last one.
    """
    total = frames[-1].seconds + LAST_FRAME_SECONDS
    inner = max(len(frame.rows) for frame in frames) * LINE + MARGIN
    moves = "".join(
        f"{100 * frame.seconds / total:.3f}%{{transform:translateY({-number * inner:.0f}px)}}"
        for number, frame in enumerate(frames)
    )
    end = -(len(frames) - 1) * inner
    style = (
        f"{_FONT}\n#film{{animation:film {total:.1f}s steps(1,end) infinite}}\n"
        f"@keyframes film{{{moves}100%{{transform:translateY({end:.0f}px)}}}}\n"
        "@media (prefers-reduced-motion:reduce){#film{animation:none}}"
    )
    drawn = "\n".join(
        f'<g transform="translate(0 {number * inner:.0f})">{_drawn(frame)}</g>'
        for number, frame in enumerate(frames)
    )
    shown = f'<g id="film" transform="translate(0 {end:.0f})">\n{drawn}\n</g>'
    return _window(title, columns, inner, shown, style)


def _window(title: str, columns: int, inner: float, shown: str, style: str) -> str:
    width, height = columns * CHARACTER + 2 * MARGIN, BAR + inner
    buttons = "".join(
        f'<circle cx="{MARGIN + 4 + 20 * number}" cy="{BAR / 2}" r="6" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" \
width="{width:.0f}" height="{height:.0f}" role="img">
<title>{escape(title)}</title>
<style>
{style}
</style>
<rect width="100%" height="100%" rx="8" fill="#161b22"/>
{buttons}
<svg x="{MARGIN}" y="{BAR}" width="{width - 2 * MARGIN:.0f}" height="{inner:.0f}">
<g fill="#e6edf3">
{shown}
</g>
</svg>
</svg>
"""


def _drawn(frame: Frame) -> str:
    return "".join(_text(row, number) for number, row in enumerate(frame.rows))


def _text(row: Row, number: int) -> str:
    """Return one line as text elements, one for each run of a colour."""
    found, start = [], 0
    for (colour, bold), run in groupby(row, key=lambda cell: (cell.colour, cell.bold)):
        text = "".join(cell.text for cell in run)
        if text.strip():
            shown = text.rstrip()
            look = f' fill="{colour}"' if colour else ""
            look += ' font-weight="bold"' if bold else ""
            found.append(
                f'<text x="{start * CHARACTER:.1f}" y="{(number + 1) * LINE - 5:.0f}" '
                f'textLength="{len(shown) * CHARACTER:.1f}"{look}>{escape(shown)}</text>'
            )
        start += len(text)
    return "".join(found)

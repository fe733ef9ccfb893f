"""Record `asynccvat` in a pseudo-terminal and draw the recording as an animated SVG.

    python docs/screenshots/make.py

It starts the simulated server, runs real commands in a pseudo-terminal, and writes
`docs/assets/mirror.svg`. Viewers that do not animate show the last frame.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from asynccvat.simulator import ServerProcess, SimulatorOptions

TARGET = Path(__file__).resolve().parents[1] / "assets" / "mirror.svg"
COLUMNS, ROWS = 92, 11
CHARACTER, LINE, MARGIN, BAR = 8.4, 19.0, 18.0, 34.0
FRAMES_A_SECOND = 4
LAST_FRAME_SECONDS = 6.0
TASKS, EDITED = 120, (7, 31, 98)

_SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[()][A-Z0-9]")
_REFRESH = re.compile(r"(?=\r\x1b\[2K)")
_GREY = "#7d8590"
_COLOURS = {31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 36: "#a5d6ff", 90: _GREY}
_PALETTE = {237: "#3a3f47"}
_BOLD, _DIM = "bold", "dim"

Style = tuple[str, ...]


@dataclass
class Terminal:
    """The visible text of a terminal: as much of the ANSI sequences as rich writes."""

    lines: list[list[tuple[str, Style]]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    style: Style = ()

    def feed(self, text: str) -> None:
        """Take what a program wrote."""
        position = 0
        while position < len(text):
            sequence = _SEQUENCE.match(text, position)
            if sequence:
                self._control(sequence[1] or "", sequence[2] or "")
                position = sequence.end()
                continue
            self._character(text[position])
            position += 1

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append([])
        elif character >= " ":
            if self.column == COLUMNS:
                self._character("\r")
                self._character("\n")
            line = self.lines[self.row]
            line.extend([(" ", ())] * (self.column - len(line)))
            line[self.column : self.column + 1] = [(character, self.style)]
            self.column += 1

    def _control(self, parameters: str, command: str) -> None:
        if command == "m":
            self.style = _styled(self.style, [int(part or 0) for part in parameters.split(";")])
        elif command == "A":
            self.row = max(0, self.row - int(parameters or 1))
        elif command == "K":
            keep = 0 if parameters == "2" else self.column
            del self.lines[self.row][keep:]

    def snapshot(self) -> tuple[str, ...]:
        """The last rows, each as the text elements of an SVG."""
        shown = self.lines[-ROWS:]
        return tuple(filter(None, (_text(line, row) for row, line in enumerate(shown))))


def _styled(style: Style, codes: list[int]) -> Style:
    """The style after a sequence of SGR codes."""
    codes = list(codes)
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = ()
        elif code in (1, 2):
            style = (*style, _BOLD if code == 1 else _DIM)
        elif code == 38 and codes.pop(0) == 2:
            red, green, blue, *codes = codes
            style = (*style, f"#{red:02x}{green:02x}{blue:02x}")
        elif code == 38:
            style = (*style, _PALETTE.get(codes.pop(0), _GREY))
        elif code in _COLOURS:
            style = (*style, _COLOURS[code])
    return style


def _text(line: list[tuple[str, Style]], row: int) -> str:
    """One line of the terminal as text elements, one for each run of a style."""
    found, start = [], 0
    for end in range(1, len(line) + 1):
        if end < len(line) and line[end][1] == line[start][1]:
            continue
        text, style = "".join(character for character, _ in line[start:end]), line[start][1]
        if text.strip():
            colour = next((part for part in reversed(style) if part.startswith("#")), "")
            colour = colour or (_GREY if _DIM in style else "")
            look = (f' fill="{colour}"' if colour else "") + (
                ' font-weight="bold"' if _BOLD in style else ""
            )
            found.append(
                f'<text x="{start * CHARACTER:.1f}" y="{(row + 1) * LINE - 5:.0f}" '
                f'textLength="{len(text) * CHARACTER:.1f}"{look}>{escape(text)}</text>'
            )
        start = end
    return "".join(found)


@dataclass
class Recording:
    """Frames of a terminal, each with the seconds after the start at which it begins."""

    terminal: Terminal = field(default_factory=Terminal)
    frames: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, seconds: float) -> None:
        """Take a frame, if something changed since the last one."""
        frame = self.terminal.snapshot()
        if not self.frames or self.frames[-1][1] != frame:
            self.frames.append((seconds, frame))

    def type(self, command: str, pause: float = 1.0) -> None:
        """Show a prompt with a command, and wait as a person would before the return key."""
        self.terminal.style = ()
        self.terminal.feed("\x1b[32m$\x1b[0m " + command)
        self.note(self.seconds)
        self.seconds += pause
        self.terminal.feed("\r\n")

    def run(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        """Run a command in a pseudo-terminal and record what it shows."""
        pid, handle = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execvpe(arguments[0], arguments, environment)
        fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        began = noted = time.monotonic()
        rest = b""
        while True:
            try:
                read = os.read(handle, 65536)
            except OSError:  # Linux says EIO when the program has closed the terminal
                break
            if not read:
                break
            rest += read
            text = rest.decode(errors="ignore")
            rest = rest[len(text.encode()) :] if len(text.encode()) < len(rest) else b""
            for part in _REFRESH.split(text):
                # Right before rich erases its display, the display is whole.
                now = time.monotonic()
                if _REFRESH.match(part) and now - noted >= 1 / FRAMES_A_SECOND:
                    self.note(self.seconds + now - began)
                    noted = now
                self.terminal.feed(part)
        _, status = os.waitpid(pid, 0)
        os.close(handle)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{' '.join(arguments)} failed:\n{self.terminal.lines}")
        self.seconds += time.monotonic() - began
        self.note(self.seconds)
        self.seconds += 1.0


def record() -> Recording:
    """A first mirror, a second one after three edits, and a verification."""
    recording = Recording()
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(SimulatorOptions(tasks=TASKS, costs=True)) as server,
    ):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CVAT_")
        }
        environment |= {
            "CVAT_URL": server.url,
            "CVAT_ACCESS_TOKEN": server.token,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "COLUMNS": str(COLUMNS),
        }
        program = [sys.executable, "-m", "asynccvat"]

        def show(*arguments: str) -> None:
            recording.type(" ".join(("asynccvat", *arguments)))
            recording.run([*program, *arguments], Path(folder), environment)

        show("mirror", "data/")
        for task_id in EDITED:
            server.do("edit_task", task_id=task_id)
        recording.type(f"# {len(EDITED)} tasks are edited on the server", 1.5)
        show("mirror", "data/")
        show("verify", "data/")
        recording.type("", 0)
    return recording


def draw(recording: Recording) -> str:
    """The recording as an SVG: frames one below the other, moved past a window by CSS."""
    frames = recording.frames
    total = frames[-1][0] + LAST_FRAME_SECONDS
    rows = max(len(frame) for _, frame in frames)
    inner = rows * LINE + MARGIN
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, BAR + inner
    moves = "".join(
        f"{100 * start / total:.3f}%{{transform:translateY({-number * inner:.0f}px)}}"
        for number, (start, _) in enumerate(frames)
    )
    last = f"translate(0 {-(len(frames) - 1) * inner:.0f})"
    drawn = "\n".join(
        f'<g transform="translate(0 {number * inner:.0f})">{"".join(frame)}</g>'
        for number, (_, frame) in enumerate(frames)
    )
    buttons = "".join(
        f'<circle cx="{MARGIN + 4 + 20 * number}" cy="{BAR / 2}" r="6" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" \
width="{width:.0f}" height="{height:.0f}" role="img">
<title>A mirror of {TASKS} tasks, an update after {len(EDITED)} edits, and a verification</title>
<style>
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;\
white-space:pre}}
#film{{animation:film {total:.1f}s steps(1,end) infinite}}
@keyframes film{{{moves}100%{{transform:translateY({-(len(frames) - 1) * inner:.0f}px)}}}}
@media (prefers-reduced-motion:reduce){{#film{{animation:none}}}}
</style>
<rect width="100%" height="100%" rx="8" fill="#161b22"/>
{buttons}
<svg x="{MARGIN}" y="{BAR}" width="{width - 2 * MARGIN:.0f}" height="{inner:.0f}">
<g id="film" fill="#e6edf3" transform="{last}">
{drawn}
</g>
</svg>
</svg>
"""


if __name__ == "__main__":
    TARGET.write_text(draw(record()), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")

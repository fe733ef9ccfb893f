"""Run commands in a pseudo-terminal, and keep what the terminal showed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyte

FRAMES_A_SECOND = 5
PROGRAM = [sys.executable, "-m", "asynccvat"]

# rich erases its lines before it draws them again: right before, the display is whole.
_REFRESH = re.compile(r"(?=\r\x1b\[2K)")


@dataclass(frozen=True, slots=True)
class Cell:
    """One character, with its colour (`""` for the usual one) and whether it is bold."""

    text: str
    colour: str
    bold: bool


Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What a terminal shows from `seconds` after the start on."""

    seconds: float
    rows: tuple[Row, ...]

    @property
    def text(self) -> str:
        """The characters alone."""
        return "\n".join("".join(cell.text for cell in row).rstrip() for row in self.rows)


@dataclass
class Recording:
    """A terminal, and the frames that it showed.

    Attributes:
        columns: Its width in characters.
        lines: Its height.
        frames: What it showed, in order.
        seconds: The time of the recording so far.
    """

    columns: int = 80
    lines: int = 24
    frames: list[Frame] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._screen = pyte.Screen(self.columns, self.lines)
        self._stream = pyte.Stream(self._screen)

    def note(self, seconds: float) -> None:
        """Keep what is shown, if something changed since the last frame."""
        frame = Frame(seconds, self._rows())
        if not self.frames or self.frames[-1].rows != frame.rows:
            self.frames.append(frame)

    def type(self, command: str, pause: float = 1.0) -> None:
        """Show a prompt with a command, and wait as a person would before the return key."""
        self._stream.feed(f"\x1b[0m\x1b[32m$\x1b[0m {command}")
        self.note(self.seconds)
        self.seconds += pause
        self._stream.feed("\r\n")

    def run(
        self,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str],
        *,
        codes: tuple[int, ...] = (0,),
        on_frame: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Run a command and record what it shows.

        Args:
            arguments: The program and its arguments.
            folder: Where it runs.
            environment: Its environment.
            codes: The exit codes that are expected.
            on_frame: Called with the text of each frame, for example to break the server.
        """
        pid, handle = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execvpe(arguments[0], arguments, environment)
        fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))
        began = noted = time.monotonic()
        rest = b""
        while piece := _read(handle):
            text = (rest + piece).decode(errors="ignore")
            rest = (rest + piece)[len(text.encode()) :]
            for part in _REFRESH.split(text):
                now = time.monotonic()
                if _REFRESH.match(part) and now - noted >= 1 / FRAMES_A_SECOND:
                    self.note(self.seconds + now - began)
                    on_frame(self.frames[-1].text)
                    noted = now
                self._stream.feed(part)
        _, status = os.waitpid(pid, 0)
        os.close(handle)
        if os.waitstatus_to_exitcode(status) not in codes:
            raise SystemExit(f"{' '.join(arguments)} failed:\n{Frame(0, self._rows()).text}")
        self.seconds += time.monotonic() - began
        self.note(self.seconds)
        self.seconds += 1.0

    def last(self, when: Callable[[str], object]) -> Frame:
        """Return the last frame whose text fits."""
        return next(frame for frame in reversed(self.frames) if when(frame.text))

    def first(self, when: Callable[[str], object]) -> Frame:
        """Return the first frame whose text fits."""
        return next(frame for frame in self.frames if when(frame.text))

    def _rows(self) -> tuple[Row, ...]:
        rows = [
            tuple(
                Cell(cell.data, _colour(cell.fg), cell.bold)
                for cell in (self._screen.buffer[line][column] for column in range(self.columns))
            )
            for line in range(self.lines)
        ]
        while rows and not "".join(cell.text for cell in rows[-1]).strip():
            rows.pop()
        return tuple(rows)


_COLOURS = {
    "default": "",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#e3b341",
    "yellow": "#e3b341",
    "blue": "#79c0ff",
    "cyan": "#a5d6ff",
    "magenta": "#d2a8ff",
    "black": "#7d8590",
    "brightblack": "#7d8590",
}


def _colour(name: str) -> str:
    return _COLOURS.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else "")


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # Linux says EIO when the program has closed the terminal
        return b""

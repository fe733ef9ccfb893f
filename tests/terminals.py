"""Commands on a terminal that answers their questions."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

CTRL_C, CTRL_D = "\x03", "\x04"


def on_a_terminal(
    directory: Path,
    arguments: tuple[str, ...],
    answers: tuple[tuple[str, str], ...],
    *,
    code: int = 0,
) -> str:
    """Run a command on a terminal, answer its questions, and return what it showed.

    Args:
        directory: The working directory.
        arguments: The command's arguments.
        answers: Parts of its questions, each with what is typed then: text, which Enter follows, or
            `CTRL_C` or `CTRL_D`.
        code: The exit code that is expected.
    """
    outer, inner = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "asynccvat", *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=directory,
        start_new_session=True,
    )
    os.close(inner)
    shown, seen = "", 0
    for question, answer in answers:
        while question not in shown[seen:]:
            shown += os.read(outer, 1 << 16).decode()
        seen = len(shown)
        if answer == CTRL_C:  # the terminal is not the command's own, and sends no signal
            command.send_signal(signal.SIGINT)
        else:
            os.write(outer, (answer if answer == CTRL_D else f"{answer}\n").encode())
    while True:
        try:
            piece = os.read(outer, 1 << 16)
        except OSError:  # the last writer has closed it
            break
        shown += piece.decode()
    os.close(outer)
    assert command.wait(timeout=60) == code, shown
    return shown

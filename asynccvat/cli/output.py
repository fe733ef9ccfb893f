"""Results on stdout: tables for people, lines for pipes, JSON for programs."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from asynccvat.cli.text import counted, number_of_bytes, printable, span

if TYPE_CHECKING:
    from rich.console import Console

    from asynccvat import RunReport

Row = Sequence[object]

# Places on the screen: between two columns, and of a folded one that can still be read.
_MARGIN = 3
_FOLDED = 8


def results() -> Console:
    """The console of stdout."""
    from rich.console import Console  # noqa: PLC0415 - the start-up of `--help` stays light

    return Console(highlight=False, markup=False)


def remarks() -> Console:
    """The console of stderr."""
    from rich.console import Console  # noqa: PLC0415 - the start-up of `--help` stays light

    return Console(stderr=True, highlight=False, markup=False)


class StdoutError(Exception):
    """Stdout takes nothing any more, and not because its reader left."""


def prepare_stdout() -> None:
    """Let names that stdout's encoding does not know be written as escapes, not end a command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write(line: str) -> None:
    """One line on stdout.

    Raises:
        StdoutError: It cannot be written.
    """
    _on_stdout(lambda: sys.stdout.write(line + "\n"))


def remark(line: str) -> None:
    """One line on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def flush() -> None:
    """Let stdout go out now.

    Raises:
        StdoutError: It cannot be written.
    """
    _on_stdout(sys.stdout.flush)


def _on_stdout(act: Callable[[], object]) -> None:
    try:
        act()
    except BrokenPipeError:
        raise  # whoever read it has left, as `head` does: nobody to tell
    except OSError as error:
        give_up_stdout()
        raise StdoutError(f"cannot write to stdout: {error.strerror}") from error


def give_up_stdout() -> None:
    """Send what is still to be written nowhere, or Python tries once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_json(value: Any) -> None:
    """A value as indented JSON on stdout."""
    unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    write(json.dumps(value, indent=2, ensure_ascii=not unicode, default=str))


def write_json_line(value: Any) -> None:
    """A value as one line of JSON on stdout."""
    unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    write(json.dumps(value, ensure_ascii=not unicode, default=str))


def table(
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
    numbers: Sequence[str] = (),
    wraps: Sequence[str] = (),
) -> None:
    """A table: drawn on a terminal, one line of tab-separated cells a row elsewhere.

    A terminal shows no column that has nothing in it, and nothing is cut off: what is too wide for
    it is folded.

    Args:
        columns: Their titles.
        rows: Their cells; None is an empty one.
        numbers: The titles of the columns that are set to the right.
        wraps: The titles of the columns that give way where the terminal is narrow.
    """
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [list(columns), *cells]:
            write("\t".join(row))
        return
    from rich import box  # noqa: PLC0415 - the start-up of `--help` stays light
    from rich.cells import cell_len  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    console = results()
    told = {
        title: column
        for title, *column in zip(columns, *cells, strict=True)
        if any(column) or not cells
    }
    needed = sum(
        _FOLDED if title in wraps else max(map(cell_len, [title, *column]))
        for title, column in told.items()
    )
    folds = needed + _MARGIN * (len(told) - 1) > console.width
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in told:
        drawn.add_column(
            title,
            justify="right" if title in numbers else "left",
            overflow="fold",
            no_wrap=not folds and title not in wraps,
        )
    for cells_of_row in zip(*told.values(), strict=True):
        drawn.add_row(*cells_of_row)
    console.print(drawn)


def summary(report: RunReport, place: str) -> None:
    """What a run did, in a line or two on stdout."""
    counts = report.summary()["counts"]
    nothing = "none done yet" if report.interrupted else "nothing to do"
    moved = "sent" if "uploaded" in counts else "received"
    parts = [f"{count:,} {action}" for action, count in counts.items()] or [nothing]
    how, idle = "Done in", ""
    if report.interrupted:
        # Nobody interrupted what an error stopped.
        how = "Interrupted after" if report.stopped_by is None else "Stopped after"
    elif counts and counts.keys() <= {"kept", "skipped"}:
        idle = ", nothing to do"
    write(
        f"{how} {span(report.seconds)}{idle}: {counted(len(report.outcomes), 'task')} "
        f"({', '.join(parts)}), {number_of_bytes(report.transferred)} {moved}, "
        f"{counted(report.requests, 'request')}: {place}"
    )
    if not report.listing_complete:
        write("The list of tasks kept changing while it was read: run again for the rest.")


class EventLog:
    """`--log-json`: each event appended as one line of JSON, with the time `at` which it came.

    A log that cannot be written to any more (a full disk) does not end the run: it says so once.
    """

    def __init__(self, path: Path) -> None:
        try:
            # Unbuffered: what a full disk refused must not come again when the file is closed.
            self._file: BinaryIO | None = path.open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, "--log-json", error) from error
        self._path = path

    def write(self, record: dict[str, Any], at: str) -> None:
        """One line."""
        if self._file is None:
            return
        try:
            line = json.dumps({"at": at, **record}, ensure_ascii=False, default=str)
            self._file.write(f"{line}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            self.close()
            remark(f"warning: {self._path}: {error.strerror}: the event log ends here")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def check_writable(path: Path, option: str) -> None:
    """Refuse a file that could not be written at the end of a run, before it begins.

    Raises:
        typer.BadParameter: Its folder is not there, or may not be written to.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "is a folder, not a file")
        if _is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(0, "Permission denied")
            return
        with _beside(path).open("w", encoding="utf-8"):
            pass
        _beside(path).unlink()
    except OSError as error:
        raise _unwritable(path, option, error) from error


def save_json(value: Any, path: Path) -> bool:
    """A value as JSON in a file, which is replaced whole where it is a file of its own.

    Returns:
        Whether it could be written. If not, a line says so: what was done stays done, and why it
        ended counts for more.
    """
    try:
        # In UTF-8 only lone surrogates are escaped (bytes of a path that is not UTF-8), as \\udcff,
        # which JSON reads.
        encoded = (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode(
            "utf-8", "backslashreplace"
        )
        if _is_special(path):
            path.write_bytes(encoded)
        else:
            try:
                _beside(path).write_bytes(encoded)
                _beside(path).replace(path)
            except OSError:
                _beside(path).unlink(missing_ok=True)
                raise
    except OSError as error:
        remark(f"warning: {path}: {error.strerror}: the report could not be written")
        return False
    return True


def _is_special(path: Path) -> bool:
    """Whether it is a device, a pipe or a link: to be written to, never to be replaced."""
    return path.is_symlink() or (path.exists() and not path.is_file())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _unwritable(path: Path, option: str, error: OSError) -> typer.BadParameter:
    return typer.BadParameter(
        f"cannot write {path}: {error.strerror}: choose a file in a folder that you may write to",
        param_hint=option,
    )

"""Write results to stdout (tables, lines, JSON), messages to stderr, and reports to files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import typer

from asynccvat.cli.links import Link, shows_links
from asynccvat.cli.text import printable
from asynccvat.cli.wrapping import width_of, wrapped

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


Row = Sequence[object]

# Characters between two columns, and of the narrowest column that can still be read.
_MARGIN = 3
_FOLDED = 8
# Where columns would be narrower on average, a row is a block of lines.
_NARROWEST = 6


def results() -> Console:
    """Return the console of stdout."""
    from rich.console import Console  # noqa: PLC0415 - the start-up of `--help` stays light

    return Console(highlight=False, markup=False)


def remarks() -> Console:
    """Return the console of stderr."""
    from rich.console import Console  # noqa: PLC0415 - the start-up of `--help` stays light

    # It has the methods that rich calls.
    return Console(file=cast("IO[str]", _Stderr()), highlight=False, markup=False)


class _Stderr:
    """Stderr, as far as it can be written to: a message that is lost stops no work.

    Its disk may be full, its reader may have left, or it may be closed. Of a reader that has left,
    rich would discard what is written to stdout from then on.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            if sys.stderr is not None:
                sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            if sys.stderr is not None:
                sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


class StdoutError(Exception):
    """Stdout cannot be written to, although its reader has not left."""


def prepare_stdout() -> None:
    """Write characters that stdout's encoding lacks as escapes, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write(line: str) -> None:
    """Write a line to stdout.

    Raises:
        StdoutError: Stdout cannot be written to.
    """
    _on_stdout(lambda: sys.stdout.write(line + "\n"))


def sentence(text: str, *, indent: int = 2) -> None:
    """Write a sentence to stdout: one line, or on a terminal lines that are wrapped at words.

    Args:
        text: The sentence.
        indent: By how many blanks its further lines are indented.

    Raises:
        StdoutError: Stdout cannot be written to.
    """
    width = width_of(sys.stdout)
    for line in [text] if width is None else wrapped(text, width, indent=indent):
        write(line)


def command(line: str) -> None:
    """Write a command to copy to stdout: always one line, on a terminal in colour.

    Raises:
        StdoutError: Stdout cannot be written to.
    """
    if width_of(sys.stdout) is None:
        write(line)
        return
    from rich.text import Text  # noqa: PLC0415 - the start-up of `--help` stays light

    _on_stdout(lambda: results().print(Text(line, style="cyan"), soft_wrap=True))


def remark(text: str) -> None:
    """Write a sentence to stderr as `sentence` does, if it can be written to."""
    stderr, width = _Stderr(), width_of(sys.stderr)
    for line in text.split("\n"):
        shown = [line] if width is None else wrapped(line, width)
        stderr.write("".join(f"{one}\n" for one in shown))
    stderr.flush()


def flush() -> None:
    """Flush stdout.

    Raises:
        StdoutError: Stdout cannot be written to.
    """
    _on_stdout(sys.stdout.flush)


def _on_stdout(act: Callable[[], object]) -> None:
    try:
        act()
    except BrokenPipeError:
        raise  # the reader has left, as `head` does, and needs no message
    except OSError as error:
        give_up_stdout()
        raise StdoutError(f"cannot write to stdout: {error.strerror}") from error


def give_up_stdout() -> None:
    """Discard what is buffered; otherwise Python writes it once more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_stderr() -> None:
    """Discard messages that stderr does not take; otherwise Python exits with another code."""
    stderr = sys.stderr
    if stderr is None:
        return
    try:
        stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stderr.fileno())


def write_json(value: Any) -> None:
    """Write a value to stdout as indented JSON."""
    unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    write(json.dumps(value, indent=2, ensure_ascii=not unicode, default=str))


def write_json_line(value: Any) -> None:
    """Write a value to stdout as one line of JSON."""
    unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    write(json.dumps(value, ensure_ascii=not unicode, default=str))


def table(
    columns: Sequence[str],
    rows: Iterable[Row],
    *,
    numbers: Sequence[str] = (),
    wraps: Sequence[str] = (),
    copied: Sequence[str] = (),
) -> None:
    """Write a table: drawn on a terminal; elsewhere a line of tab-separated cells per row.

    On a terminal, empty columns are omitted, and cells that are too wide are folded. If the
    columns are too many even so, each row becomes a block of lines.

    Args:
        columns: The titles of the columns.
        rows: The cells of the rows; None is an empty cell, a `links.Link` links to a web page if
            the terminal shows links.
        numbers: The titles of the columns that are aligned to the right.
        wraps: The titles of the columns that become narrower on a narrow terminal.
        copied: The titles of columns whose cells stay whole, since people copy them. Where they are
            too wide, the lines are longer than the terminal.
    """
    rows = list(rows)
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
    widths = {title: max(map(cell_len, [title, *column])) for title, column in told.items()}
    needed = sum(_FOLDED if title in wraps else width for title, width in widths.items())
    needed += _MARGIN * (len(told) - 1)
    overflows = needed > console.width and any(title in copied for title in told)
    folds = needed > console.width and not overflows
    linked = shows_links(os.environ)
    places = [number for number, title in enumerate(columns) if title in told]
    shown = [
        [_drawn(given[place], texts[place], linked=linked) for place in places]
        for given, texts in zip(rows, cells, strict=True)
    ]
    if folds and len(told) * (_NARROWEST + _MARGIN) - _MARGIN > console.width:
        _write_blocks(console, list(told), shown)
        return
    # A rule that is longer than the terminal would look like two.
    style = None if overflows else box.SIMPLE_HEAD
    margin = (0, _MARGIN, 0, 0) if overflows else (0, 1)
    drawn = Table(box=style, show_edge=False, pad_edge=False, padding=margin)
    for title in told:
        drawn.add_column(
            title,
            justify="right" if title in numbers else "left",
            overflow="fold",
            no_wrap=not folds and title not in wraps,
        )
    for drawn_row in shown:
        drawn.add_row(*drawn_row)
    if overflows:
        console.width = needed  # it would make the columns narrower than that
    console.print(drawn, crop=not overflows)


def _write_blocks(
    console: Console, titles: Sequence[str], rows: Sequence[Sequence[RenderableType]]
) -> None:
    """Write each row as a block: a line for each title and its cell."""
    from rich.table import Table  # noqa: PLC0415 - the start-up of `--help` stays light

    for number, row in enumerate(rows):
        if number:
            console.print()
        block = Table.grid(padding=(0, _MARGIN, 0, 0))
        block.add_column(style="bold")
        block.add_column(overflow="fold")
        for title, cell in zip(titles, row, strict=True):
            block.add_row(title, cell)
        console.print(block)


def _drawn(cell: object, text: str, *, linked: bool) -> RenderableType:
    """Return a cell as rich draws it: with its link, if the terminal shows links."""
    if not (linked and isinstance(cell, Link)):
        return text
    from rich.style import Style  # noqa: PLC0415 - the start-up of `--help` stays light
    from rich.text import Text  # noqa: PLC0415 - the same

    return Text(text, Style(link=cell.url))


class EventLog:
    """The file of `--log-json`: a line of JSON for each event, with its time (`at`).

    If the file cannot be written any more (a full disk), the run continues after one warning.
    """

    def __init__(self, path: Path) -> None:
        try:
            # Unbuffered: closing the file must not write again what a full disk refused.
            self._file: BinaryIO | None = path.open("ab", buffering=0)
            self._end_cut_line(path)
        except OSError as error:
            raise _unwritable(path, "--log-json", error) from error
        self._path = path

    def _end_cut_line(self, path: Path) -> None:
        """End a line that an earlier run could not write whole, so that it spoils no other."""
        if self._file is None or _is_special(path) or not self._file.tell():
            return
        with path.open("rb") as earlier:
            earlier.seek(-1, os.SEEK_END)
            whole = earlier.read() == b"\n"
        if not whole:
            self._file.write(b"\n")

    def write(self, record: dict[str, Any], at: str) -> None:
        """Append a line."""
        if self._file is None:
            return
        try:
            line = json.dumps({"at": at, **record}, ensure_ascii=False, default=str)
            self._file.write(f"{line}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            self.close()
            remark(
                f"warning: {str(self._path)!r} cannot be written: {error.strerror}. The event log "
                "ends here."
            )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def check_writable(path: Path, option: str) -> None:
    """Refuse, before a run, a file that could not be written after it.

    Raises:
        typer.BadParameter: The file's folder does not exist or is not writable.
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
    """Write a value to a file as JSON, as `save_text` does."""
    return save_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", path)


def save_text(text: str, path: Path) -> bool:
    """Write a report to a file; a regular file is replaced in one step.

    Returns:
        Whether it was written. If not, a warning says why. It is no error: the run is done, and
        its own result matters more.
    """
    # UTF-8 lacks only lone surrogates (bytes of a path that is not UTF-8). They are escaped like
    # \\udcff, which JSON reads.
    encoded = text.encode("utf-8", "backslashreplace")
    try:
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
        remark(f"warning: the report {str(path)!r} cannot be written: {error.strerror}.")
        return False
    return True


def _is_special(path: Path) -> bool:
    """Whether a path is a device, a pipe or a link, which must not be replaced."""
    return path.is_symlink() or (path.exists() and not path.is_file())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _unwritable(path: Path, option: str, error: OSError) -> typer.BadParameter:
    return typer.BadParameter(
        f"{str(path)!r} cannot be written: {error.strerror}. Choose a file in a writable folder.",
        param_hint=option,
    )

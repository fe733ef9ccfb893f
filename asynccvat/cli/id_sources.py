"""Read ids from files and from stdin, where an option like `-t` takes `@ids.txt` or `-`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from asynccvat.cli import output
from asynccvat.core.selections.id_lists import written_in

_STDIN = "-"


def expanded(texts: Sequence[str], option: str) -> list[str]:
    """Replace files and stdin by the ids and addresses that they hold.

    Raises:
        typer.BadParameter: A file cannot be read, or one holds no id: no ids would mean all.
    """
    found: list[str] = []
    for text in texts:
        if text != _STDIN and not text.startswith("@"):
            found.append(text)
            continue
        ids = list(written_in(_content(text, option)))
        if not ids:
            what = "stdin" if text == _STDIN else repr(text.removeprefix("@"))
            raise typer.BadParameter(
                f"{what} holds no id. Write one a line, or separate them by commas.",
                param_hint=option,
            )
        found += ids
    return found


def _content(text: str, option: str) -> str:
    if text == _STDIN:
        if sys.stdin.isatty():
            output.remark("Reading ids from stdin. End with Ctrl-D.")
        return sys.stdin.read()
    path = Path(text.removeprefix("@")).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except ValueError:
        why = "is no text"
    raise typer.BadParameter(f"{str(path)!r} {why}. Check the path.", param_hint=option)

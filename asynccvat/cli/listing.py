"""Write a list as people or programs want it: columns, order, number of rows, CSV.

`queries` asks the server. `output` draws tables.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import typer

from asynccvat.cli import output, queries
from asynccvat.cli.common_options import AsJson, OutputForm, chosen_form
from asynccvat.cli.links import Link
from asynccvat.cli.text import counted

T = TypeVar("T")

_ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListForm:
    """How a list is written: its form, its columns and its order."""

    as_json: AsJson = False
    as_jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Write one JSON object per line to stdout, as each arrives."),
    ] = False
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write rows of comma-separated values, with a header.")
    ] = False
    output: Annotated[
        OutputForm | None,
        typer.Option(
            "--output",
            metavar="FORM",
            help="The same choice as a word: table, json, jsonl or csv.",
            show_default=False,
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAME,...",
            help="The columns of the table or CSV, like id,name; all for all of them.",
        ),
    ] = None
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort", metavar="COLUMN", help="Sort by a column; with a minus, downward: -updated."
        ),
    ] = None

    def form(self) -> OutputForm:
        """Return the form that was chosen; a table by default.

        Raises:
            typer.BadParameter: Two forms were chosen.
        """
        return chosen_form(self.output, json=self.as_json, jsonl=self.as_jsonl, csv=self.as_csv)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions(ListForm):
    """How a list without a selection is written: also how much of it."""

    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Show the first N rows."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """A column of a list.

    Attributes:
        title: Its name.
        value: Returns its value, by which rows are sorted, and which CSV holds.
        text: Makes the text of a table of the value. None for the value itself.
        url: Returns the address of the web page that a cell shows. None for none.
        number: Whether it is aligned to the right.
        wraps: Whether it becomes narrower on a narrow terminal.
        extra: Whether it is shown only if it is asked for.
    """

    title: str
    value: Callable[[T], Any]
    text: Callable[[Any], str] | None = None
    url: Callable[[T], str | None] | None = None
    number: bool = False
    wraps: bool = False
    extra: bool = False


class Listing(Generic[T]):
    """A list to write, its options checked before the server is asked."""

    def __init__(
        self, columns: Sequence[Column[T]], options: ListForm, *, limit: int | None = None
    ) -> None:
        """Choose the columns, the order and the form.

        Args:
            columns: All columns.
            options: What was chosen.
            limit: How many rows are shown, unless the options say it. None for all.

        Raises:
            typer.BadParameter: There is no such column, or two options contradict each other.
        """
        self.form = options.form()
        self.limit = options.limit if isinstance(options, ListOptions) else limit
        self._by_title = {column.title: column for column in columns}
        self._shown = [column for column in columns if not column.extra]
        self._key, self._downward = None, False
        if options.columns is not None:
            if self.form in (OutputForm.JSON, OutputForm.JSONL):
                raise typer.BadParameter(
                    f"it is for tables and CSV: --{self.form} has every field. Remove one of them.",
                    param_hint="--columns",
                )
            titles = [title.strip() for title in options.columns.split(",")]
            chosen = self._by_title if titles == [_ALL] else dict.fromkeys(titles)
            self._shown = [self._column(title, "--columns") for title in chosen]
        if options.sort is not None:
            self._downward = options.sort.startswith("-")
            self._key = self._column(options.sort.removeprefix("-"), "--sort").value

    @property
    def streams(self) -> bool:
        """Whether each item can be written as it arrives."""
        return self.form is OutputForm.JSONL and self._key is None

    def arranged(self, items: Iterable[T]) -> list[T]:
        """Return the items to show, in their order. Those without a value to sort by come last."""
        found = list(items)
        key = self._key
        if key is not None:
            having = [item for item in found if key(item) not in (None, "")]
            lacking = [item for item in found if key(item) in (None, "")]
            having.sort(key=lambda item: _comparable(key(item)), reverse=self._downward)
            found = having + lacking
        return found[: self.limit]

    def show(
        self,
        items: Sequence[T],
        noun: str,
        *,
        record: Callable[[T], Any] = queries.record,
        rest: str = "",
    ) -> None:
        """Write the list to stdout, and after a table its number of rows to stderr.

        Args:
            items: All items.
            noun: What an item is.
            record: Makes the JSON object of an item.
            rest: What follows the number of rows.
        """
        shown = self.arranged(items)
        self.write(shown, record=record)
        if self.form is OutputForm.TABLE:
            whole = f" of {len(items):,}" if len(shown) < len(items) else ""
            output.remark(counted(len(shown), noun) + whole + rest)

    def write(self, shown: Sequence[T], *, record: Callable[[T], Any] = queries.record) -> None:
        """Write items to stdout, as they are arranged.

        Args:
            shown: The items.
            record: Makes the JSON object of an item.
        """
        if self.form is OutputForm.JSON:
            output.write_json([record(item) for item in shown])
        elif self.form is OutputForm.JSONL:
            for item in shown:
                output.write_json_line(record(item))
        elif self.form is OutputForm.CSV:
            self._write_csv(shown)
        else:
            output.table(
                [column.title for column in self._shown],
                [[_cell(column, item) for column in self._shown] for item in shown],
                numbers=[column.title for column in self._shown if column.number],
                wraps=[column.title for column in self._shown if column.wraps],
            )

    def _column(self, title: str, option: str) -> Column[T]:
        if title in self._by_title:
            return self._by_title[title]
        import difflib  # noqa: PLC0415 - the start-up of commands stays light

        near = difflib.get_close_matches(title, self._by_title, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise typer.BadParameter(
            f"{title!r} is not a column. {hint}The columns are {', '.join(self._by_title)}.",
            param_hint=option,
        )

    def _write_csv(self, items: Sequence[T]) -> None:
        import csv  # noqa: PLC0415 - the start-up of commands stays light

        rows = [[_plain(column.value(item)) for column in self._shown] for item in items]
        for row in [[column.title for column in self._shown], *rows]:
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow(row)
            output.write(line.getvalue())


def _cell(column: Column[T], item: T) -> object:
    value = column.value(item)
    if value is None:
        return None
    shown = column.text(value) if column.text is not None else _plain(value)
    url = column.url(item) if column.url is not None else None
    return shown if url is None else Link(str(shown), url)


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _comparable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value

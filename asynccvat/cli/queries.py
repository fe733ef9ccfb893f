"""Send one query to the server, and write the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asynccvat.cli import output, signals, waits
from asynccvat.cli.common_options import OutputForm
from asynccvat.cli.credentials import client_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

    from asynccvat import CvatClient
    from asynccvat.settings import Settings

T = TypeVar("T")


def ask(settings: Settings, call: Callable[[CvatClient], Awaitable[T]]) -> T:
    """Open a client, and return what a coroutine of it returns."""
    client = client_for(settings)

    async def main() -> T:
        async with client:
            with waits.told():
                return await call(client)

    return signals.run(main)


def stream(
    settings: Settings,
    items: Callable[[CvatClient], AsyncGenerator[T, None]],
    seen: Callable[[T], None] | None = None,
) -> None:
    """Write what a client's iterator yields: a line of JSON for each item, as it arrives.

    Args:
        settings: The server and the user.
        items: Returns the iterator.
        seen: Called with each item that was written.
    """
    from contextlib import aclosing  # noqa: PLC0415 - the start-up of `--help` stays light

    async def main(client: CvatClient) -> None:
        async with aclosing(items(client)) as found:
            async for item in found:
                output.write_json_line(record(item))
                if seen is not None:
                    seen(item)

    ask(settings, main)


def show(
    form: OutputForm,
    values: Sequence[Any],
    columns: Sequence[str],
    rows: Iterable[output.Row],
    *,
    numbers: Sequence[str] = (),
    wraps: Sequence[str] = (),
) -> None:
    """Write values in a form; in a table, `rows` are their cells."""
    if form is OutputForm.JSON:
        output.write_json([record(value) for value in values])
    elif form is OutputForm.JSONL:
        for value in values:
            output.write_json_line(record(value))
    else:
        output.table(columns, rows, numbers=numbers, wraps=wraps)


def record(value: Any) -> Any:
    """Return a value as JSON types."""
    import msgspec  # noqa: PLC0415 - the start-up of `--help` stays light

    return msgspec.to_builtins(value)


def minute(date: str) -> str:
    """Shorten an ISO date for a table: `2026-03-31 08:00`. JSON has the whole date."""
    return date[:16].replace("T", " ")

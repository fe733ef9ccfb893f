"""One question to the server: a client that lives as long as it, and its answer as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asynccvat.cli import output, signals
from asynccvat.cli.common_options import OutputForm
from asynccvat.cli.credentials import client_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

    from asynccvat import CvatClient
    from asynccvat.settings import Settings

T = TypeVar("T")


def ask(settings: Settings, call: Callable[[CvatClient], Awaitable[T]]) -> T:
    """What a client's coroutine returns."""
    client = client_for(settings)

    async def main() -> T:
        async with client:
            return await call(client)

    return signals.run(main)


def stream(
    settings: Settings,
    items: Callable[[CvatClient], AsyncGenerator[T, None]],
    seen: Callable[[T], None] | None = None,
) -> None:
    """Write what a client's iterator yields, a JSON object a line, each as it comes."""
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
    """Write values in the form that was asked for; `rows` are theirs in a table."""
    if form is OutputForm.JSON:
        output.write_json([record(value) for value in values])
    elif form is OutputForm.JSONL:
        for value in values:
            output.write_json_line(record(value))
    else:
        output.table(columns, rows, numbers=numbers, wraps=wraps)


def record(value: Any) -> Any:
    """A value as JSON has it."""
    import msgspec  # noqa: PLC0415 - the start-up of `--help` stays light

    return msgspec.to_builtins(value)


def minute(date: str) -> str:
    """`2026-03-31 08:00` of an ISO date: what a table has room for; JSON has it whole."""
    return date[:16].replace("T", " ")

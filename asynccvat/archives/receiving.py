"""Hand a body to a worker thread while it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing

from asynccvat.aio.serial_worker import SerialWorker
from asynccvat.archives.kept_copy import ArchiveCopy
from asynccvat.archives.remote import BodyBrokenError, BodySource
from asynccvat.errors import TransportError
from asynccvat.http import ResultStream

_BATCH_BYTES = 1024 * 1024

_Consume = Callable[[Iterable[bytes | memoryview]], None]


async def receive(
    source: BodySource,
    stream: ResultStream,
    consume: _Consume,
    on_bytes: Callable[[int], None],
    *,
    copy: ArchiveCopy | None = None,
) -> None:
    """Have a body consumed in a worker thread.

    A long body is taken over from aiohttp.

    Args:
        source: Counts the bytes, and limits the bandwidth.
        stream: The body.
        consume: Takes the bytes, in the worker thread.
        on_bytes: Called with the number of bytes that came, now and then.
        copy: Takes the bytes, too.

    Raises:
        BodyBrokenError: It broke off. The bytes before that are consumed.
        Exception: What `consume` raised.
    """
    body_receiver = source.body_receiver(stream, on_bytes) if copy is None else None
    if body_receiver is None:
        await _receive_batches(source, stream, consume, on_bytes, copy)
        return
    async with SerialWorker() as worker:
        with body_receiver:
            await worker.submit(body_receiver.drain, consume)
            await worker.wait()
    try:
        body_receiver.check()
    except TransportError as error:
        raise BodyBrokenError(error) from error


async def _receive_batches(
    source: BodySource,
    stream: ResultStream,
    consume: _Consume,
    on_bytes: Callable[[int], None],
    copy: ArchiveCopy | None,
) -> None:
    """Hand a body over in batches, while the next one comes."""
    broken: BodyBrokenError | None = None
    batch: list[bytes] = []
    size = 0
    async with SerialWorker() as worker, aclosing(source.chunks(stream)) as chunks:

        async def hand_over() -> None:
            if copy is not None:
                await copy.write(batch)
            await worker.submit(consume, batch)
            on_bytes(size)

        try:
            async for chunk in chunks:
                batch.append(chunk)
                size += len(chunk)
                if size >= _BATCH_BYTES:
                    await hand_over()
                    batch, size = [], 0
        except BodyBrokenError as error:
            broken = error
        if batch:
            await hand_over()
    if broken is not None:
        raise broken

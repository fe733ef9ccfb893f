"""A simulated server in another thread, for callers without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer


@contextlib.contextmanager
def serve_in_thread(options: SimulatorOptions | None = None) -> Iterator[SimulatedServer]:
    """Serve in another thread while the context lasts.

    Raises:
        OSError: The address cannot be listened on, or the archives cannot be read.
        ValueError: The options do not fit together.
    """
    server = SimulatedServer(options)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stopping = asyncio.Event()
        try:
            await server.start()
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            started.set_exception(error)
            return
        started.set_result((asyncio.get_running_loop(), stopping))
        await stopping.wait()
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="simulated CVAT")
    thread.start()
    try:
        loop, stopping = started.result()
    except BaseException:
        thread.join()
        raise
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()

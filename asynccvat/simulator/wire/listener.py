"""Listen on an address, and pass every call to a handler."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

_CONNECTIONS = logging.getLogger(__name__)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Drop records about clients that disconnect during a response, as tests make them do."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


_CONNECTIONS.addFilter(_is_worth_logging)


class Listener:
    """Listens on an address between `start` and `stop`.

    Attributes:
        host: The address.
        port: The port on which it listens; 0 before the first `start`.
    """

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        host: str,
        port: int,
    ) -> None:
        """Pass calls to `handle`; a port of 0 chooses a free one."""
        self.host = host
        self.port = 0
        self._wanted_port = port
        self._handle = handle
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be listened on.
        """
        server = web.Server(
            self._handle,
            access_log=None,
            logger=_CONNECTIONS,
            max_line_size=1 << 18,
            max_field_size=1 << 18,
            lingering_time=0.0,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self._wanted_port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

"""Cached pages of task lists."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Hashable

from asynccvat.simulator.wire.responses import ServerResponse, pack


class PageCache:
    """Compressed pages of task lists: encoding 500 tasks as JSON takes milliseconds."""

    def __init__(self, limit: int = 512) -> None:
        """Keep the `limit` pages that were used last."""
        self._pages: OrderedDict[Hashable, bytes] = OrderedDict()
        self._limit = limit

    def find(self, key: Hashable) -> ServerResponse | None:
        """Return the response kept under the key."""
        packed = self._pages.get(key)
        if packed is None:
            return None
        self._pages.move_to_end(key)
        return ServerResponse(body=zlib.decompress(packed, 31), packed=packed)

    def keep(self, key: Hashable, response: ServerResponse) -> None:
        """Keep a response, compressed."""
        response.packed = pack(response.body)
        self._pages[key] = response.packed
        if len(self._pages) > self._limit:
            self._pages.popitem(last=False)

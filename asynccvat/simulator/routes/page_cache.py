"""Pages of lists that were made before: five hundred tasks take milliseconds to write as JSON."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Hashable

from asynccvat.simulator.wire.responses import ServerResponse, pack


class PageCache:
    """Packed pages of task lists, since making 500 tasks into JSON takes milliseconds."""

    def __init__(self, limit: int = 512) -> None:
        """Keep `limit` pages."""
        self._pages: OrderedDict[Hashable, bytes] = OrderedDict()
        self._limit = limit

    def find(self, key: Hashable) -> ServerResponse | None:
        """The answer kept under the key."""
        packed = self._pages.get(key)
        if packed is None:
            return None
        self._pages.move_to_end(key)
        return ServerResponse(body=zlib.decompress(packed, 31), packed=packed)

    def keep(self, key: Hashable, answer: ServerResponse) -> None:
        """Keep the answer, packed."""
        answer.packed = pack(answer.body)
        self._pages[key] = answer.packed
        if len(self._pages) > self._limit:
            self._pages.popitem(last=False)

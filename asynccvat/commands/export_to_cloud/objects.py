"""Look objects up in a cloud storage, many at once by one list."""

from __future__ import annotations

from contextlib import aclosing

import anyio

from asynccvat.client import CvatClient


class ObjectLookup:
    """Tells which objects lie in a folder of a cloud storage.

    A list that began after a question answers it. So the exports that end while one list is read
    share the next one.
    """

    def __init__(self, client: CvatClient, storage_id: int, folder: str) -> None:
        """Look into one folder.

        Args:
            client: The server.
            storage_id: The storage.
            folder: The folder, with `/` at its end; "" for the top.
        """
        self._client = client
        self._storage_id = storage_id
        self._folder = folder
        self._lock = anyio.Lock()
        self._lists = 0
        self._names: frozenset[str] = frozenset()

    @property
    def seen(self) -> frozenset[str]:
        """The names that the latest list had."""
        return self._names

    async def names(self) -> frozenset[str]:
        """Return the names of all objects that lie there now.

        Raises:
            AsyncCvatError: The server cannot list them.
        """
        asked_at = self._lists + self._lock.locked()
        async with self._lock:
            # A list under way when it was asked may have been read too early.
            if self._lists <= asked_at:
                found = set()
                listed = self._client.iter_cloud_storage(self._storage_id, self._folder)
                async with aclosing(listed) as names:
                    async for name in names:
                        found.add(name)
                self._names = frozenset(found)
                self._lists += 1
            return self._names

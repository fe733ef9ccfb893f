"""Cloud storages of a server: which there are, whether it reaches them, and their objects.

`client.exports` requests exports to them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from asynccvat.core.decoding import ObjectDecoder, PageDecoder
from asynccvat.core.models import CloudStorage
from asynccvat.core.numbers import whole
from asynccvat.errors import NotFoundError, ProtocolError
from asynccvat.http import Call, HttpSession
from asynccvat.http.paging import list_all

_STORAGES = PageDecoder(CloudStorage)
_STORAGE = ObjectDecoder(CloudStorage)
_PAGE = 500
# A server that named the same page for ever would keep a run reading.
_MOST_PAGES = 100_000


class _Object(msgspec.Struct):
    name: str
    type: str = "REG"


class _Content(msgspec.Struct):
    next: str | None = None
    content: list[_Object] = []


_CONTENT = ObjectDecoder(_Content)


class CloudStorageCalls:
    """The cloud storages of one server. `CvatClient` documents them."""

    def __init__(self, http: HttpSession) -> None:
        """Ask in a session."""
        self._http = http

    async def all(self) -> tuple[CloudStorage, ...]:
        """Return the storages that the user may see, in ascending order of id."""
        listings = await list_all(
            self._http, "/api/cloudstorages", ({"sort": "id"},), _STORAGES, page_size=_PAGE
        )
        found = {storage.id: storage for listing in listings for storage in listing.items}
        return tuple(found[key] for key in sorted(found))

    async def one(self, storage_id: int) -> CloudStorage:
        """Return one storage.

        Raises:
            NotFoundError: There is none, or the user may not see it.
        """
        path = f"/api/cloudstorages/{whole('storage_id', storage_id)}"
        call = Call(
            method="GET", path=path, step="storage", purpose=f"read cloud storage {storage_id}"
        )
        try:
            return self._http.decode(await self._http.call(call), _STORAGE)
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no cloud storage {storage_id} at {self._http.server.address} for this "
                "user. List them with `asynccvat cloud-storages`.",
                status=error.status,
                detail=error.detail,
                step="storage",
            ) from None

    async def status(self, storage_id: int) -> str:
        """Return whether the server reaches a storage: `AVAILABLE`, or why not."""
        path = f"/api/cloudstorages/{whole('storage_id', storage_id)}/status"
        purpose = f"read the status of cloud storage {storage_id}"
        answer = await self._http.call(
            Call(method="GET", path=path, step="storage", purpose=purpose)
        )
        try:
            return str(msgspec.json.decode(answer.body))
        except msgspec.DecodeError:
            return answer.text

    async def names(self, storage_id: int, folder: str) -> AsyncGenerator[str, None]:
        """Yield the names of the objects in a folder of a storage, not those deeper.

        Args:
            storage_id: The storage.
            folder: The folder, with `/` at its end; "" for the top.
        """
        path = f"/api/cloudstorages/{whole('storage_id', storage_id)}/content-v2"
        where = f"the folder {folder!r}" if folder else "the top folder"
        purpose = f"list {where} of cloud storage {storage_id}"
        token: str | None = None
        for _ in range(_MOST_PAGES):
            params = {"page_size": str(_PAGE)}
            if folder:
                params["prefix"] = folder
            if token is not None:
                params["next_token"] = token
            call = Call(method="GET", path=path, step="storage", params=params, purpose=purpose)
            page = self._http.decode(await self._http.call(call), _CONTENT)
            for item in page.content:
                if item.type != "DIR":
                    # Some versions name objects by their whole key.
                    yield item.name.removeprefix(folder)
            if not page.next:
                return
            token = page.next
        raise ProtocolError(f"cannot {purpose}: the list has no end.", step="storage")

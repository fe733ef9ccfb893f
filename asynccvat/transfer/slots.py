"""Slots for requests in flight, shared by exports and imports."""

from __future__ import annotations

from asynccvat.aio.slots import Slots
from asynccvat.client.poller import Poller
from asynccvat.core.scheduling.admission import exports_allowed


class RequestSlots(Slots):
    """Slots for requests in flight, as many as the server's model calls for at the moment.

    A slot is free again as soon as its request has ended, or should have ended. Reading the archive
    takes no slot.
    """

    def __init__(self, poller: Poller, fixed: int | None) -> None:
        """Count slots by what a poller learns, or as many as the user fixed."""
        super().__init__(lambda _waiting: exports_allowed(poller.model, fixed))

"""Where the files of tasks come from: what `transfer.one_task` asks of a source.

`transfer.export_source` exports tasks and reads archives. `transfer.json_source` reads calls that
answer with JSON. `transfer.converted_source` makes of JSON what would be exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from asynccvat.archives import StagedArchive
from asynccvat.core.specs import RequestSpec
from asynccvat.transfer.orders import Destination, FetchOrder


class TaskReading(Protocol):
    """One task while its files are read. The slot that it holds is given back when it ends."""

    @property
    def spec(self) -> RequestSpec:
        """What the folder will hold."""

    @property
    def jobs(self) -> str | None:
        """Digest of the jobs in a folder of JSON; None in any other."""

    @property
    def rule(self) -> str | None:
        """The rule by which the files are converted; None if they are the server's own."""

    async def prepare(self) -> None:
        """Wait until the server has what is to be read.

        Raises:
            AsyncCvatError: It will not have it.
        """

    async def fill(
        self, destination: Destination[Any], staging: Any
    ) -> tuple[StagedArchive, str | None]:
        """Read the files into what was staged, and check them.

        Returns:
            The files, and the fingerprint of the images; None if there is none.

        Raises:
            AsyncCvatError: They cannot be read or stored.
        """


class TaskSource(Protocol):
    """Gives the files of each task."""

    @property
    def has_room(self) -> bool:
        """Whether a task would be read at once."""

    def expect(self, orders: Sequence[FetchOrder]) -> None:
        """Note which tasks will be read, in the order in which they begin."""

    def reading(self, order: FetchOrder) -> AbstractContextManager[TaskReading]:
        """Begin with a task. The caller holds a slot, which is given back."""

"""A run whose power goes off at a given step: from then on nothing reaches the disk or the server.

What a client asked of a server before a cut has happened, whatever became of the disk. So each cut
has a run and a server of its own, which goes on while the client is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from power_disk import Told
from power_recording import Recorder

import asynccvat as ac
from asynccvat.errors import ConnectError
from asynccvat.events import Event, TaskDone
from asynccvat.fs import files
from asynccvat.http.session import HttpSession


@dataclass(frozen=True)
class Asking:
    """A call that changes something at a server comes next."""

    call: str


@dataclass(frozen=True)
class Answered:
    """The server has done it; the client was about to read its answer."""

    call: str


class PowerSwitch:
    """Notes the calls of a run in the trace of its disk, and cuts both off after a step.

    Attributes:
        recorder: Notes what happens on the disk.
        off: Whether the power is off.
    """

    def __init__(self, recorder: Recorder, off_at: int | None = None) -> None:
        """Let a run begin.

        Args:
            recorder: Notes what happens on the disk.
            off_at: After how many steps the power goes off. None for never.
        """
        self.recorder = recorder
        self.off = False
        self._off_at = off_at
        self._gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.RLock()

    async def run(self, act: Callable[[Callable[[Event], None]], Awaitable[ac.RunReport]]) -> Any:
        """Do something until it ends, and return its result; or until the power goes off."""
        with self._watching():
            running = asyncio.ensure_future(act(self._tell))
            gone = asyncio.ensure_future(self._gone.wait())
            await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not self.off:
                return await running
            running.cancel()
            # Whatever it does now, it does nothing.
            with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup, Exception):
                await running
            return None

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        calling = HttpSession.call

        async def call(session: HttpSession, wanted: Any) -> Any:
            self._refuse_call()
            if wanted.method in ("GET", "HEAD") or wanted.step == "login":
                return await calling(session, wanted)
            what = f"{wanted.method} {wanted.path} {dict(wanted.headers)}"
            self._note(Asking(what))
            self._refuse_call()
            answer = await calling(session, wanted)
            self._note(Answered(what))
            self._refuse_call()
            return answer

        with self.recorder.watching(), pytest.MonkeyPatch.context() as patch:
            for name in files.EFFECTS:
                patch.setattr(files, name, self._switched(getattr(files, name)))
            patch.setattr(HttpSession, "call", call)
            yield

    def _switched(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def switched(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                if self.off:
                    raise OSError(errno.EIO, "the power is off")
                try:
                    return effect(*args, **kwargs)
                finally:
                    self._go_off_if_due()

        return switched

    def _tell(self, event: Event) -> None:
        if isinstance(event, TaskDone):
            self._note(event.outcome)

    def _note(self, what: object) -> None:
        with self._lock:
            if not self.off:
                self.recorder.told(what)
                self._go_off_if_due()

    def _refuse_call(self) -> None:
        if self.off:
            raise ConnectError("the power is off.")

    def _go_off_if_due(self) -> None:
        steps = self.recorder.trace.steps
        if self._off_at is not None and len(steps) >= self._off_at and not self.off:
            self.off = True
            self._loop.call_soon_threadsafe(self._gone.set)


def asked(steps: list[Any]) -> list[str]:
    """The calls that were made."""
    said = [step.what for step in steps if isinstance(step, Told)]
    return [one.call for one in said if isinstance(one, Asking)]


def outcomes(steps: list[Any]) -> list[ac.TaskOutcome]:
    """What the caller was told to be done."""
    said = [step.what for step in steps if isinstance(step, Told)]
    return [one for one in said if isinstance(one, ac.TaskOutcome) and one.error is None]

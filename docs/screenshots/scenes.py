"""The screens of the documentation: what runs against which server, and what is kept of it.

Each function of `SCENES` returns the SVGs of its screens by their names. A further command needs
a function like `_mirror`, and a line in `SCENES`.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drawing import film, still
from recording import PROGRAM, Recording

from asynccvat.simulator import Fault, ServerProcess, SimulatorOptions

Screens = dict[str, str]
COLUMNS = 80
MIB = 1024 * 1024


class Stage:
    """A simulated server, a terminal, and an empty folder.

    Attributes:
        server: The server.
        recording: What the terminal shows.
        folder: The working folder.
    """

    def __init__(self, server: ServerProcess, recording: Recording, folder: Path) -> None:
        self.server = server
        self.recording = recording
        self.folder = folder
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CVAT_") and name not in {"CI", "NO_COLOR"}
        } | {
            "CVAT_URL": server.url,
            "CVAT_ACCESS_TOKEN": server.token,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "COLUMNS": str(recording.columns),
        }

    def show(
        self,
        *arguments: str,
        codes: tuple[int, ...] = (0,),
        on_frame: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Type a command of asynccvat, and record it to its end."""
        self.recording.type(" ".join(("asynccvat", *arguments)))
        self.recording.run(
            [*PROGRAM, *arguments], self.folder, self._environment, codes=codes, on_frame=on_frame
        )


@contextmanager
def stage(options: SimulatorOptions, *, columns: int = COLUMNS, lines: int = 24) -> Iterator[Stage]:
    """Start a server; stop it, and remove the folder, afterwards."""
    with tempfile.TemporaryDirectory() as folder, ServerProcess(options) as server:
        yield Stage(server, Recording(columns, lines), Path(folder))


def share_done(text: str) -> float:
    """Return the share of tasks that a frame shows as done, 0.0 if it shows none."""
    found = re.search(r"([\d,]+)/([\d,]+) tasks", text)
    if found is None:
        return 0.0
    done, total = (int(number.replace(",", "")) for number in found.groups())
    return done / total


def _mirror() -> Screens:
    """A first mirror, a second one after three edits, and a verification: a film."""
    edited = (7, 31, 98)
    with stage(SimulatorOptions(tasks=120, costs=True), columns=92, lines=15) as on:
        on.show("mirror", "data/")
        for task_id in edited:
            on.server.do("edit_task", task_id=task_id)
        on.recording.type(f"# {len(edited)} tasks are edited on the server", 1.5)
        on.show("mirror", "data/")
        on.show("verify", "data/")
        on.recording.type("", 0)
    title = "A mirror of 120 tasks, an update after 3 edits, and a verification"
    return {"mirror": film(on.recording.frames, title, 92)}


def _exports() -> Screens:
    """A mirror that waits for the server's exports."""
    options = SimulatorOptions(tasks=60, frames=4, costs=True, export_seconds=0.6)
    with stage(options) as on:
        on.show("mirror", "data/", "--images")
    start = on.recording.first(lambda text: " queued" in text)
    middle = on.recording.first(lambda text: share_done(text) >= 0.4 and "at once" in text)
    title = "A mirror while the server's exports are the limit"
    return {
        "progress-start": still(start, "A mirror that has just begun", COLUMNS),
        "progress-exports": still(middle, title, COLUMNS),
    }


def _network() -> Screens:
    """A mirror that waits for the network, and its end."""
    options = SimulatorOptions(
        tasks=16, frames=6, frame_bytes=MIB // 2, costs=True, export_seconds=0.1
    )
    with stage(options) as on:
        on.show("mirror", "data/", "--images", "--bwlimit", "1500K")
    middle = on.recording.first(
        lambda text: text.count("s downloading ") >= 3 and share_done(text) > 0.2
    )
    end = on.recording.frames[-1]
    return {
        "progress-network": still(middle, "A mirror while the network is the limit", COLUMNS),
        "summary": still(end, "The end of a mirror: what its time went to", COLUMNS),
    }


def _outage() -> Screens:
    """A mirror whose server stops answering for a while."""
    options = SimulatorOptions(tasks=60, frames=2, costs=True, export_seconds=0.3)
    broken: list[float] = []
    with stage(options) as on:

        def break_server(text: str) -> None:
            if share_done(text) >= 0.3 and not broken:
                broken.append(on.recording.frames[-1].seconds)
                on.server.add_faults(Fault(path="^/api/", status=502, times=None))
            waited = re.search(r"no answer from the server for (\d+) s", text)
            if waited is not None and int(waited[1]) >= 12:
                on.server.clear_faults()

        on.show("mirror", "data/", on_frame=break_server)
    # The line of the outage stands for a moment below the news that it is over.
    frame = on.recording.last(lambda text: "waiting up to" in text and "answers again" not in text)
    return {"outage": still(frame, "A mirror whose server does not answer", COLUMNS)}


def _failures() -> Screens:
    """A mirror with failures of two causes, its summary, and the retry."""
    options = SimulatorOptions(tasks=40, frames=2, costs=True, export_seconds=0.3)
    with stage(options) as on:
        failing = [Fault(export="fail", task_id=number, times=1) for number in (4, 9, 17, 23, 31)]
        broken = [Fault(path="download", task_id=12, truncate=600, times=None)]
        on.server.add_faults(*failing, *broken)
        on.show("mirror", "data/", "--report-json", "report.json", codes=(1,))
        frame = on.recording.frames[-1]
    return {"failures": still(frame, "The summary of a mirror with failures", COLUMNS)}


def _status() -> Screens:
    """What a mirror holds, and how it differs from its server after edits on both sides."""
    with stage(SimulatorOptions(tasks=40, frames=3)) as on:
        on.show("mirror", "data/", "--images", "--quiet")
        for task_id in (4, 9):
            on.server.do("edit_task", task_id=task_id)
        on.server.do("delete_task", task_id=23)
        edited = next((on.folder / "data" / "task17").rglob("*.xml"))
        edited.write_text(edited.read_text() + "<!-- edited -->")
        screens = {}
        for command, title in (
            ("status", "What a mirror holds"),
            ("diff", "How a mirror differs from its server"),
        ):
            recording = on.recording = Recording(COLUMNS, 30)
            on.show(command, "data/", codes=(0, 1))
            screens[command] = still(recording.frames[-1], title, COLUMNS)
    return screens


SCENES: dict[str, Callable[[], Screens]] = {
    "mirror": _mirror,
    "exports": _exports,
    "network": _network,
    "outage": _outage,
    "failures": _failures,
    "status": _status,
}
"""By name: what `make.py` records."""

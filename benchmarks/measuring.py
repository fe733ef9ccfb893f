"""Processes that are timed, in turns, and the trees that they leave compared.

What runs is chosen by `contenders` and `cases`; this module knows only commands and folders.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

try:
    import psutil
except ModuleNotFoundError:
    # The peers' memory is left out then; ours tells its own.
    psutil = None  # type: ignore[assignment] # the one way to say that a module is missing

ROOT = Path(__file__).resolve().parent.parent
_MIB = 2**20
# Looking for children costs some milliseconds of a processor.
_SAMPLE_SECONDS = 0.1


@dataclass(slots=True, kw_only=True)
class Run:
    """One contender's process, from its start to its end.

    Attributes:
        contender: Who.
        seconds: Wall time as the contender counts it, from before its login on, where it does; a
            start of the interpreter is then left out, to the good of whoever imports most.
        process_seconds: Wall time of the process.
        cpu_seconds: Processor time, that of its children included.
        peak_mib: Resident memory at its peak, MiB, that of its children included; 0 where it is
            not known.
        memory: Samples of resident memory: seconds since the start, MiB.
        told: The JSON that it printed.
        figures: What a case adds: requests, scheduler figures and so on.
    """

    contender: str
    seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_mib: float
    memory: list[tuple[float, float]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The run as JSON values, without the samples of memory (which plots show)."""
        values = asdict(self)
        del values["memory"], values["told"]
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in values.items()
        }


class _MemoryMeter:
    """Samples the resident memory of a process and its children while it lives."""

    def __init__(self, pid: int) -> None:
        self.samples: list[tuple[float, float]] = []
        self._pid = pid
        self._began = time.perf_counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        if psutil is not None:
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            try:
                process = psutil.Process(self._pid)
                processes = [process, *process.children(recursive=True)]
                resident = sum(_resident(process) for process in processes)
            except psutil.NoSuchProcess:
                return
            self.samples.append((time.perf_counter() - self._began, resident / _MIB))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def run_process(
    contender: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end and measure it.

    Raises:
        subprocess.CalledProcessError: It failed; `stderr` says why.
    """
    before = os.times()
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        ) as process,
    ):
        meter = _MemoryMeter(process.pid)
        output, _ = process.communicate()
        wall = time.perf_counter() - began
        meter.stop()
        if process.returncode:
            errors.seek(0)
            raise subprocess.CalledProcessError(
                process.returncode, command, output, errors.read()[-4000:]
            )
    after = os.times()
    told = _told(output)
    return Run(
        contender=contender,
        seconds=told.get("seconds", wall),
        process_seconds=wall,
        cpu_seconds=(after.children_user + after.children_system)
        - (before.children_user + before.children_system),
        peak_mib=max(
            told.get("peak_bytes", 0) / _MIB, max((mib for _, mib in meter.samples), default=0.0)
        ),
        memory=meter.samples,
        told=told,
    )


def _told(output: str) -> dict[str, Any]:
    """What a worker printed as its last line; commands of others print what they like."""
    lines = output.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {}
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def in_turns(rounds: int, contenders: Mapping[str, Callable[[int], Run]]) -> dict[str, list[Run]]:
    """Run every contender once a round; who goes first alternates.

    Args:
        rounds: How many rounds.
        contenders: By name; each is called with the round's number.

    Returns:
        The runs of each, in the order of the rounds: the n-th ones belong together.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            run = contenders[name](number)
            runs[name].append(run)
            print(
                f"    {name}: {run.seconds:.2f} s, {run.peak_mib:.0f} MiB {_brief(run)}",
                flush=True,
            )
    return runs


def _brief(run: Run) -> str:
    return ", ".join(
        f"{name} {value:.3f}" for name, value in run.figures.items() if isinstance(value, float)
    )


def median_seconds(runs: Iterable[Run]) -> float:
    """The median of their wall times."""
    return statistics.median(run.seconds for run in runs)


def median_ratio(slower: Sequence[Run], quicker: Sequence[Run]) -> float:
    """The median over the rounds of one contender's wall time divided by another's."""
    return statistics.median(
        one.seconds / other.seconds for one, other in zip(slower, quicker, strict=True)
    )


def tree_of(folder: Path, ignore: Sequence[str] = (".asynccvat",)) -> dict[str, tuple[int, int]]:
    """Every file below a folder: path, size and CRC-32."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in ignore:
            content = path.read_bytes()
            found[name.as_posix()] = (len(content), zlib.crc32(content))
    return found


def check_equal(trees: Mapping[str, Path], expected: dict[str, tuple[int, int]]) -> None:
    """Compare what contenders made with what there should be.

    Raises:
        SystemExit: They differ; nothing may be timed then.
    """
    if not expected:
        raise SystemExit("there is nothing to compare: nothing is timed")
    for name, folder in trees.items():
        found = tree_of(folder)
        if found != expected:
            different = sorted(
                path for path in found.keys() | expected.keys()
                if found.get(path) != expected.get(path)
            )  # fmt: skip
            raise SystemExit(
                f"{name} made another tree, nothing is timed: {len(different)} files differ, "
                f"such as {different[:3]}"
            )
    print(f"    equal trees: {', '.join(trees)} ({len(expected)} files)", flush=True)


def let_deletions_age() -> None:
    """Wait until ext4 does not mind what was deleted here before.

    For a minute it looks at each deleted inode again for every file that it creates
    (`recently_deleted`), which takes several times as long as the creation itself.
    """
    os.sync()
    print("    waiting for a minute: ext4 creates files slowly until then", flush=True)
    time.sleep(61)


def level_ground(work: Path, size: int) -> None:
    """Give each run the same start: nothing left to be written, and as much memory at hand.

    Args:
        work: A folder on the file system that is written to.
        size: Bytes that the run will write.

    In a virtual machine, memory that was idle for a while has to be had from the host again page
    by page, which can take longer than everything that is measured here.
    """
    os.sync()
    filler = work / "filler"
    block = bytes(1 << 20)
    with filler.open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
    filler.unlink()

"""One huge archive from a socket to files: asynccvat's data plane beside `curl | bsdtar -x`.

    python benchmarks/extract.py --pairs 5

makes an archive of stored members (1 GiB of 200 KB ones unless told otherwise; kept in the
temporary folder for the next time), serves it from a process of its own and lets both contenders
write it to disk in turn. Each is timed as a whole process, its start included; nobody syncs.
Before anything is timed, the trees that both made are compared with the archive. The ratio is the
peer's time divided by ours, pair by pair: above 1 we are quicker.

`bsdtar` is part of `libarchive-tools` (apt) or `libarchive` (Homebrew); without it, or without
`curl`, the script says so and measures asynccvat alone.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = "asynccvat"
PEER = "curl | bsdtar -x"


@dataclass(frozen=True)
class Run:
    """One contender's process: seconds from its start to its end, and what it held at most.

    Attributes:
        contender: Who.
        wall: Seconds.
        cpu: Seconds of processor time, children included.
        peak_mib: Resident memory at its peak, MiB; None where it was not asked.
    """

    contender: str
    wall: float
    cpu: float
    peak_mib: float | None


def main() -> int:
    """Run the benchmark that the command line asks for."""
    options = _parse_arguments()
    archive = make_archive(options.cache, options.size_mib << 20, options.member_kb * 1000)
    contenders = [OURS]
    if shutil.which("curl") and shutil.which("bsdtar"):
        contenders.append(PEER)
    else:
        print(
            "the peer is left out: it needs curl and bsdtar (apt-get install curl "
            "libarchive-tools, or brew install libarchive)",
            file=sys.stderr,
        )
    with serve(archive) as url, tempfile.TemporaryDirectory(dir=options.output) as scratch:
        # No tree is removed before the end: ext4 takes several times as long to create files
        # while it still remembers many that were deleted (`recently_deleted`, half a minute).
        work = Path(scratch)
        for contender in contenders:
            run(contender, url, work / "check" / contender.split()[0])
            check_tree(work / "check" / contender.split()[0] / "tree", archive)
        runs = []
        for pair in range(options.pairs):
            # Who goes first alternates, so that neither profits from the other's leavings.
            for contender in contenders if pair % 2 == 0 else reversed(contenders):
                level_ground(work, archive.stat().st_size)
                runs.append(run(contender, url, work / f"{pair}-{contender.split()[0]}"))
    figures = summarize(runs, archive)
    report = to_markdown(figures)
    print(json.dumps(figures, indent=1))
    print(report)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(report)
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=5, help="timed runs of each contender")
    parser.add_argument("--size-mib", type=int, default=1024, help="bytes of the archive, MiB")
    parser.add_argument("--member-kb", type=int, default=200, help="bytes of a member, kB")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "asynccvat-benchmarks",
        help="folder that keeps the archive",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=None,
        help="folder to write trees into, each as large as the archive",
    )
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--markdown", type=Path, default=None, help="file for the table")
    return parser.parse_args()


def make_archive(cache: Path, size: int, member_size: int) -> Path:
    """Make the archive as CVAT packs images (stored, one folder), or find it made before."""
    archive = cache / f"stored-{size}-{member_size}.zip"
    if archive.exists():
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    content = random.Random(size)
    unfinished = archive.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as target:
        target.writestr("annotations.xml", b"<annotations>" + b" " * 100_000 + b"</annotations>")
        for index in range(size // member_size):
            target.writestr(f"images/default/{index:06d}.jpg", content.randbytes(member_size))
    unfinished.replace(archive)
    return archive


@contextlib.contextmanager
def serve(archive: Path) -> Iterator[str]:
    """Serve the archive from a process of its own and yield its URL."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "archive_server.py"), str(archive)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def run(contender: str, url: str, work: Path) -> Run:
    """Let one contender write the archive at `url` into `work / "tree"`."""
    work.mkdir(parents=True)
    tree = work / "tree"
    if contender == OURS:
        worker = str(HERE / "extract_worker.py")
        command = [sys.executable, worker, url, str(work / "dest"), str(tree)]
    else:
        tree.mkdir()
        script = 'set -o pipefail; curl -sS "$0" | bsdtar -x -C "$1" -f -'
        command = ["bash", "-c", script, f"{url}/api/result?rq_id=1", str(tree)]
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    wall = time.perf_counter() - started
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    peak = json.loads(done.stdout)["peak_bytes"] / 2**20 if contender == OURS else None
    return Run(contender, wall, cpu, peak)


def level_ground(work: Path, size: int) -> None:
    """Give each run the same start: nothing left to be written, and as much memory at hand.

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


def check_tree(tree: Path, archive: Path) -> None:
    """Compare a tree with the archive: the same files, each of the same size and CRC."""
    with zipfile.ZipFile(archive) as source:
        expected = {info.filename: (info.file_size, info.CRC) for info in source.infolist()}
    found = {}
    for path in tree.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found[path.relative_to(tree).as_posix()] = (len(content), zlib.crc32(content))
    if found != expected:
        raise SystemExit(f"the tree at {tree} is not what {archive} holds: nothing is timed")


def summarize(runs: list[Run], archive: Path) -> dict[str, object]:
    """Reduce the runs to medians, and the median of the ratios of the pairs."""
    walls: dict[str, list[float]] = {}
    for one in runs:
        walls.setdefault(one.contender, []).append(one.wall)
    figures: dict[str, object] = {
        "archive_bytes": archive.stat().st_size,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "median_seconds": {who: round(statistics.median(them), 3) for who, them in walls.items()},
        "peak_mib": round(max(one.peak_mib for one in runs if one.peak_mib is not None), 1),
        "runs": [asdict(one) for one in runs],
    }
    if PEER in walls:
        # The n-th run of each made the n-th pair, whoever went first.
        ratios = [peer / ours for ours, peer in zip(walls[OURS], walls[PEER], strict=True)]
        figures["pair_ratios"] = [round(ratio, 3) for ratio in ratios]
        figures["median_ratio"] = round(statistics.median(ratios), 3)
    return figures


def to_markdown(figures: dict[str, object]) -> str:
    """Show the figures as a table."""
    medians = figures["median_seconds"]
    size = figures["archive_bytes"]
    assert isinstance(medians, dict)
    assert isinstance(size, int)
    lines = ["| contender | median seconds | MB/s | peak MiB |", "|---|---|---|---|"]
    for who, seconds in medians.items():
        peak = figures["peak_mib"] if who == OURS else "-"
        name = who.replace("|", "\\|")
        lines.append(f"| `{name}` | {seconds} | {size / seconds / 1e6:.0f} | {peak} |")
    if "median_ratio" in figures:
        lines += ["", f"Median ratio of the pairs (peer / ours): {figures['median_ratio']}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

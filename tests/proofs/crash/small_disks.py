"""Small file systems that another program really fills, and the command line on them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asynccvat import cli
from asynccvat.fs import files

SIZE = "48m"


def _mount(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["mount", *arguments, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted(folder: Path, kind: str) -> Iterator[Path]:
    """A small file system: `tmpfs`, or `ext4` in a file."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    place = folder / "small"
    place.mkdir()
    if kind == "tmpfs":
        _mount(place, "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes=2000", "tmpfs")
    else:
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("there is no mkfs.ext4 here")
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "2048", str(image)], check=True)
        _mount(place, "-o", "loop", str(image))
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


class OtherProgram:
    """Fills a file system, and frees it."""

    def __init__(self, disk: Path) -> None:
        self._ballast = disk / "ballast"

    def fill(self, *, left: int, inodes: bool) -> None:
        """Leave room for so many bytes, or for so many files, and for no more."""
        self._ballast.mkdir()
        with contextlib.suppress(OSError):
            for number in range(1 << 20):
                if inodes:
                    (self._ballast / str(number)).touch()
                else:
                    self._write(self._ballast / str(number))
        if inodes:
            for number in range(left):
                (self._ballast / str(number)).unlink(missing_ok=True)
        elif left:
            largest = max(self._ballast.iterdir(), key=lambda path: path.stat().st_size)
            os.truncate(largest, max(0, largest.stat().st_size - left))

    def free(self) -> None:
        """Go away."""
        shutil.rmtree(self._ballast, ignore_errors=True)

    @staticmethod
    def _write(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        raise OSError(errno.ENOSPC, "full")


class Moment:
    """Calls something right before an effect of a given number; and counts the effects.

    Attributes:
        seen: How many effects there were.
        last: How many there were before it began to count anew.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen = self.last = 0
        self._at: int | None = None
        self._act: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        for name in files.EFFECTS:
            monkeypatch.setattr(files, name, self._watched(getattr(files, name)))

    def set(self, at: int | None, act: Callable[[], None] = lambda: None) -> None:
        """Begin to count anew."""
        self.last = self.seen
        self.seen, self._at, self._act = 0, at, act

    def _watched(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self.seen += 1
                if self.seen == self._at:
                    self._act()
            return effect(*args, **kwargs)

        return watched


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    errors: tuple[str, ...]
    out: str


Shell = Callable[[Sequence[str]], Ended]


def command_line(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command line in this process, which shares the file system's room with nobody."""

    def run(arguments: Sequence[str]) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        errors = tuple(line for line in err.splitlines() if line.startswith("Error: "))
        assert isinstance(ended.value.code, int)
        return Ended(int(ended.value.code), errors, out)

    return run


def name_server(patch: pytest.MonkeyPatch, url: str, username: str, password: str) -> None:
    """Let the environment name a server for the command line, and nothing else."""
    for name in [name for name in os.environ if name.startswith("CVAT_")]:
        patch.delenv(name)
    patch.setenv("CVAT_URL", url)
    patch.setenv("CVAT_USERNAME", username)
    patch.setenv("CVAT_PASSWORD", password)


def check_refused(ended: Ended) -> None:
    """Check that a command that met a full disk says so in one line, with what to do."""
    assert ended.code in (0, 1), ended
    if ended.code == 0:
        assert ended.errors == (), ended
        return
    assert len(ended.errors) == 1 or (not ended.errors and ended.out.startswith("Done")), ended
    for error in ended.errors:
        assert "Free some space" in error or "Remove some files" in error, error
        assert len(error) < 500

"""What a disk may hold after a power cut, as values: a trace of changes, and the states it allows.

A trace tells in order how names and contents changed, and what was synced. A cut falls between two
of its steps. What is durable then is there; of the rest, anything may be there or not, under rules
that are looser than those of any file system in use, so that the promise needs no particular one:

- A sync of a file makes its content durable, with its size and its time; not its names. A sync of
  a folder makes the names in it durable; a sync of the file system makes all of it durable.
- A change of two names, a rename or an exchange, is one: it is there as a whole or not at all, as
  POSIX asks of `rename` and as ext4, XFS and Btrfs do it by one transaction or one entry of their
  logs. It counts as durable only once *both* folders were synced since, although in practice one
  does: POSIX does not say which.
- Changes come in their order only where they concern the same name. That is harsher than a prefix
  of the changes in each folder, which journals (ext4, XFS) keep at least; but an fsync on Btrfs
  writes a log of the one inode, without what else changed in its folder. LevelDB's fault-injecting
  environment loses all that was not synced; ALICE (OSDI 2014) reorders it as well, and so does
  this: any set of changes is tried that holds, with each change, those before it of the same
  names. The promise needs no more. Only that nothing of ours is left in `kept/` is asked of the
  states alone in which folders keep their order: elsewhere it costs a sync and loses nothing.
- A content that was not synced is any of: what was synced before, or nothing; as many zeros as it
  has bytes (ext4 with delayed allocation, XFS); its first half; its first half, then zeros; all
  of it. Its time is the latest in any case, so that a receipt can be deceived by it. If a file was
  only appended to or cut short since its sync, that holds of what was appended: journals rely on
  the lines that were synced, as those of databases do.
- That a sync makes older changes durable, too, as on ext4, is relied on nowhere.
"""

from __future__ import annotations

import functools
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

ROOT = 0
"""The number of the folder that all others are in."""

Place = tuple[int, str]
"""A name in a folder, by the folder's number."""
Files = dict[str, bytes]
"""The files of a folder, by path."""


# --- the trace -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """Names came to stand for other inodes, or for none, all in one step."""

    effect: str
    changes: tuple[tuple[Place, int | None], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A file came to hold this, all in all."""

    inode: int
    content: bytes = field(repr=False)
    mtime_ns: int


EVERYTHING = -1
"""Stands for the inode where the whole file system is synced."""


@dataclass(frozen=True, slots=True)
class Synced:
    """A file or a folder was synced, or everything."""

    inode: int


@dataclass(frozen=True, slots=True)
class Told:
    """The caller was told what is done."""

    what: Any


Step = Named | Written | Synced | Told
Content = tuple[bytes, int]
"""Bytes and modification time, nanoseconds."""


@dataclass
class Trace:
    """What was on a disk, durably, and what was done to it since.

    Attributes:
        folders: The inodes that are folders.
        names: What the names stood for at the start.
        contents: What the files held at the start.
        steps: What was done.
    """

    folders: set[int] = field(default_factory=lambda: {ROOT})
    names: dict[Place, int] = field(default_factory=dict)
    contents: dict[int, Content] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def up_to(self, point: int) -> Trace:
        """The same up to a cut or a kill, to be gone on with."""
        return Trace(set(self.folders), dict(self.names), dict(self.contents), self.steps[:point])

    def without_syncs(self, forgotten: Callable[[str], bool]) -> Trace:
        """The same, as if what has such a path had never been synced; "" is everything."""
        shorter = self.up_to(0)
        for number, step in enumerate(self.steps):
            path = ""
            if isinstance(step, Synced) and step.inode != EVERYTHING:
                path = Cut(self, number).state().paths[step.inode]
            if not (isinstance(step, Synced) and forgotten(path)):
                shorter.steps.append(step)
        return shorter


# --- the states ----------------------------------------------------------------------------------


class Damage(Enum):
    """What became of a content that was not synced."""

    NONE = auto()
    LOST = auto()
    ZEROS = auto()
    SHORT = auto()
    TORN = auto()


@functools.lru_cache(maxsize=4096)
def _damaged(content: bytes, damage: Damage) -> bytes:
    half = len(content) // 2
    match damage:
        case Damage.ZEROS:
            return bytes(len(content))
        case Damage.SHORT:
            return content[:half]
        case Damage.TORN:
            return content[:half].ljust(len(content), b"\0")
        case _:
            return content


def _damaged_after(synced: bytes, content: bytes, damage: Damage) -> bytes:
    """Damage what was appended to a synced content, or all of it if it was written anew."""
    if synced.startswith(content):
        return content
    if content.startswith(synced):
        return synced + _damaged(content[len(synced) :], damage)
    return _damaged(content, damage)


@dataclass(frozen=True, eq=False)
class State:
    """What a disk holds.

    Attributes:
        folders: By number, what the names in each folder stand for.
        contents: What the files hold.
        orderly: Whether in each folder the changes kept their order.
        story: After which step the power was cut, and what was lost.
    """

    folders: Mapping[int, Mapping[str, int]]
    contents: Mapping[int, Content]
    orderly: bool = True
    story: tuple[object, ...] = ()

    def find(self, path: str) -> int | None:
        """What a path stands for, None where there is nothing."""
        inode = ROOT
        for name in path.split("/"):
            here = self.folders.get(inode, {})
            if name not in here:
                return None
            inode = here[name]
        return inode

    def names(self, path: str) -> list[str]:
        """The names in a folder, none where there is none."""
        return sorted(self.folders.get(self._numbered(path), ()))

    def files(self, path: str) -> Files | None:
        """The files of a folder, None where there is none."""
        inode = self.find(path)
        if inode is None or inode not in self.folders:
            return None
        return {name: self.contents[one][0] for name, one in self._walk(inode, "")}

    def read(self, path: str) -> bytes | None:
        """What a file holds, None where there is none."""
        content = self.contents.get(self._numbered(path))
        return None if content is None else content[0]

    @functools.cached_property
    def fingerprint(self) -> int:
        """The same for two states that nobody could tell apart."""
        return hash(tuple((path, one, *self.contents[one]) for path, one in self._walk(ROOT, "")))

    @property
    def paths(self) -> dict[int, str]:
        """By number, where each file and folder is, or one of its names."""
        return {ROOT: "."} | {inode: path for path, inode in self._walk(ROOT, "", folders=True)}

    def _numbered(self, path: str) -> int:
        inode = self.find(path)
        return -1 if inode is None else inode

    def _walk(
        self, folder: int, prefix: str, *, folders: bool = False
    ) -> Iterator[tuple[str, int]]:
        """The files below a folder, by path, and the folders, too, where those are wanted."""
        for name, inode in sorted(self.folders[folder].items()):
            if folders or inode not in self.folders:
                yield prefix + name, inode
            if inode in self.folders:
                yield from self._walk(inode, f"{prefix}{name}/", folders=folders)


class Cut:
    """A cut right before a step of a trace, and the states that it may leave."""

    def __init__(self, trace: Trace, point: int) -> None:
        """Cut the power after so many steps."""
        self._trace = trace
        self._last_steps = trace.steps[max(0, point - 3) : point]
        self._contents = dict(trace.contents)
        self._synced_contents = dict(trace.contents)
        self._changes: list[Named] = []
        # By change: those of the same names right before it, and right after it.
        self._before: list[set[int]] = []
        self._after: list[set[int]] = []
        # By change: its folders that were not synced since.
        self._unsynced: dict[int, set[int]] = {}
        self._last: dict[Place, int] = {}
        for step in trace.steps[:point]:
            match step:
                case Named():
                    self._name(step)
                case Written():
                    self._contents[step.inode] = (step.content, step.mtime_ns)
                case Synced():
                    self._sync(step.inode)
                case Told():
                    pass
        self.everything = frozenset(range(len(self._changes)))
        """All changes of names."""
        self.durable = self._closed(self.everything - self._unsynced.keys())
        """Those that are there in any case."""
        self.pending = sorted(self.everything - self.durable)
        """Those that may be there, in their order."""
        self.unsynced = [
            inode
            for inode, content in self._contents.items()
            if self._synced_contents.get(inode) != content
        ]
        """The files whose content may be damaged."""

    def _name(self, step: Named) -> None:
        number = len(self._changes)
        before = {self._last[place] for place, _ in step.changes if place in self._last}
        for one in before:
            self._after[one].add(number)
        self._changes.append(step)
        self._before.append(before)
        self._after.append(set())
        self._last.update((place, number) for place, _ in step.changes)
        self._unsynced[number] = {folder for (folder, _), _ in step.changes}

    def _sync(self, inode: int) -> None:
        if inode == EVERYTHING:
            self._unsynced.clear()
            self._synced_contents.update(self._contents)
        elif inode in self._trace.folders:
            for folders in self._unsynced.values():
                folders.discard(inode)
            self._unsynced = {one: rest for one, rest in self._unsynced.items() if rest}
        else:
            self._synced_contents[inode] = self._contents[inode]

    def systematic(self) -> Iterator[State]:
        """Nothing lost, all lost, only some kind lost, only one change lost, only one kept."""
        everything = self.everything
        yield self.state()
        yield self.state(self.durable, Damage.LOST)
        for damage in (Damage.LOST, Damage.ZEROS, Damage.SHORT, Damage.TORN):
            if self.unsynced:
                yield self.state(everything, damage)
        renames = {one for one in self.pending if len(self._changes[one].changes) > 1}
        yield self.state(self._closed(self.durable | renames), Damage.ZEROS)
        for one in self.pending:
            yield self.state(self._closed(self.durable | {one}), Damage.ZEROS)
            yield self.state(everything - self._following(one))
            if self.unsynced:
                yield self.state(everything - self._following(one), Damage.ZEROS)
        for inode in self.unsynced:
            yield self.state(everything, Damage.NONE, {inode: Damage.ZEROS})
            yield self.state(everything, Damage.NONE, {inode: Damage.LOST})

    def random(self, chance: random.Random) -> State:
        """Any set of changes that keeps their order, and any damage."""
        share = chance.random()
        kept = set(self.durable)
        for one in self.pending:
            if self._before[one] <= kept and chance.random() < share:
                kept.add(one)
        damages = {inode: chance.choice(list(Damage)) for inode in self.unsynced}
        return self.state(frozenset(kept), Damage.NONE, damages)

    def state(
        self,
        kept: frozenset[int] | None = None,
        damage: Damage = Damage.NONE,
        damages: Mapping[int, Damage] | None = None,
    ) -> State:
        """The state with these changes, or with all, as a process sees it.

        Args:
            kept: The changes of names that are there, by number.
            damage: What became of the contents that were not synced.
            damages: The same of single files.
        """
        kept = self.everything if kept is None else kept
        folders: dict[int, dict[str, int]] = {folder: {} for folder in self._trace.folders}
        for (folder, name), inode in self._trace.names.items():
            folders[folder][name] = inode
        for number in sorted(kept):
            for (folder, name), changed in self._changes[number].changes:
                if changed is None:
                    folders[folder].pop(name, None)
                else:
                    folders[folder][name] = changed
        contents = dict(self._contents)
        for inode in self.unsynced:
            content, mtime_ns = contents[inode]
            synced = self._synced_contents.get(inode, (b"", 0))[0]
            of_this = (damages or {}).get(inode, damage)
            if of_this is Damage.LOST:
                contents[inode] = (synced, mtime_ns)
            else:
                contents[inode] = (_damaged_after(synced, content, of_this), mtime_ns)
        lost = [change for number, change in enumerate(self._changes) if number not in kept]
        lost_contents = {one: (damages or {}).get(one, damage) for one in self.unsynced}
        return State(
            folders,
            contents,
            self._is_orderly(kept),
            (*self._last_steps, "LOST", *lost, lost_contents),
        )

    def _is_orderly(self, kept: frozenset[int]) -> bool:
        """Whether nothing is there of a folder that came after what is not."""
        ended: set[int] = set()
        for number, change in enumerate(self._changes):
            folders = {folder for (folder, _), _ in change.changes}
            if number not in kept:
                ended |= folders
            elif ended & folders:
                return False
        return True

    def _closed(self, kept: frozenset[int] | set[int]) -> frozenset[int]:
        return _reached(kept, self._before)

    def _following(self, change: int) -> frozenset[int]:
        return _reached({change}, self._after)


def _reached(start: frozenset[int] | set[int], edges: list[set[int]]) -> frozenset[int]:
    reached, ahead = set(start), list(start)
    while ahead:
        for one in edges[ahead.pop()] - reached:
            reached.add(one)
            ahead.append(one)
    return frozenset(reached)


# --- on a real disk ------------------------------------------------------------------------------

# Receipts name the device and the inode of a folder, which are others wherever a state is laid out.
_TREE = re.compile(rb'"device":(\d+),"inode":(\d+)')
_TREE_NUMBERED = re.compile(rb'"device":<>,"inode":<(\d+)>')
_NOWHERE = 1 << 62
"""No inode's number."""

Numbers = dict[tuple[int, int], int]
"""The numbers of real files and folders in a trace, by device and inode."""


def abstract(content: bytes, numbers: Numbers) -> bytes:
    """A content without the real numbers of inodes in it."""

    def numbered(match: re.Match[bytes]) -> bytes:
        inode = numbers.get((int(match[1]), int(match[2])))
        return match[0] if inode is None else b'"device":<>,"inode":<%d>' % inode

    return _TREE.sub(numbered, content, count=1) if content.startswith(b'{"version"') else content


def concrete(content: bytes, real: Mapping[int, tuple[int, int]], *, device: int = 0) -> bytes:
    """The content with real numbers; `device` is added to the devices', as after a reboot."""

    def numbered(match: re.Match[bytes]) -> bytes:
        where = real.get(int(match[1]), (0, _NOWHERE))
        return b'"device":%d,"inode":%d' % (where[0] + device, where[1])

    return _TREE_NUMBERED.sub(numbered, content, count=1)


def lay_out(state: State, place: Path, *, device: int = 0) -> Numbers:
    """Make a folder of a state, and tell the numbers of what is in it."""
    paths: dict[int, Path] = {}

    def make(folder: int, path: Path) -> None:
        path.mkdir()
        paths[folder] = path
        for name, inode in state.folders[folder].items():
            if inode in state.folders:
                make(inode, path / name)
            elif inode in paths:
                os.link(paths[inode], path / name)
            else:
                paths[inode] = path / name
                paths[inode].touch()

    make(ROOT, place)
    statuses = {inode: path.stat() for inode, path in paths.items()}
    real = {inode: (status.st_dev, status.st_ino) for inode, status in statuses.items()}
    for inode in paths.keys() - state.folders.keys():
        content, mtime_ns = state.contents[inode]
        paths[inode].write_bytes(concrete(content, real, device=device))
        os.utime(paths[inode], ns=(mtime_ns, mtime_ns))
    return {numbers: inode for inode, numbers in real.items()}


def look(place: Path, known: Numbers | None = None) -> tuple[Trace, Numbers]:
    """A trace that begins with what a folder holds, and the numbers in it.

    Args:
        place: The folder.
        known: Numbers that are given already.
    """
    trace = Trace()
    numbers: Numbers = dict(known or {})
    status = place.stat()
    numbers[status.st_dev, status.st_ino] = ROOT
    contents: dict[int, Content] = {}

    def enter(folder: int, path: Path) -> None:
        for entry in sorted(path.iterdir()):
            status = entry.lstat()
            inode = numbers.setdefault((status.st_dev, status.st_ino), max(numbers.values()) + 1)
            trace.names[folder, entry.name] = inode
            if entry.is_dir():
                trace.folders.add(inode)
                enter(inode, entry)
            else:
                contents[inode] = (entry.read_bytes(), status.st_mtime_ns)

    enter(ROOT, place)
    for inode, (content, mtime_ns) in contents.items():
        trace.contents[inode] = (abstract(content, numbers), mtime_ns)
    return trace, numbers

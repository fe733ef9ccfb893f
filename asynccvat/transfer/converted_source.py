"""Make the files of tasks from the server's JSON, as its exports would be.

A task that cannot be converted exactly is exported. Some tasks are audited: exported, too, and
compared. Their folders get the files of the export. After a difference, no other task is converted;
`commands.mirror.audits` then exports those again that were.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from asynccvat.aio.threads import in_thread
from asynccvat.archives import StagedArchive, write_files
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.core.annotations.staged_counts import StagedCounter, counting_rule
from asynccvat.core.convert.audits import AuditSample, kinds_in
from asynccvat.core.convert.differences import first_difference
from asynccvat.core.convert.formats import convert_task
from asynccvat.core.convert.task_json import inexact, read_task_json
from asynccvat.core.paths import NameRules, safe_member_path
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import InexactConversionError, UnsafePathError
from asynccvat.events import TransferStarted
from asynccvat.fs import disk_errors, files
from asynccvat.store import Staging
from asynccvat.transfer.export_source import ExportReading, ExportSource
from asynccvat.transfer.orders import Destination, FetchOrder
from asynccvat.transfer.task_json import TaskJsonReader

# Larger tasks are exported: their files would be in memory as a whole.
_MOST_BYTES = 64 << 20


@dataclass(kw_only=True)
class Conversions:
    """How tasks of one run are converted, and what came of it.

    Attributes:
        rule: The rule, for receipts.
        jobs: The text of `jobs.json` for each task that has jobs.
        rules: What names the destination can hold.
        bandwidth: Limits the bytes of all answers together; None for no limit.
        on_difference: Receives the first difference between a conversion and an export, before the
            audited task is committed.
        exported: Why tasks were exported that could not be converted exactly, by task.
        converted: The tasks whose files were made by the conversion alone.
        audited: The tasks whose conversion was the same as their export.
        changing: The tasks that changed on the server while they were audited.
        difference: Where a conversion differed, None if none did.
    """

    rule: str
    jobs: Mapping[int, bytes]
    rules: NameRules
    bandwidth: Bandwidth | None
    on_difference: Callable[[str], Awaitable[None]]
    exported: dict[int, str] = field(default_factory=dict)
    converted: set[int] = field(default_factory=set)
    audited: set[int] = field(default_factory=set)
    changing: set[int] = field(default_factory=set)
    difference: str | None = None


class ConvertedSource:
    """Converts tasks, many at once, and exports the others.

    A task holds its slot while the server is asked for JSON, and until its files are written. If
    it is exported, the export takes over the slot.
    """

    def __init__(
        self, exports: ExportSource, reader: TaskJsonReader, conversions: Conversions
    ) -> None:
        """Prepare to convert tasks.

        Args:
            exports: Exports tasks.
            reader: Reads the JSON of tasks.
            conversions: By what rule, and where to note what came of it.
        """
        self.exports = exports
        self.reader = reader
        self.conversions = conversions
        self.sample = AuditSample(())

    @property
    def has_room(self) -> bool:
        """Whether an archive would be read at once."""
        return self.exports.has_room

    def expect(self, orders: Sequence[FetchOrder]) -> None:
        """Note which tasks will be read, and draw those that are audited."""
        self.reader.expect([order.task.id for order in orders])
        self.sample = AuditSample([(one.task.id, one.task.updated_date) for one in orders])

    @contextmanager
    def reading(self, order: FetchOrder) -> Iterator[ConvertedReading]:
        """Begin with a task. The caller holds a slot, which is given back."""
        with ExitStack() as stack:
            reading = ConvertedReading(self, order, stack)
            stack.callback(reading.release_slot)
            yield reading


@dataclass(frozen=True, slots=True)
class _Converted:
    """The files of a converted task.

    Attributes:
        content: The files, by path.
        annotations: How many annotations they hold.
        kinds: What the task holds.
    """

    content: Mapping[str, bytes]
    annotations: int | None
    kinds: frozenset[str]


class ConvertedReading:
    """One task while its files are made.

    Attributes:
        spec: What the folder will hold.
        jobs: None: the folder is not one of JSON.
    """

    jobs = None

    def __init__(self, source: ConvertedSource, order: FetchOrder, stack: ExitStack) -> None:
        """Begin with a task that holds a slot.

        Args:
            source: The source.
            order: The task.
            stack: Ends the export of the task, if there is one.
        """
        spec = source.exports.spec.for_mode(order.task.mode)
        assert isinstance(spec, ExportSpec), "a backup is not converted"
        self.spec = spec
        self._source = source
        self._order = order
        self._stack = stack
        self._holds_slot = True
        self._read: Mapping[str, bytes] = {}
        self._converted: _Converted | None = None
        self._export: ExportReading | None = None

    @property
    def rule(self) -> str | None:
        """The rule by which the files are made; None if they are those of an export."""
        return self._source.conversions.rule if self._export is None else None

    def release_slot(self) -> None:
        """Give the slot to another task, unless the export of this one took it over."""
        if self._holds_slot:
            self._holds_slot = False
            self._source.exports.slots.release()

    async def prepare(self) -> None:
        """Convert the task. Export it, too, if it is audited or cannot be converted exactly."""
        source, task = self._source, self._order.task
        if source.conversions.difference is None:
            source.exports.emit(TransferStarted(task.id, None, 0))
            self._read = await source.reader.read(task)
            try:
                self._converted = await in_thread(self._convert)
            except InexactConversionError as error:
                source.conversions.exported[task.id] = error.reason
                source.sample.pass_over(task.id)
        converted = self._converted
        if converted is None or source.sample.takes(task.id, converted.kinds):
            self._holds_slot = False
            self._export = self._stack.enter_context(source.exports.reading(self._order))
            await self._export.prepare()

    def _convert(self) -> _Converted:
        """Convert the task, in a worker thread.

        Raises:
            InexactConversionError: It is not known how CVAT exports it, or it is too large.
        """
        task = read_task_json(self._read)
        rule = counting_rule(self.spec.format)
        counter = None if rule is None else StagedCounter(rule)
        content, size = {}, 0
        for file in convert_task(task, self.spec.format):
            chunks = []
            for chunk in file.chunks:
                size += len(chunk)
                if size > _MOST_BYTES:
                    raise inexact(f"its files are larger than {_MOST_BYTES >> 20} MiB")
                chunks.append(chunk)
                if counter is not None:
                    counter.feed(chunk)
            content[self._safe(file.path)] = b"".join(chunks)
        return _Converted(content, None if counter is None else counter.total(), kinds_in(task))

    def _safe(self, path: str) -> str:
        try:
            return safe_member_path(path, self._source.conversions.rules)
        except UnsafePathError as error:
            raise inexact(f"the name of its file is unsafe: {path!r}") from error

    async def fill(
        self, destination: Destination[Any], staging: Any
    ) -> tuple[StagedArchive, str | None]:
        """Write the files, or read the archive of the export. An audit then compares both."""
        converted = self._converted
        if self._export is None:
            assert converted is not None, "what is not converted is exported"
            read = await in_thread(write_files, staging, converted.content)
            assert read is not None, "no file is reused"
            self._source.conversions.converted.add(self._order.task.id)
            self.release_slot()
            return replace(read, transferred=self._size(), annotations=converted.annotations), None
        read, media = await self._export.fill(destination, staging)
        if converted is not None:
            await self._audit(converted, staging, read)
        return replace(read, transferred=read.transferred + self._size()), media

    def _size(self) -> int:
        return sum(map(len, self._read.values()))

    async def _audit(self, converted: _Converted, staging: Staging, read: StagedArchive) -> None:
        """Compare the conversion with the export. It proves nothing if the task changed."""
        task, conversions = self._order.task, self._source.conversions
        paths = [member.path for member in read.members]
        exported = await in_thread(_staged, staging, paths)
        where = await in_thread(first_difference, converted.content, exported)
        if where is None:
            conversions.audited.add(task.id)
        elif await self._source.reader.read(task) != self._read:
            conversions.changing.add(task.id)
        elif conversions.difference is None:
            conversions.difference = f"task {task.id}, {where}"
            await conversions.on_difference(conversions.difference)


def _staged(staging: Staging, paths: Sequence[str]) -> dict[str, bytes]:
    """Read files that were staged."""
    found = {}
    explained = disk_errors.explained("read", staging.tree, task_id=staging.task_id)
    with explained, staging.open_tree() as root:
        for path in paths:
            parent, _, name = path.rpartition("/")
            with files.folder(parent, dir_fd=root) as folder:
                found[path] = files.read_file(name, dir_fd=folder) or b""
    return found

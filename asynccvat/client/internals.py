"""What the engine needs of a client, and its users do not.

`internals(client)` in `client.client` hands it out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from asynccvat.client.annotations import replace_annotations
from asynccvat.client.body_limit import BodyLimit
from asynccvat.client.exports import ExportCalls
from asynccvat.client.json_calls import JsonCalls
from asynccvat.client.lists import Lists
from asynccvat.client.project_names import projects_named
from asynccvat.client.tokens import read_access_token, read_only_refusal
from asynccvat.client.upload_starts import UploadStarts
from asynccvat.core.annotations.importers import importer_for
from asynccvat.core.decoding import ListPage
from asynccvat.core.models import About, AccessToken, Format, Job, Project, Task
from asynccvat.core.numbers import whole
from asynccvat.core.options.upload import ImportMode
from asynccvat.core.requests import RequestAccepted, ServerRequest
from asynccvat.core.selections.selection import (
    JobSelection,
    ProjectSelection,
    RequestSelection,
    Selection,
)
from asynccvat.core.specs import BucketKey, RequestSpec
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.responses import ByteRange
from asynccvat.core.wire.server_versions import version_problem
from asynccvat.errors import AsyncCvatError, ConfigError
from asynccvat.http import Call, HttpOptions, HttpSession, ResultStream, SharedBudget
from asynccvat.http.paging import Listing

if TYPE_CHECKING:
    from asynccvat.client.creations import Creations
    from asynccvat.client.deletions import Deletions
    from asynccvat.client.imports import AnnotationUpload
    from asynccvat.client.media import MediaCalls
    from asynccvat.client.restores import RestoreCalls
    from asynccvat.client.upload_file import FileToSend


_ABOUT = msgspec.json.Decoder(About)


class ClientInternals:
    """The engine's side of one client.

    Attributes:
        version: The server's version, None until it told it.
    """

    def __init__(self, http: HttpSession, lists: Lists, exports: ExportCalls) -> None:
        """Share a client's session, lists and export calls."""
        self._http = http
        self._lists = lists
        self._exports = exports
        self._appends: bool | None = None
        self._token: AccessToken | None = None
        self.version: str | None = None
        self._body_limit = BodyLimit()
        self._upload_starts = UploadStarts()

    @property
    def retry_budget(self) -> SharedBudget:
        """The retries that are left, for calls and for archives alike."""
        return self._http.retries.budget

    @property
    def token(self) -> str | None:
        """The token that calls are made with: the given one, or the login's key."""
        return self._http.token

    @property
    def is_password_login(self) -> bool:
        """Whether the client logs in with a password."""
        return self._http.logs_in

    @property
    def options(self) -> HttpOptions:
        """How the client connects."""
        return self._http.options

    @property
    def is_unreachable(self) -> bool:
        """Whether the server is known not to answer, so that calls wait for it."""
        return self._http.retries.outages.is_closed

    @asynccontextmanager
    async def open_result(
        self,
        result_url: str,
        *,
        first: int | None = None,
        last: int | None = None,
        suffix: int | None = None,
        if_range: str | None = None,
        task_id: int | None = None,
        target: TargetKind = TargetKind.TASK,
    ) -> AsyncIterator[ResultStream]:
        """Read an export's archive, or a part of it.

        Only path and query of `result_url` are used. The request always goes to the configured
        server, even if the URL names another host.

        Args:
            result_url: As the finished request has it.
            first: Offset of the first byte wanted.
            last: Offset of the last byte wanted, inclusive.
            suffix: The number of bytes at the end, instead of `first` and `last`.
            if_range: An ETag. If the archive has changed, the answer is the whole of it (200).
            task_id: The task of the export, or its target of another kind, for the messages.
            target: What that is the id of.

        Raises:
            ExportNotReadyError: The export has not ended, or another one was started since.
            ExportExpiredError: The result is gone. Export the task again.
            ProtocolError: The answer is not the requested part, or not an archive.
            TransportError: The connection failed.
        """
        part = None
        if (first, last, suffix) != (None, None, None):
            part = ByteRange(first, last, suffix)
        async with self._exports.result(result_url, part, if_range, task_id, target) as stream:
            yield stream

    async def known_exports(self) -> tuple[ServerRequest, ...]:
        """Return the user's exports that the server remembers, by one call without retries.

        Raises:
            AsyncCvatError: The server cannot be asked now.
        """
        return await self._lists.requests(RequestSelection(action="export"), retry=False)

    async def request_to_bucket(
        self, target_id: int, spec: RequestSpec, to: BucketKey
    ) -> RequestAccepted:
        """Request an export or a backup that the server writes to a cloud storage.

        The id of the request does not depend on where it goes. So one that ran already (`created`
        is False) may go elsewhere.

        Raises:
            AsyncCvatError: The server refuses it, or cannot be asked.
        """
        return await self._exports.request(target_id, spec, to)

    async def newest_tasks(
        self, selection: Selection, *, page_size: int
    ) -> tuple[ListPage[Task], ...]:
        """Return the tasks of a selection that changed last: a page of each of its lists.

        CVAT ignores sort keys that it does not know. So the caller checks the order.

        Raises:
            AsyncCvatError: The server cannot be asked, or refuses the list.
        """
        return await self._lists.newest_tasks(selection, page_size)

    async def resolved(self, selection: Selection, *, side: str = "") -> Selection:
        """Return a selection with the ids of the projects that it names.

        Args:
            selection: The selection.
            side: The option that names this server, where a command has two.

        Raises:
            ConfigError: No project has one of the names, or several have.
            AsyncCvatError: The server cannot be asked, or refuses the list.
        """
        return await self._lists.resolved(selection, side=side)

    async def check_projects(
        self, project_ids: Sequence[int] | None, seen: Collection[int | None]
    ) -> None:
        """Check that projects exist of which a list shows nothing.

        Args:
            project_ids: The projects. Those of a range need not exist.
            seen: Those of which the list shows something.

        Raises:
            NotFoundError: There is no such project.
            AsyncCvatError: The server cannot be asked.
        """
        await self._lists.check_projects(project_ids, seen)

    async def find_project(self, project: int | str, *, side: str = "") -> Project:
        """Return a project by its id, or by its name.

        Args:
            project: The id, also as text, or the exact name.
            side: The option that names this server, where a command has two.

        Raises:
            ConfigError: No project has the name, or several have.
            NotFoundError: No project has the id.
            AsyncCvatError: The server cannot be asked, or refuses the list.
        """
        text = str(project).strip()
        if text.isascii() and text.isdecimal():
            return await self._lists.project(int(text))
        return (await projects_named(self._http, [text], side=side))[0]

    async def list_projects(self, selection: ProjectSelection) -> Listing[Project]:
        """List the projects of a selection, and tell whether the list was complete.

        Raises:
            AsyncCvatError: The server cannot be asked, or refuses the list.
        """
        return await self._lists.listed_projects(selection)

    async def list_jobs(self, selection: JobSelection) -> Listing[Job]:
        """List the jobs of a selection, and tell whether the list was complete.

        Raises:
            AsyncCvatError: The server cannot be asked, or refuses the list.
        """
        return await self._lists.listed_jobs(selection)

    async def check_version(self) -> None:
        """Check that the server is not older than those that work. It is asked once.

        Sent with credentials, since CVAT throttles anonymous calls of an address together. A
        server that does not tell its version counts as new enough.

        Raises:
            ConfigError: It is too old.
        """
        if self.version is None:
            call = Call(method="GET", path="/api/server/about", step="about", retry=False)
            try:
                answer = self._http.decode(await self._http.call(call), _ABOUT)
            except AsyncCvatError:
                return  # if the server has a trouble, the calls that matter meet it, too
            self.version = answer.version
        if problem := version_problem(self._http.server.origin, self.version):
            raise ConfigError(problem)

    async def check_format(self, name: str) -> None:
        """Check that the server exports in a format, by its exact name.

        Raises:
            ConfigError: It does not, or not now. The nearest names are given.
        """
        await self._exports.check_format(name)

    async def exporter(self, name: str) -> str:
        """Return the exact name of the format that a text like `coco` means.

        Raises:
            ConfigError: The server exports in no such format, or in several. The names are given.
        """
        return await self._exports.exporter(name)

    async def importer(self, name: str) -> Format:
        """Return the importer that a text like `coco` means, or the name of an exporter.

        Raises:
            ConfigError: There is none. The nearest names are given.
        """
        formats = await self._lists.formats()
        return importer_for(name, formats, origin=self._http.server.address)

    async def check_may_write(self, what: str = "upload") -> None:
        """Check that the credentials are no read-only token. Asked once, and only of tokens.

        Args:
            what: What is about to be done, in words.

        Raises:
            PermissionDeniedError: They are. Nothing was sent.
        """
        if self._token is None:
            self._token = await read_access_token(self._http)
        if self._token is not None and self._token.read_only:
            raise read_only_refusal(self._token, what, self._http.server.origin)

    async def check_mode(self, mode: str) -> None:
        """Check that the server imports in a mode: `replace` all do, `append` newer ones.

        CVAT ignores parameters that it does not know, and would replace. So the server's own
        description of its API decides. It is requested once.

        Raises:
            ConfigError: It does not. Nothing was sent.
        """
        if mode not in tuple(ImportMode):
            raise ConfigError(f"mode must be {' or '.join(ImportMode)}, not {mode!r}")
        if mode == ImportMode.REPLACE:
            return
        if self._appends is None:
            call = Call(method="GET", path="/api/schema/", step="schema", expect=(200, 403, 404))
            answer = await self._http.call(call)
            self._appends = answer.status == 200 and b"import_mode" in answer.body
        if not self._appends:
            raise ConfigError(
                f"cannot append annotations: {self._http.server.address} only replaces them. Merge "
                "them into the file first, or use a newer CVAT.",
                step="upload",
            )

    async def replace_annotations(
        self, task_id: int, content: bytes, *, append: bool = False
    ) -> None:
        """Replace all annotations of a task by JSON without ids, in one call if that is allowed.

        Args:
            task_id: The task.
            content: The annotations.
            append: Add them to those that the task has.

        Raises:
            ResponseError: The server refuses them. Nothing was replaced.
            TransportError: They may have been replaced or not.
            ImportUncertainError: They were replaced in part.
            HeldBackError: The first call had to wait. Nothing was replaced.
        """
        await replace_annotations(self._http, task_id, content, self._body_limit, append=append)

    @property
    def json_calls(self) -> JsonCalls:
        """The calls that a mirror as JSON is made of."""
        return JsonCalls(self._http)

    @property
    def creations(self) -> Creations:
        """The calls that make projects and tasks."""
        from asynccvat.client.creations import Creations  # noqa: PLC0415 - lists begin without

        return Creations(self._http, self._lists, self._body_limit)

    @property
    def deletions(self) -> Deletions:
        """The calls that delete tasks and projects."""
        from asynccvat.client.deletions import Deletions  # noqa: PLC0415 - lists begin without

        return Deletions(self._http)

    @property
    def media_calls(self) -> MediaCalls:
        """The calls that answer with media."""
        from asynccvat.client.media import MediaCalls  # noqa: PLC0415 - lists begin without

        return MediaCalls(self._http)

    @property
    def restores(self) -> RestoreCalls:
        """The calls of restores, and of imports of datasets."""
        from asynccvat.client.restores import RestoreCalls  # noqa: PLC0415 - lists begin without

        return RestoreCalls(self._http, self._lists, self._body_limit, self._upload_starts)

    def begin_upload(
        self,
        task_id: int,
        file: FileToSend,
        *,
        importer: str,
        mode: str = ImportMode.REPLACE,
        on_progress: Callable[[int], None] = lambda _count: None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> AnnotationUpload:
        """Prepare the upload of one file into one task. Nothing is sent yet.

        Args:
            task_id: The task.
            file: The file.
            importer: The importer's exact name.
            mode: `replace` or `append`; see `check_mode`.
            on_progress: Receives the bytes of each piece that was sent.
            prepare: Awaited right before each request of the import. The caller awaits it before
                the first one.
        """
        from asynccvat.client.imports import (  # noqa: PLC0415 - lists begin without
            AnnotationUpload,
            nothing_to_prepare,
        )

        async def known_imports(of_task: int) -> tuple[ServerRequest, ...]:
            return await self._lists.requests(RequestSelection((of_task,), "import"))

        return AnnotationUpload(
            self._http,
            file,
            task_id=whole("task_id", task_id),
            importer=importer,
            mode=ImportMode(mode),
            known_imports=known_imports,
            limit=self._body_limit,
            on_progress=on_progress,
            prepare=prepare or nothing_to_prepare,
        )

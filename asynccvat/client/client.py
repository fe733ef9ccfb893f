"""CvatClient: CVAT's REST API as typed coroutines.

`client.lists` reads lists, `client.exports` requests exports, `client.internals` has what only the
engine needs. `http` makes the calls, retries and reports them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import anyio

from asynccvat.aio.task_groups import run_all
from asynccvat.client.annotations import read_annotations
from asynccvat.client.cloud_storages import CloudStorageCalls
from asynccvat.client.exports import ExportCalls
from asynccvat.client.internals import ClientInternals
from asynccvat.client.lists import Lists
from asynccvat.client.tokens import (
    NewAccessToken,
    create_access_token,
    read_access_token,
    revoke_access_token,
)
from asynccvat.client.webhooks import Webhooks
from asynccvat.core.annotations.counts import TaskAnnotations
from asynccvat.core.decoding import ObjectDecoder
from asynccvat.core.environment import from_environment
from asynccvat.core.models import (
    About,
    AccessToken,
    CloudStorage,
    DataMeta,
    Formats,
    Job,
    Project,
    Task,
    TaskListing,
    User,
)
from asynccvat.core.numbers import whole
from asynccvat.core.requests import Cancellation, RequestAccepted, ServerRequest
from asynccvat.core.selections.conditions import check_text, check_word
from asynccvat.core.selections.selection import (
    REQUEST_ACTIONS,
    REQUEST_STATES,
    JobSelection,
    ProjectSelection,
    RequestSelection,
    Selection,
)
from asynccvat.core.specs import CVAT, BackupSpec, ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.headers import parse_headers
from asynccvat.core.wire.proxies import Proxy
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import (
    ConfigError,
    NotFoundError,
    PermissionDeniedError,
)
from asynccvat.http import (
    Call,
    Credentials,
    HttpOptions,
    HttpSession,
)
from asynccvat.settings import load_settings

T = TypeVar("T")

_DATA_META = ObjectDecoder(DataMeta)
_TASK = ObjectDecoder(Task)
_REQUEST = ObjectDecoder(ServerRequest)
_JOB = ObjectDecoder(Job)
_ABOUT = ObjectDecoder(About)
_USER = ObjectDecoder(User)

_CANCELS_AT_ONCE = 8


class CvatClient:
    """A CVAT server, as one user sees it.

    Use it with `async with`; in a notebook, `await client.open()` and `await client.close()`.
    Nothing is sent before the first call. With user and password that call logs in, once. The
    client never logs out: CVAT has one login token per user, and a logout would revoke it for
    every other client of that user.

    Args:
        url: The server's address, like `https://cvat.example.com`.
        username: User name or e-mail address, with `password`.
        password: The user's password. It is sent once, to the login.
        token: A personal access token (sent as `Bearer`) or a login's key of 40 hexadecimal
            digits (sent as `Token`), instead of user and password.
        organization: Its short name (slug). "" for the personal workspace only, None for all that
            the user may see.
        verify: True for the system's certificates, the file or folder of a CA bundle, or False to
            check nothing (unsafe).
        connect_timeout: Seconds for name lookup, connecting and the TLS handshake.
        stall_timeout: Seconds without a byte, or in a body without a KiB, after which a call
            fails. A whole download may take any time.
        max_connections: Connections open at once.
        trust_environment: Use the proxies of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, and
            the CA bundles of SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.
        headers: Headers that a gateway before the server wants with every call. Their values are
            secrets: they are sent to the server's origin alone, and never shown.
        client_cert: The file of a client certificate in PEM form, for a gateway that wants one.
        client_key: The file of its key. None if the certificate's file holds it.
        proxy: The address of the proxy to use, whatever the environment names. It may hold user
            and password. SOCKS needs `pip install 'asynccvat[socks]'`.
        policy: How often and how long failed calls are retried.
        connector: An aiohttp connector to connect through. None makes a new one. The client never
            closes it, so other sessions may use it, too. Its TLS settings, name lookup and limit
            of connections apply instead of `verify`, `client_cert` and `max_connections`.
        trace_configs: `aiohttp.TraceConfig` objects whose callbacks see every request, its
            headers with the credentials included.

    Raises:
        ConfigError: URL, credentials or options cannot be used.
        TypeError: A value has the wrong type, or `connector` and `verify` are both given.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        organization: str | None = None,
        verify: bool | str | Path = True,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        max_connections: int = 100,
        trust_environment: bool = True,
        headers: Mapping[str, str] | None = None,
        client_cert: str | Path | None = None,
        client_key: str | Path | None = None,
        proxy: str | Proxy | None = None,
        policy: RetryPolicy | None = None,
        connector: aiohttp.BaseConnector | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        self._http = HttpSession(
            url,
            Credentials(username, password, token),
            organization=organization,
            options=HttpOptions(
                verify=verify,
                connect_timeout=connect_timeout,
                stall_timeout=stall_timeout,
                max_connections=max_connections,
                trust_environment=trust_environment,
                headers=headers or {},
                client_cert=client_cert,
                client_key=client_key,
                proxy=Proxy.parse(proxy, "proxy=") if isinstance(proxy, str) else proxy,
                policy=policy or RetryPolicy(),
                connector=connector,
                trace_configs=tuple(trace_configs),
            ),
        )
        self._lists = Lists(self._http)
        self._exports = ExportCalls(self._http, self._lists)
        self._storages = CloudStorageCalls(self._http)
        self._internals = ClientInternals(self._http, self._lists, self._exports)

    @classmethod
    def from_environment(
        cls,
        *,
        environment: Mapping[str, str] | None = None,
        organization: str | None = None,
        verify: bool | str | Path = True,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        policy: RetryPolicy | None = None,
    ) -> Self:
        """Make a client from the environment.

        It reads CVAT_URL, and CVAT_ACCESS_TOKEN or CVAT_USERNAME and CVAT_PASSWORD, and
        CVAT_ORGANIZATION, CVAT_HEADERS, CVAT_CLIENT_CERT and CVAT_CLIENT_KEY.

        Args:
            environment: The variables. Those of the process by default.
            organization: Its short name, instead of CVAT_ORGANIZATION.
            verify: As in `CvatClient`.
            connect_timeout: As in `CvatClient`.
            stall_timeout: As in `CvatClient`.
            policy: How often and how long failed calls are retried.

        Raises:
            ConfigError: CVAT_URL is not set, or a value cannot be used.
        """
        given = from_environment(os.environ if environment is None else environment)
        if "url" not in given:
            raise ConfigError("CVAT_URL is not set. Set it to the server's address.")
        token = given.get("token")
        return cls(
            given["url"],
            # A token makes user and password unnecessary, whatever else is set.
            username=None if token else given.get("username"),
            password=None if token else given.get("password"),
            token=token,
            organization=given.get("organization") if organization is None else organization,
            verify=verify,
            connect_timeout=connect_timeout,
            stall_timeout=stall_timeout,
            headers=parse_headers(given.get("headers", "").splitlines(), "CVAT_HEADERS"),
            client_cert=given.get("client_cert"),
            client_key=given.get("client_key"),
            policy=policy,
        )

    @classmethod
    def from_settings(
        cls,
        *,
        url: str | None = None,
        organization: str | None = None,
        config: str | Path | None = None,
        profile: str | None = None,
        policy: RetryPolicy | None = None,
    ) -> Self:
        """Make a client from what the command line reads. Blocks while files are read.

        It reads, in this order: the arguments, the environment, a YAML file, and saved logins:
        those of `asynccvat login`, and profiles of CVAT's own tools. It never asks on a terminal.

        Args:
            url: The server's address. None takes it from the other places.
            organization: Its short name. None takes it from the other places.
            config: The YAML file, instead of the default ones.
            profile: The name of a saved login or profile, for server and token.
            policy: How often and how long failed calls are retried.

        Raises:
            ConfigError: A setting is missing, unknown or unusable. The message says where.
        """
        settings = load_settings(
            url=url,
            organization=organization,
            config=None if config is None else Path(config),
            profile=profile,
        )
        if settings.task_id is not None:
            raise ConfigError(
                f"the server's address names task {settings.task_id}. Give {settings.url}, and "
                "select the task by its id."
            )
        if settings.password_missing:
            raise ConfigError(
                f"there is no password for {settings.username!r} at {settings.url}. Set "
                "CVAT_PASSWORD, or a token in CVAT_ACCESS_TOKEN."
            )
        return cls(
            **settings.client_arguments,
            policy=policy,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin!r}, organization={self.organization!r})"

    async def open(self) -> Self:
        """Open the client without `async with`. Call `close` in the end.

        Raises:
            ConfigError: The CA bundle or the proxy cannot be used.
            RuntimeError: It is open already, or the given connector cannot be used.
        """
        await self._http.open()
        return self

    async def close(self) -> None:
        """Close all connections. Nothing is logged out, and the client may be opened again."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.close()

    @property
    def origin(self) -> str:
        """The server's canonical address: its origin, and the path under which it is served."""
        return self._http.server.address

    @property
    def organization(self) -> str | None:
        """The organization that all calls are made in."""
        return self._http.organization

    @property
    def proxy(self) -> str | None:
        """The proxy on the way, without user and password, and what names it; None for none.

        Known once the client is open.
        """
        proxy = self._http.proxy
        return None if proxy is None else str(proxy)

    @property
    def requests_sent(self) -> int:
        """HTTP requests sent so far, with logins, redirects and retries."""
        return self._http.requests_sent

    @property
    def server_date(self) -> datetime | None:
        """The server's clock as of its latest answer, None before the first."""
        return self._http.server_date

    async def login(self) -> None:
        """Log in now rather than with the first call. With a token there is nothing to do.

        Raises:
            AuthenticationError: The server refuses user or password.
            TransportError: The server cannot be reached.
        """
        await self._http.log_in()

    async def about(self) -> About:
        """Return the server's name and version. Needs no credentials.

        Raises:
            AsyncCvatError: The server cannot be reached, or is no CVAT.
        """
        about = await self._get("/api/server/about", _ABOUT, "about", anonymous=True)
        self._internals.version = about.version
        return about

    async def check_version(self) -> None:
        """Check that the server is not too old. Every run does so; the server is asked once.

        Raises:
            ConfigError: It is older than CVAT 2.17.
        """
        await self._internals.check_version()

    async def user(self) -> User:
        """Return the user of the credentials.

        Raises:
            AuthenticationError: The credentials are not accepted.
        """
        return await self._get("/api/users/self", _USER, "user")

    async def access_token(self) -> AccessToken | None:
        """Return what the server says of the personal access token that this client uses.

        Returns:
            The token. None if the client uses other credentials, or the server does not tell.

        Raises:
            AuthenticationError: The token is not accepted.
        """
        return await read_access_token(self._http)

    async def create_access_token(
        self, name: str, *, read_only: bool = True, expiry: datetime | None = None
    ) -> NewAccessToken | None:
        """Make a personal access token of this user.

        The call is not retried: it would make a second one. The client must have logged in with a
        password, since CVAT lets no access token make another one.

        Args:
            name: A name for it, of 1 to 50 characters. It need not be unique.
            read_only: Whether it may only read, and export.
            expiry: When it expires, with a time zone. None for never.

        Returns:
            The token with its value, which the server shows this once. None if the server has no
            access tokens (before CVAT 2.48).

        Raises:
            PermissionDeniedError: This client uses an access token itself.
            AsyncCvatError: The server refuses it, or cannot be reached.
        """
        return await create_access_token(self._http, name, read_only=read_only, expiry=expiry)

    async def revoke_access_token(self, token_id: int) -> bool:
        """Revoke a personal access token of this user by its id.

        The client must have logged in with a password, as for `create_access_token`.

        Returns:
            Whether this call revoked it. False if there was no such token.

        Raises:
            PermissionDeniedError: This client uses an access token itself.
            AsyncCvatError: The server refuses it, or cannot be reached.
        """
        return await revoke_access_token(self._http, token_id)

    async def formats(self) -> Formats:
        """Return the annotation formats that the server writes and reads. Requested once.

        Raises:
            AsyncCvatError: The server cannot be reached, or refuses the user.
        """
        return await self._lists.formats()

    async def tasks(
        self, selection: Selection | None = None, *, page_size: int = 500
    ) -> TaskListing:
        """List the tasks of a selection. By default all that the user may see.

        Pages after the first are read in parallel. If the list changes while it is read, it is read
        again. If it never agrees with the server's count, the listing is not `complete`.

        Args:
            selection: Which tasks.
            page_size: Tasks in a page.

        Raises:
            NotFoundError: A project of the selection does not exist.
            ResponseError: The server refuses the filter, or the call.
        """
        return await self._lists.tasks(Selection.of(selection), page_size)

    def iter_tasks(
        self, selection: Selection | None = None, *, page_size: int = 500
    ) -> AsyncGenerator[Task, None]:
        """Iterate over the tasks of a selection while their list is read, in ascending order.

        While one page is used, the next one is being read. A task that is in the selection the
        whole time comes exactly once, even if others appear or disappear. Ids that do not exist
        are skipped: `tasks` names them.

        To leave the loop early, use `contextlib.aclosing`. It ends the reading at once.

        Args:
            selection: Which tasks.
            page_size: Tasks in a page.

        Raises:
            NotFoundError: A project of the selection does not exist. Raised at the end.
            ResponseError: The server refuses the filter, or the call.
        """
        return self._lists.each_task(Selection.of(selection), page_size)

    async def task(self, task_id: int) -> Task:
        """Return one task.

        Raises:
            NotFoundError: It does not exist.
            PermissionDeniedError: The user may not see it.
        """
        return await self._get(
            f"/api/tasks/{whole('task_id', task_id)}", _TASK, "detail", task_id=task_id
        )

    async def task_fields(self, task_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return all fields that the server has of some tasks, by id, as JSON types.

        `tasks` and `task` return the fields that most programs need, as values with types. Ids
        that do not exist, or that the user may not see, are left out.

        Raises:
            AsyncCvatError: The server cannot be reached, or refuses the user.
        """
        ids = dict.fromkeys(whole("task_ids", one) for one in task_ids)
        return await self._lists.task_fields(ids.keys()) if ids else {}

    async def data_meta(self, task_id: int) -> DataMeta:
        """Return what the server says about a task's media.

        The server's answer grows with the number of frames.

        Raises:
            NotFoundError: The task does not exist.
            ResponseError: It has no data.
        """
        path = f"/api/tasks/{whole('task_id', task_id)}/data/meta"
        return await self._get(path, _DATA_META, "detail", task_id=task_id)

    async def annotations(self, task_id: int) -> TaskAnnotations:
        """Return the annotations of a task: the server's own JSON, and how many there are.

        Annotations of ground truth and replica jobs are not among them.

        Raises:
            NotFoundError: The task does not exist.
            ProtocolError: The answer cannot be read.
        """
        return await read_annotations(self._http, task_id)

    async def projects(
        self, selection: ProjectSelection | None = None, *, page_size: int = 500
    ) -> tuple[Project, ...]:
        """List the projects of a selection, by id. By default all that the user may see.

        Raises:
            ResponseError: The server refuses the filter, or the call.
            AsyncCvatError: The server cannot be reached, or refuses the user.
        """
        projects = [item async for item in self.iter_projects(selection, page_size=page_size)]
        return tuple(sorted(projects, key=lambda project: project.id))

    def iter_projects(
        self, selection: ProjectSelection | None = None, *, page_size: int = 500
    ) -> AsyncGenerator[Project, None]:
        """Iterate over projects while their list is read, as `iter_tasks` does over tasks.

        Raises:
            ResponseError: The server refuses the filter, or the call.
        """
        return self._lists.each_project(ProjectSelection.of(selection), page_size)

    async def project(self, project_id: int) -> Project:
        """Return one project.

        Raises:
            NotFoundError: It does not exist, or the user may not see it.
        """
        return await self._lists.project(project_id)

    async def jobs(
        self, selection: JobSelection | None = None, *, page_size: int = 500
    ) -> tuple[Job, ...]:
        """List the jobs of a selection, by id. By default all that the user may see.

        Raises:
            NotFoundError: A project of the selection does not exist.
            ResponseError: The server refuses the filter, or the call.
        """
        jobs = [item async for item in self.iter_jobs(selection, page_size=page_size)]
        return tuple(sorted(jobs, key=lambda job: job.id))

    async def job(self, job_id: int) -> Job:
        """Return one job.

        Raises:
            NotFoundError: There is no such job, or the user may not see it.
            PermissionDeniedError: The user may not see it.
        """
        path = f"/api/jobs/{whole('job_id', job_id)}"
        return await self._get(path, _JOB, "detail", task_id=job_id, target=TargetKind.JOB)

    def iter_jobs(
        self, selection: JobSelection | None = None, *, page_size: int = 500
    ) -> AsyncGenerator[Job, None]:
        """Iterate over jobs while their list is read, as `iter_tasks` does over tasks.

        They come in ascending order of id. If the selection names hundreds of tasks, several lists
        are read, and the order holds within each.

        Raises:
            NotFoundError: A project of the selection does not exist. Raised at the end.
            ResponseError: The server refuses the filter, or the call.
        """
        return self._lists.each_job(JobSelection.of(selection), page_size)

    async def cloud_storages(self) -> tuple[CloudStorage, ...]:
        """List the cloud storages that the user may see, in ascending order of id.

        Raises:
            AsyncCvatError: The server cannot be reached, or refuses the user.
        """
        return await self._storages.all()

    async def cloud_storage(self, storage_id: int) -> CloudStorage:
        """Return one cloud storage.

        Raises:
            NotFoundError: There is no such storage, or the user may not see it.
        """
        return await self._storages.one(storage_id)

    async def cloud_storage_status(self, storage_id: int) -> str:
        """Return whether the server reaches a cloud storage: `AVAILABLE`, or why not.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        return await self._storages.status(storage_id)

    def iter_cloud_storage(self, storage_id: int, folder: str = "") -> AsyncGenerator[str, None]:
        """Yield the names of the objects in a folder of a cloud storage, not those deeper.

        Args:
            storage_id: The storage.
            folder: The folder, with `/` at its end; "" for the top.

        Raises:
            AsyncCvatError: The server cannot be asked, or cannot list the storage.
        """
        return self._storages.names(storage_id, folder)

    @property
    def webhooks(self) -> Webhooks:
        """The calls that list, make, delete and ping webhooks."""
        return Webhooks(self._http)

    async def request_export(
        self, target_id: int, spec: ExportSpec | BackupSpec | str
    ) -> RequestAccepted:
        """Request the export or the backup of a task, project or job, as a spec says.

        If it is queued or running already, the server answers 409 with its request. That counts as
        success. If it ended before, it is queued again, and an unchanged task comes from the
        server's cache. The earlier result cannot be read any more. For the format `CVAT` a task or
        job is read first, whose mode decides the flavour. Projects are exported as images.

        Args:
            target_id: The id of the task, project or job.
            spec: A format's name exports a task.

        Raises:
            ConfigError: The server does not have the format. The nearest names are given.
            NotFoundError: There is no such task, project or job.
            PermissionDeniedError: The user may not export it.
        """
        if not isinstance(spec, BackupSpec):
            spec = ExportSpec.of(spec)
            if spec.format == CVAT:
                spec = spec.for_mode(await self._mode(target_id, spec.target))
        return await self._exports.request(target_id, spec)

    async def _mode(self, target_id: int, target: TargetKind) -> str | None:
        """Return the mode of a task or job; None for a project, which may hold both."""
        if target is TargetKind.TASK:
            return (await self.task(target_id)).mode
        return (await self.job(target_id)).mode if target is TargetKind.JOB else None

    async def request(self, rq_id: str) -> ServerRequest:
        """Return one entry of the server's requests.

        Raises:
            NotFoundError: The server has no such request, or has forgotten it.
            PermissionDeniedError: It is another user's.
        """
        path = f"/api/requests/{quote(rq_id, safe='')}"
        return await self._get(path, _REQUEST, "wait", rq_id=rq_id)

    async def requests(
        self,
        *,
        task_ids: Sequence[int] | None = None,
        action: str | None = "export",
        status: str | None = None,
        export_format: str | None = None,
        target: TargetKind = TargetKind.TASK,
    ) -> tuple[ServerRequest, ...]:
        """List the user's own requests that the server remembers, newest first.

        Args:
            task_ids: Only requests of these tasks, or of these projects or jobs. None for all.
            action: `export`, `import` or `create`. None for all.
            status: `queued`, `started`, `finished` or `failed`. None for all.
            export_format: Only requests of this format, by its readable name.
            target: What the ids are ids of.

        Raises:
            ConfigError: A condition is one that the server does not know, or empty.
            AsyncCvatError: The server cannot be reached, or refuses the user or the call.
        """
        Selection(task_ids=task_ids)  # which checks the ids
        check_word("action", action, REQUEST_ACTIONS)
        check_word("status", status, REQUEST_STATES)
        if export_format is not None:
            check_text("export_format", export_format)
        selection = RequestSelection(task_ids, action, status, export_format, target)
        return await self._lists.requests(selection)

    async def cancel_request(self, rq_id: str) -> bool:
        """Cancel a queued request. Returns False if it has started, has ended or does not exist.

        Raises:
            PermissionDeniedError: It is another user's.
            AsyncCvatError: The server cannot be asked.
        """
        answer = await self._http.call(
            Call(
                method="POST",
                path=f"/api/requests/{quote(rq_id, safe='')}/cancel",
                step="cancel",
                expect=(200, 202, 204, 400, 404),
                rq_id=rq_id,
            )
        )
        return answer.status < 300

    async def cancel_requests(self, rq_ids: Iterable[str]) -> dict[str, Cancellation]:
        """Cancel queued requests, a few at once. Returns the result for each.

        Raises:
            AsyncCvatError: The server cannot be asked. Requests cancelled before stay cancelled.
        """
        if isinstance(rq_ids, str):
            raise TypeError(f"rq_ids must be a list of ids, not {rq_ids!r} alone")
        limiter = anyio.CapacityLimiter(_CANCELS_AT_ONCE)

        async def cancel(rq_id: str) -> tuple[str, Cancellation]:
            async with limiter:
                return rq_id, await self._cancellation(rq_id)

        return dict(await run_all([partial(cancel, rq_id) for rq_id in dict.fromkeys(rq_ids)]))

    async def _cancellation(self, rq_id: str) -> Cancellation:
        try:
            if await self.cancel_request(rq_id):
                return Cancellation.CANCELLED
            # The request itself shows why it was not cancelled.
            request = await self.request(rq_id)
        except PermissionDeniedError:
            await self._internals.check_may_write("cancel requests")
            return Cancellation.FORBIDDEN
        except NotFoundError:
            return Cancellation.UNKNOWN
        return Cancellation.ENDED if request.ended else Cancellation.STARTED

    async def _get(
        self,
        path: str,
        decoder: ObjectDecoder[T],
        step: str,
        *,
        anonymous: bool = False,
        task_id: int | None = None,
        target: TargetKind = TargetKind.TASK,
        rq_id: str | None = None,
    ) -> T:
        call = Call(
            method="GET",
            path=path,
            step=step,
            anonymous=anonymous,
            task_id=task_id,
            target=target,
            rq_id=rq_id,
        )
        return self._http.decode(await self._http.call(call), decoder)


def internals(client: CvatClient) -> ClientInternals:
    """Return the engine's side of a client."""
    return client._internals  # noqa: SLF001 - it is made for this function alone

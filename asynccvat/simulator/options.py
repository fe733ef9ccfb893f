"""The options of a simulated server: content, limits, and times."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExportStart:
    """The starting export, as given to a function of `export_seconds`.

    Attributes:
        target: `task`, `project` or `job`.
        target_id: Its id.
        format: The format's name as CVAT shows it.
        save_images: Whether the archive holds the images.
        cached: Whether the server still has exactly this archive.
    """

    target: str
    target_id: int
    format: str
    save_images: bool
    cached: bool


ExportSeconds = float | Callable[[ExportStart], float]


@dataclass(frozen=True)
class UserSpec:
    """A user of the simulated server.

    Attributes:
        username: Name to log in by.
        password: Password to log in by.
        superuser: Whether the user sees everything; others see what they own or are assigned.
        worker: Whether the user is of the group that may create nothing.
    """

    username: str
    password: str
    superuser: bool = False
    worker: bool = False


@dataclass(frozen=True)
class SimulatorOptions:
    """The options of a simulated server.

    With `costs` off, the default, nothing takes time and tests are quick. With `costs` on, calls
    and exports take the seconds given here, on the number of workers given here.

    Attributes:
        tasks: How many tasks to generate.
        frames: Frames of each task.
        projects: How many projects share the tasks.
        seed: Chooses the content; the same seed gives the same bytes.
        frame_bytes: Bytes of one frame, or None for a few kilobytes.
        boxes_per_frame: Rectangles on each frame; 0 for tasks without annotations.
        subsets: Given to the tasks in turn; "" is none.
        statuses: Given to the tasks in turn.
        unicode_tasks: How many of the last tasks have nested names beyond ASCII.
        tasks_without_data: How many of the tasks before those have no data.
        video_tasks: How many of the first tasks are videos, annotated with tracks.
        archives: A folder of ready archives, served as further tasks; see
            `formats.ready_archives`.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one.
        password: The password of `admin`, the superuser.
        users: More users.
        costs: Whether calls and exports take the times below.
        api_workers: Calls served at the same time; the others queue.
        latency: Seconds of an API worker for an ordinary call.
        export_workers: Exports run at the same time; the others queue, first in, first out.
        export_seconds: Seconds of an export worker for one export, or a function of the export.
        media_seconds: Extra seconds for each MB (1,000,000 bytes) of images in an export, unless it
            is cached or `export_seconds` is a function. On CVAT, 20 MB with images took 0.5 to
            1.2 s, and the same frames without images 0.18 s: 16 to 51 ms a MB. The default is in
            the middle.
        cached_export_seconds: Seconds of an export whose archive is cached; None: no difference.
        import_workers: Imports run at the same time; the others queue, first in, first out.
        import_seconds: Seconds of an import worker for one import.
        creation_seconds: Seconds of an import worker for one task that is made of its data, besides
            `media_seconds` for each MB of it (0.17 s seen for 5 frames).
        restore_seconds: Seconds of an import worker for one restore of a backup, or one import of a
            dataset, besides `media_seconds` for each MB of it (0.27 s seen for 0.3 MB).
        upload_limit: Bytes of the largest file that is taken by TUS; a larger one is refused (413)
            when its upload begins.
        basic_seconds: Extra seconds for a call with HTTP Basic (200 ms seen: PBKDF2).
        login_seconds: Extra seconds for a login, which hashes the password, too.
        listed_task_seconds: Extra seconds for each task on a page of tasks (0.5 ms seen).
        listed_job_seconds: The same for each job on a page of jobs (0.5 ms seen).
        annotations_seconds: Extra seconds for the annotations of a task or job as JSON (13 ms seen
            for 20 boxes, besides 40 ms of an ordinary call).
        requests_list_seconds: Minimum seconds of a list of requests (24 ms seen).
        remembered_request_seconds: Extra seconds of that list for each request that the server
            remembers (1.7 ms seen).
        remembered_requests: Requests of other users that the server remembers from the start.
        cpu_cores: Processor cores that calls and exports share: the more are working, the longer
            each takes. None: cores without limit.
        one_export_per_user: Whether the exports of one user run one after the other.
        old_exports: Whether tasks can also be exported by the endpoints of older servers, which
            CVAT 2.54 answers with 410: `GET .../annotations?format=` and `GET .../dataset?format=`.
        result_seconds: How long the server keeps results and requests (24 h by default).
        most_tasks: Tasks past which the server creates no more, as a hosted one may; None: no
            limit.
        most_projects: The same for projects.
        throttle_anonymous: Anonymous calls allowed per address and minute, or None.
        throttle_users: Calls allowed per user and minute, or None.
        public_url: Origin of absolute links, instead of the Host of the call.
        path_prefix: The path under which a proxy serves CVAT, like `/cvat`. CVAT does not know it,
            so its links lack it, unless `public_url` has it.
        largest_body: Bytes of a body past which nginx answers 413. CVAT's own configuration allows
            1 GiB, nginx alone 1 MiB (`1 << 20`), as a gateway before CVAT may.
        version: The version that `/api/server/about` shows. Before 2.16, the calls that came with
            that version are unknown (404); before 2.48, so are personal access tokens.
    """

    tasks: int = 10
    frames: int = 5
    projects: int = 1
    seed: int = 0
    frame_bytes: int | None = None
    boxes_per_frame: int = 2
    subsets: tuple[str, ...] = ("",)
    statuses: tuple[str, ...] = ("annotation", "validation", "completed")
    unicode_tasks: int = 0
    tasks_without_data: int = 0
    video_tasks: int = 0
    archives: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    password: str = "simulated-secret"  # noqa: S105 - the simulator's own, published default
    users: tuple[UserSpec, ...] = ()
    costs: bool = False
    api_workers: int = 2
    latency: float = 0.04
    export_workers: int = 2
    export_seconds: ExportSeconds = 0.25
    media_seconds: float = 0.033
    cached_export_seconds: float | None = None
    import_workers: int = 2
    import_seconds: float = 0.25
    creation_seconds: float = 0.17
    restore_seconds: float = 0.25
    upload_limit: int = 26_843_545_600
    basic_seconds: float = 0.2
    login_seconds: float = 0.2
    listed_task_seconds: float = 0.0005
    listed_job_seconds: float = 0.0005
    annotations_seconds: float = 0.013
    requests_list_seconds: float = 0.024
    remembered_request_seconds: float = 0.0017
    remembered_requests: int = 0
    cpu_cores: float | None = None
    one_export_per_user: bool = False
    old_exports: bool = False
    result_seconds: float = 24 * 3600.0
    most_tasks: int | None = None
    most_projects: int | None = None
    throttle_anonymous: int | None = 100
    throttle_users: int | None = None
    public_url: str | None = None
    path_prefix: str = ""
    largest_body: int = 1 << 30
    version: str = "2.54.1"

    @property
    def is_old(self) -> bool:
        """Whether the version is one before 2.16, without requests and the exports of today."""
        major, minor, *_ = (*self.version.split("."), "0", "0")
        return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) < (2, 16)

    @property
    def has_access_tokens(self) -> bool:
        """Whether the version is 2.48 or later, which brought personal access tokens."""
        return self._is_at_least(2, 48)

    @property
    def names_projects(self) -> bool:
        """Whether the version is 2.64 or later, whose tasks and jobs name their projects."""
        return self._is_at_least(2, 64)

    def _is_at_least(self, *wanted: int) -> bool:
        major, minor, *_ = (*self.version.split("."), "0", "0")
        return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= wanted

    def __post_init__(self) -> None:
        """Refuse options that cannot be served.

        Raises:
            ValueError: An option is out of its range; the message names it.
        """
        for name in ("tasks", "frames", "projects", "remembered_requests"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.path_prefix and not re.fullmatch(r"(/[^/\s]+)+", self.path_prefix):
            raise ValueError(
                f"path_prefix must be a path like /cvat, without a slash at its end, not "
                f"{self.path_prefix!r}"
            )
        for name in ("api_workers", "export_workers", "import_workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values, for a server in another process.

        Raises:
            ValueError: An option is a function, which cannot be sent to another process.
        """
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if callable(value):
                raise ValueError(  # noqa: TRY004 - the type is allowed, only not for another process
                    f"{item.name} is a function: give a number to a server in another process"
                )
            if isinstance(value, Path):
                value = str(value)
            if item.name == "users":
                value = [
                    [user.username, user.password, user.superuser, user.worker]
                    for user in self.users
                ]
            values[item.name] = value
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SimulatorOptions:
        """Return the options that `to_json` wrote.

        Raises:
            TypeError: There is no option of that name.
            ValueError: An option is out of its range.
        """
        given = dict(values)
        if given.get("archives") is not None:
            given["archives"] = Path(given["archives"])
        for name in ("subsets", "statuses"):
            if name in given:
                given[name] = tuple(given[name])
        given["users"] = tuple(UserSpec(*user) for user in given.get("users", ()))
        return cls(**given)

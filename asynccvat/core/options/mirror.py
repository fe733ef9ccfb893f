"""Options of mirrors and downloads, as frozen values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from asynccvat.core.declarations import (
    COUNT_OR_SHARE,
    DURATION_OR_NONE,
    REPLACING,
    SELECTION,
    Switch,
    Text,
    option,
)
from asynccvat.core.folder_layouts import check_layout
from asynccvat.core.options.transfer import (
    BREAK_LOCK,
    DEFAULT_PREFIX,
    PREFIX_HELP,
    FetchOptions,
)
from asynccvat.core.selections.conditions import check_word
from asynccvat.core.selections.selection import STAGES, STATES, TYPES
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError


class UnsafeNames(StrEnum):
    """What becomes of names of members that the destination cannot hold."""

    REFUSE = "refuse"
    """The task is refused."""
    MAP = "map"
    """They are written under safe names, and uploads undo that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(FetchOptions):
    """Options of `download`, `download_many` and `open_download`.

    Attributes:
        concurrency: Exports in flight. None learns how many the server runs at once.
        transfers: Archives read at once.
        retries: How often one step of one task is retried. The client's own `RetryPolicy`
            says how often single calls are retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync to disk before a folder counts as done.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that one export may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        reuse: Reuse members that are on disk already, after reading them again.
        limits: Bounds on archives.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOptions(FetchOptions):
    """Options of `mirror`, `open_mirror` and `plan_mirror`.

    Attributes:
        concurrency: Exports in flight. None learns how many the server runs at once.
        transfers: Archives read at once.
        retries: How often one step of one task is retried. The client's own `RetryPolicy`
            says how often single calls are retried.
        wait_for_server: Seconds that a run waits for a server that stopped answering, 0 for not.
        queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
        max_time: Seconds that the whole run may take, None for no limit. What is done is kept.
        durable: Sync to disk before a folder counts as done.
        bandwidth: Bytes a second for all transfers together, None for no limit.
        export_timeout: Seconds that one export may run, counted from its start. `queue_timeout`
            limits the time in the server's queue.
        reuse: Reuse members that are on disk already, after reading them again.
        limits: Bounds on archives.
        target: What gets a folder each: `"tasks"`, `"projects"` as the server merges their tasks,
            or `"jobs"`. None for what the destination remembers, or else `"tasks"`. It cannot be
            changed.
        frames: With the format `CVAT JSON`: also `frames.json`, for which each task costs one more
            call. None for what the destination remembers, or else True.
        without_exports: Convert the server's JSON to what it would export, for about half of its
            work. A task is exported if no exact conversion is known, and a few are exported to
            compare them. For CVAT's XML and COCO of tasks, without images. None for what the
            destination remembers, or else False.
        stage: With `"jobs"`: only those in this stage. None for what the destination remembers.
        state: With `"jobs"`: only those in this state. None as for `stage`.
        type: With `"jobs"`: only those of this type. None as for `stage`.
        folder_prefix: A task's folder is named by this and the task's id. None for what the
            destination remembers, or else "task".
        layout: How the folders are named, such as `{project}/task{id}-{name}`. Folders of tasks
            that are renamed on the server are renamed, too. None for what the destination
            remembers, or else names by the prefix.
        keep_archive: Keep each archive in `.asynccvat/archives/`. None for what the destination
            remembers, or else False.
        names: `"refuse"` refuses tasks with names that the destination cannot hold; `"map"` writes
            them under safe names. Receipts have both, and uploads restore the original ones. None
            for what the destination remembers, or else `"refuse"`.
        force: Fetch every task, changed or not.
        refresh: Export annotations alone if a task's images did not change, and reuse the images
            on disk, after reading them again. Needs `reuse`.
        trust_receipts: Do not check the files of unchanged tasks.
        prune: Remove the folders of tasks that are gone from the server.
        max_delete: How many folders `prune` may remove: a number, or a share like `"10%"`.
        history: Seconds for which replaced annotation files are kept in `history/`, 0 for not at
            all. None for what the destination remembers, or else 0.
        adopt: Replace folders that are in no receipt. What they held goes to `kept/`.
        break_lock: Take over the destination's lock, although its owner cannot be asked.
        change: Change what the destination remembers to what this run is given.
        everything: Mirror all tasks, although the destination remembers a selection.
        since_last_run: Only the tasks that were updated since the last complete run began, and
            those that it did not finish. Without such a run, all tasks.
        default_project_id: The project to select where neither the selection nor the destination
            says which tasks.
        target_ids: Only the projects or jobs with these ids, in this run alone. None for all.
    """

    target: str | None = option(
        None,
        "--as",
        "A folder for each task, for each project, or for each job: tasks (the default), projects "
        "or jobs.",
        Text(tuple(kind.plural for kind in TargetKind)),
        group=None,
    )
    frames: bool | None = option(
        None,
        "--frames",
        "With --format json: also the names and sizes of frames, one more call a task. By default "
        "as DEST remembers, or else with them.",
        Switch(),
        group=None,
    )
    without_exports: bool | None = option(
        None,
        "--without-exports",
        "Make CVAT XML or COCO from CVAT's JSON, for half of the server's work; a few tasks are "
        "exported to check that. By default as DEST remembers, or else by exports.",
        Switch(),
        group=None,
    )
    stage: str | None = option(
        None, "--stage", "With --as jobs: those in this stage.", Text(STAGES), group=SELECTION
    )
    state: str | None = option(
        None, "--state", "With --as jobs: those in this state.", Text(STATES), group=SELECTION
    )
    type: str | None = option(
        None, "--type", "With --as jobs: those of this type.", Text(TYPES), group=SELECTION
    )
    folder_prefix: str | None = option(
        None, "--folder-prefix", PREFIX_HELP, Text(may_be_empty=True), group=None
    )
    layout: str | None = option(
        None,
        "--layout",
        "Name folders by {id}, {name}, {project}, {project_id}, {subset} and {organization}, like "
        "'{project}/task{id}-{name}'. They follow the names on the server.",
        Text(metavar="PATH"),
        group=None,
    )
    keep_archive: bool | None = option(
        None,
        "--keep-archive",
        "Also keep each archive unchanged, in .asynccvat/archives/. By default as DEST remembers, "
        "or else not.",
        Switch(),
        group=None,
    )
    names: str | None = option(
        None,
        "--names",
        "Refuse tasks whose file names the disk cannot hold, or map these names to safe ones: "
        "refuse (the default) or map.",
        Text(tuple(UnsafeNames)),
        group=None,
    )
    force: bool = option(
        False, "--force", "Fetch every task, even if unchanged.", Switch(), group=REPLACING
    )
    refresh: bool = option(
        True, "--no-refresh", "Export images even if only the annotations changed.", Switch()
    )
    trust_receipts: bool = option(
        False, "--trust-receipts", "Do not check the files of unchanged tasks.", Switch()
    )
    prune: bool = option(
        False,
        "--prune",
        "Remove the folders of tasks that the server no longer has.",
        Switch(),
        group=REPLACING,
    )
    max_delete: int | str = option(
        "10%",
        "--max-delete",
        "Refuse to prune more folders than this: a number, or a share like 10%.",
        COUNT_OR_SHARE,
        group=REPLACING,
    )
    history: float | None = option(
        None,
        "--history",
        "Keep replaced annotation files in .asynccvat/history/ for this time, like 30d; 0 for not.",
        DURATION_OR_NONE,
        group=REPLACING,
    )
    adopt: bool = option(
        False,
        "--adopt",
        "Take over folders with a task's name that asynccvat did not make.",
        Switch(),
        group=REPLACING,
    )
    break_lock: bool = option(False, "--break-lock", BREAK_LOCK, Switch(), group=REPLACING)
    change: bool = option(
        False,
        "--change",
        "Change what DEST remembers, such as format and selection, to what is given now.",
        Switch(),
        group=REPLACING,
    )
    everything: bool = option(
        False,
        "--everything",
        "All tasks, although DEST remembers a selection. Needs --change.",
        Switch(),
        group=SELECTION,
    )
    since_last_run: bool = option(
        False,
        "--since-last-run",
        "Those updated since the last complete run began, and those that failed in it.",
        Switch(),
        group=SELECTION,
    )
    default_project_id: int | None = None
    target_ids: tuple[int, ...] | None = None

    @property
    def prefix(self) -> str:
        """The start of a folder's name."""
        return DEFAULT_PREFIX if self.folder_prefix is None else self.folder_prefix

    def __post_init__(self) -> None:
        FetchOptions.__post_init__(self)
        self.deletions_allowed(0)
        check_word("target", self.target, tuple(kind.plural for kind in TargetKind))
        check_word("stage", self.stage, STAGES)
        check_word("state", self.state, STATES)
        check_word("type", self.type, TYPES)
        if self.layout is not None:
            check_layout(self.layout, self.target)
            if self.folder_prefix is not None:
                raise ConfigError(
                    "--folder-prefix contradicts --layout. Write the prefix into the layout, like "
                    "'task{id}', and leave --folder-prefix out."
                )

    def deletions_allowed(self, folders: int) -> int:
        """Return how many of the mirrored folders one run may remove.

        Raises:
            ConfigError: `max_delete` is neither a number nor a percentage.
        """
        text = str(self.max_delete).strip()
        try:
            if text.endswith("%"):
                share = float(text[:-1])
                if 0 <= share <= 100:
                    # At least one: a small mirror must be able to follow its server at all.
                    return max(1, int(folders * share / 100)) if share else 0
            elif int(text) >= 0:
                return int(text)
        except ValueError:
            pass
        raise ConfigError(f"max_delete must be a number or a percentage like 10%, not {text!r}")

"""Keep a mirror up to date: `watch`. `commands.watch` does the work."""

from __future__ import annotations

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.watch.change_calls import OnChange
from asynccvat.commands.watch.clock import Clock, SystemClock
from asynccvat.commands.watch.run import Watch
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.options.watch import WatchOptions
from asynccvat.core.records.settling import Wanted
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import ConfigError
from asynccvat.transfer.run import EventCallback


def watch(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    spec: ExportSpec | str | None = None,
    *,
    images: bool | None = None,
    options: MirrorOptions | None = None,
    watching: WatchOptions | None = None,
    on_change: OnChange | None = None,
    on_event: EventCallback | None = None,
    clock: Clock | None = None,
) -> Watch:
    """Keep a mirror up to date, round by round, until the loop over the rounds is left.

    The first round is a whole `mirror`. Later ones read one page of the tasks that changed last,
    and fetch these. Now and then, and if the number of tasks changed, all tasks are listed. In an
    outage the rounds become rarer; no error of the server or the disk ends the watch.

    For example:

        async for round_ in ac.watch(client, "data/"):
            print(round_.changed, "changes")

    Args:
        client: The server. It stays open all the time.
        dest: The destination of the mirror. It is made if it does not exist.
        selection: Which tasks, as for `mirror`.
        spec: Format and images, as for `mirror`.
        images: Whether to fetch images, as for `mirror`.
        options: The options of each mirror.
        watching: How often to look, and the limits of `on_change`.
        on_change: Awaited for each change, as soon as it is on disk. The next round begins when all
            calls have ended. If a call raises, that is a warning of the round. A change is told at
            most once: a process that is killed tells it no more.
        on_event: Receives the events of each mirror, synchronously, in the loop's thread.
        clock: Another clock than that of the system, for tests.

    Returns:
        The watch: an async iterator of `WatchRound`, with `wake`, `stop` and `status`.

    Raises:
        ConfigError: An option cannot be used in a watch.
        TypeError: An argument has the wrong type.
    """
    check_client(client)
    chosen = checked_options(options, MirrorOptions)
    if chosen.force:
        raise ConfigError(
            "--force would fetch all tasks again and again. Run one mirror with --force, and watch "
            "without it."
        )
    if chosen.since_last_run:
        raise ConfigError(
            "--since-last-run is for a single mirror: a watch looks only at changes by itself. "
            "Remove it."
        )
    if selection is not None and selection.limit is not None:
        raise ConfigError("--limit is for a single mirror, not for a watch. Remove it.")
    if chosen.target_ids is not None:
        raise ConfigError("a watch is not for single projects or jobs. Remove target_ids.")
    if watching is not None and not isinstance(watching, WatchOptions):
        raise TypeError(f"watching must be WatchOptions, not {type(watching).__name__}")
    if on_change is not None and not callable(on_change):
        raise TypeError(f"on_change must be callable, not {type(on_change).__name__}")
    return Watch(
        client,
        checked_path(dest),
        Wanted.of(selection, spec, images, chosen),
        watching or WatchOptions(),
        on_change=on_change,
        on_event=on_event,
        clock=clock or SystemClock(),
    )

"""`asynccvat simulate`: run a simulated CVAT server until it is stopped."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asynccvat.cli import output, signals
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.text import counted

if TYPE_CHECKING:
    from asynccvat.simulator import SimulatorOptions

_TIMES = "How long things take"


def simulate(
    *,
    tasks: Annotated[
        int, typer.Option("--tasks", min=0, help="How many tasks the server has.")
    ] = 300,
    frames: Annotated[
        int, typer.Option("--frames", min=0, help="How many frames each task has.")
    ] = 5,
    projects: Annotated[
        int, typer.Option("--projects", min=0, help="How many projects the tasks belong to.")
    ] = 1,
    seed: Annotated[
        int,
        typer.Option("--seed", help="Seed of the tasks' data; the same seed makes the same tasks."),
    ] = 0,
    frame_bytes: Annotated[
        int | None, typer.Option("--frame-bytes", min=1, help="Size of each frame in bytes.")
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(
            "--archives", metavar="DIR", help="Also serve the archives of this folder as tasks."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    path_prefix: Annotated[
        str,
        typer.Option(
            "--path-prefix",
            metavar="PATH",
            help="Path under which the server answers, like /cvat, as behind a proxy.",
            show_default=False,
        ),
    ] = "",
    password: Annotated[
        str, typer.Option("--password", "-p", help="The password of the user admin.")
    ] = "simulated-secret",  # noqa: S107 - nothing secret: the simulated server's own
    export_workers: Annotated[
        int,
        typer.Option(
            "--export-workers", min=1, help="How many exports run at once.", rich_help_panel=_TIMES
        ),
    ] = 2,
    export_seconds: Annotated[
        float,
        typer.Option(
            "--export-seconds", min=0, help="Seconds that one export takes.", rich_help_panel=_TIMES
        ),
    ] = 0.25,
    import_workers: Annotated[
        int,
        typer.Option(
            "--import-workers", min=1, help="How many imports run at once.", rich_help_panel=_TIMES
        ),
    ] = 2,
    import_seconds: Annotated[
        float,
        typer.Option(
            "--import-seconds", min=0, help="Seconds that one import takes.", rich_help_panel=_TIMES
        ),
    ] = 0.25,
    api_workers: Annotated[
        int,
        typer.Option(
            "--api-workers",
            min=1,
            help="How many calls are answered at once.",
            rich_help_panel=_TIMES,
        ),
    ] = 2,
    latency: Annotated[
        float,
        typer.Option(
            "--latency", min=0, help="Seconds that one call takes.", rich_help_panel=_TIMES
        ),
    ] = 0.04,
    costs: Annotated[
        bool,
        typer.Option(
            "--costs/--no-costs", help="Without costs, nothing takes time.", rich_help_panel=_TIMES
        ),
    ] = True,
    one_export_per_user: Annotated[
        bool,
        typer.Option(
            "--one-export-per-user",
            help="Run the exports of one user one after the other.",
            rich_help_panel=_TIMES,
        ),
    ] = False,
    old_exports: Annotated[
        bool,
        typer.Option(
            "--old-exports",
            help="Be CVAT 2.15: serve the export endpoints of older servers alone.",
        ),
    ] = False,
) -> None:
    """Run a simulated CVAT server on this machine until Ctrl-C.

    For example:

    asynccvat simulate --tasks 300 --frames 5 --export-workers 2 --port 8080
    """
    from asynccvat.simulator import SimulatorOptions  # noqa: PLC0415 - `--help` stays light

    if path_prefix and not re.fullmatch(r"/?[^/\s]+(/[^/\s]+)*/?", path_prefix):
        raise typer.BadParameter(
            f"{path_prefix!r} is no path. Write one like /cvat.", param_hint="--path-prefix"
        )
    if path_prefix and not path_prefix.startswith("/"):
        path_prefix = f"/{path_prefix}"
    options = SimulatorOptions(
        tasks=tasks,
        frames=frames,
        projects=projects,
        seed=seed,
        frame_bytes=frame_bytes,
        archives=archives,
        host=host,
        port=port,
        path_prefix=path_prefix.rstrip("/"),
        password=password,
        costs=costs,
        export_workers=export_workers,
        export_seconds=export_seconds,
        import_workers=import_workers,
        import_seconds=import_seconds,
        api_workers=api_workers,
        latency=latency,
        one_export_per_user=one_export_per_user,
        old_exports=old_exports,
        version="2.15.0" if old_exports else SimulatorOptions.version,
    )
    try:
        signals.run(lambda: _serve(options))
    except signals.Interrupted:
        output.remark("Stopped.")
    except OSError as error:
        if error.filename is not None:
            raise typer.BadParameter(
                f"{str(error.filename)!r} cannot be read: {error.strerror}. Check the path.",
                param_hint="--archives",
            ) from error
        raise typer.BadParameter(
            f"'{port}' cannot be listened on at {host}: {_reason(error)}. Choose another, or 0 for "
            "a free one.",
            param_hint="--port",
        ) from error
    raise typer.Exit(ExitCode.DONE)


def _reason(error: OSError) -> str:
    """Say why a port cannot be listened on; asyncio's own words repeat address and number."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def _serve(options: SimulatorOptions) -> None:
    """Serve until cancelled."""
    import asyncio  # noqa: PLC0415 - the start-up of `--help` stays light

    from asynccvat.simulator import SimulatedServer  # noqa: PLC0415 - the same

    async with SimulatedServer(options) as server:
        # Stdout has only the address, for scripts that start the server.
        output.write(server.url)
        output.flush()
        output.remark(
            f"A simulated CVAT with {counted(len(server.tasks), 'task')}; user {server.username}, "
            f"password {server.password}. Stop it with Ctrl-C. In another shell:\n"
            f"  export CVAT_URL={server.url} CVAT_USERNAME={server.username} "
            f"CVAT_PASSWORD={server.password}\n"
            f"  asynccvat mirror data/"
        )
        await asyncio.Event().wait()

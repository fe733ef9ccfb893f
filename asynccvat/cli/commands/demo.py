"""`asynccvat demo`: mirror a simulated server, in about 15 seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

import typer

import asynccvat
from asynccvat.cli import output
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.text import counted, number_of_bytes

if TYPE_CHECKING:
    from asynccvat.simulator import SimulatorOptions

TASKS = 200
# Below the ports that systems assign by themselves.
_FIRST_PORT, _PORTS = 20_000, 10_000
_FOLDERS_SHOWN = 3
_FILES_SHOWN = 6


def demo(
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="DEST", help="The folder for the mirror. By default a new temporary folder."
        ),
    ] = None,
    tasks: Annotated[
        int,
        typer.Option("--tasks", min=1, max=2000, help="How many tasks the simulated server has."),
    ] = TASKS,
) -> None:
    """Mirror 200 tasks of a simulated server twice, in about 15 seconds.

    The server runs on this machine and stops with the command. The mirror stays; the command can
    run again with the same folder.

    For example:

    asynccvat demo /tmp/mirror
    """
    from asynccvat.simulator import SimulatorOptions  # noqa: PLC0415 - `--help` stays light

    place = destination or Path(tempfile.mkdtemp(prefix="asynccvat-demo-"))
    options = SimulatorOptions(
        port=0 if destination is None else port_for(destination),
        tasks=tasks,
        frames=3,
        costs=True,
        export_workers=4,
        export_seconds=0.2,
        api_workers=4,
        latency=0.01,
        login_seconds=0.05,
    )
    raise typer.Exit(_show(options, place))


def port_for(place: Path) -> int:
    """Return the port for a folder's server: always the same, since a mirror has one address.

    Raises:
        typer.BadParameter: The port is taken, and the folder is not empty.
    """
    import socket  # noqa: PLC0415 - the start-up of `--help` stays light

    path = str(place.absolute()).encode("utf-8", "surrogateescape")
    port = _FIRST_PORT + crc32(path) % _PORTS
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            if place.is_dir() and any(place.iterdir()):
                raise typer.BadParameter(
                    f"{str(place)!r} cannot be used: its simulated server needs port {port}, which "
                    f"is taken ({error.strerror}). Name another folder.",
                    param_hint="DEST",
                ) from error
            return 0
    return port


def _show(options: SimulatorOptions, place: Path) -> int:
    from asynccvat.simulator.processes import ServerProcess  # noqa: PLC0415 - `--help` stays light

    spec = asynccvat.ExportSpec(images=True)
    with ServerProcess(options) as server:
        output.sentence(
            f"A simulated CVAT at {server.url}: {counted(options.tasks, 'task')}, "
            f"{options.export_workers} exports at once, {options.export_seconds} s each."
        )
        for title in (
            f"Mirroring it into {place}",
            "Mirroring it again, with nothing to do",
        ):
            output.write(f"\n{title}")
            output.flush()
            code = carry_out(
                asynccvat.CvatClient(
                    server.url, username=server.username, password=server.password
                ),
                lambda client, on_event: asynccvat.mirror(
                    client, place, spec=spec, on_event=on_event
                ),
                ResultOptions(),
                place=str(place),
                resumable=False,
            )
            if code != ExitCode.DONE:
                return code
            if title.endswith(str(place)):
                for line in tree(place):
                    output.write(line)
    output.write("")
    output.sentence(f"The simulated server is stopped. The mirror is in {place}.")
    return ExitCode.DONE


def tree(place: Path) -> Iterator[str]:
    """Yield lines that show the first folders of a mirror and their files."""
    folders = sorted(
        (item for item in place.iterdir() if item.is_dir() and not item.name.startswith(".")),
        key=lambda item: (len(item.name), item.name),
    )
    yield f"{place}/"
    for folder in folders[:_FOLDERS_SHOWN]:
        yield f"  {folder.name}/"
        files = sorted(item for item in folder.rglob("*") if item.is_file())
        for file in files[:_FILES_SHOWN]:
            yield f"    {file.relative_to(folder)}  ({number_of_bytes(file.stat().st_size)})"
        if len(files) > _FILES_SHOWN:
            yield f"    ... and {counted(len(files) - _FILES_SHOWN, 'more file')}"
    if len(folders) > _FOLDERS_SHOWN:
        yield f"  ... and {counted(len(folders) - _FOLDERS_SHOWN, 'more folder')}"

"""How soon a command begins: help, a list, and a mirror of which nothing changed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

from asynccvat.simulator import ServerProcess
from benchmarks.cases.mirrors import small_tasks
from benchmarks.measuring import Run, in_turns, median_ratio, run_process
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_STARTS = 9
_TASKS = 20

_TWO_COMMANDS = '''
import typer

app = typer.Typer()


@app.command()
def hello(name: str = "you") -> None:
    """Greet somebody."""
    typer.echo(f"Hello {name}")


@app.command()
def goodbye(name: str = "you") -> None:
    """Take leave of somebody."""
    typer.echo(f"Goodbye {name}")


app()
'''
"""The smallest command line with commands that typer makes, to measure ours by."""

_APP, _HELP = "a typer app of two commands, --help", "asynccvat --help"
_APP_COMMAND, _COMMAND = "the app, hello --help", "asynccvat mirror --help"
_IMPORTS, _LIST = "import aiohttp, typer, msgspec", "asynccvat list-tasks"
_MIRROR = "asynccvat mirror, nothing new"


def starting(setting: Setting) -> Result:
    """Whole processes, from their start to their end, in turns."""
    work = setting.folder("starting")
    app = work / "app.py"
    app.write_text(_TWO_COMMANDS, "utf-8")
    ours = ("-m", "asynccvat")
    with ServerProcess(small_tasks(_TASKS, export_seconds=0.0)) as server:
        mirror = (*ours, "mirror", str(work / "mirror"))
        _timed(server, _MIRROR, mirror)(0)  # everything is there from now on
        runs = in_turns(
            _STARTS,
            {
                _APP: _timed(server, _APP, (str(app), "--help")),
                _HELP: _timed(server, _HELP, (*ours, "--help")),
                _APP_COMMAND: _timed(server, _APP_COMMAND, (str(app), "hello", "--help")),
                _COMMAND: _timed(server, _COMMAND, (*ours, "mirror", "--help")),
                _IMPORTS: _timed(server, _IMPORTS, ("-c", _IMPORTS)),
                _LIST: _timed(server, _LIST, (*ours, "list-tasks")),
                _MIRROR: _timed(server, _MIRROR, mirror),
            },
        )
    return Result(
        name="starting",
        title="The start of a command",
        scale=f"whole processes, {_STARTS} of each; {_TASKS} tasks on a server whose login takes "
        "0.24 s and whose list 0.05 s",
        goals=[
            at_most("help / help of a typer app of two commands", _ratio(runs, _HELP, _APP), 1.5),
            at_most(
                "help of mirror / help of a command of that app",
                _ratio(runs, _COMMAND, _APP_COMMAND),
                1.5,
            ),
            at_most(
                "list-tasks without its calls / import aiohttp, typer, msgspec",
                _without_calls(runs, _LIST),
                1.5,
            ),
        ],
        runs=runs,
        notes=[
            (
                f"A mirror of which nothing changed takes {_without_calls(runs, _MIRROR):.2f} "
                "times those imports, its calls apart: the login and the list."
            )
        ],
    )


def _timed(server: ServerProcess, name: str, arguments: Sequence[str]) -> Callable[[int], Run]:
    """A process of this interpreter, and its seconds apart from those of its calls."""
    environment = {
        "CVAT_URL": server.url,
        "CVAT_USERNAME": server.username,
        "CVAT_PASSWORD": server.password,
    }

    def run(_: int) -> Run:
        before = len(server.calls)
        done = run_process(name, [sys.executable, *arguments], environment)
        served = sum(float(call["seconds"]) for call in server.calls[before:])
        done.figures["without_server"] = done.seconds - served
        return done

    return run


def _ratio(runs: Mapping[str, Sequence[Run]], ours: str, other: str) -> float:
    return median_ratio(runs[ours], runs[other])


def _without_calls(runs: Mapping[str, Sequence[Run]], name: str) -> float:
    return statistics.median(
        float(run.figures["without_server"]) / imports.seconds
        for run, imports in zip(runs[name], runs[_IMPORTS], strict=True)
    )

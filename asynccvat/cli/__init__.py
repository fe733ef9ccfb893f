"""The command line: it presents what the public names of asynccvat do.

`commands` has a module for each command, and `registry` imports the one that is called. Commands
import the engine only when they run, so that `asynccvat --help` stays fast.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from asynccvat import __version__
from asynccvat.cli import exit_codes, output
from asynccvat.cli.command import Invocation, set_signature
from asynccvat.cli.completion import scripts
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.option_groups import parameters_of
from asynccvat.cli.registry import AllCommands
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.signals import Interrupted
from asynccvat.cli.typer_classes import UsageError
from asynccvat.cli.usage import usage_message

__all__ = ["app", "main"]

scripts.mend()

app = typer.Typer(
    name="asynccvat",
    cls=AllCommands,
    help=(
        "Mirror the tasks of a CVAT server to local folders, and upload edited annotations. "
        "Back up, restore, create and copy tasks."
    ),
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(given: bool) -> None:
    if given:
        output.write(f"asynccvat {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
]


def _shared(ctx: typer.Context, version: Version = False, **options: Any) -> None:
    """Store the shared options that stand before the command."""
    del version  # its callback has printed it
    ctx.ensure_object(Invocation).shared = SharedOptions(**options)
    if ctx.invoked_subcommand is None:
        output.write(ctx.get_help())
        raise typer.Exit(ExitCode.USAGE)


_before = list(inspect.signature(_shared, eval_str=True).parameters.values())[:2]
set_signature(_shared, [*_before, *parameters_of(SharedOptions)])
app.callback(invoke_without_command=True)(_shared)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with a code of `exit_codes.ExitCode`.

    Args:
        arguments: The arguments after the program's name; None takes those of `sys.argv`.
    """
    # The interpreter's last garbage collection would take a sixth of a short command's time, and
    # the process ends anyway.
    atexit.register(gc.freeze)
    output.prepare_stdout()
    code = _invoke(sys.argv[1:] if arguments is None else list(arguments))
    try:
        output.flush()
    except BrokenPipeError:
        output.give_up_stdout()
    except output.StdoutError as error:
        output.remark(f"Error: {error}")
        code = code or ExitCode.SOME_FAILED
    output.end_stderr()
    sys.exit(code)


def _invoke(arguments: list[str]) -> int:
    invocation = Invocation(words=tuple(arguments))
    try:
        code = app(arguments, prog_name="asynccvat", standalone_mode=False, obj=invocation)
    except UsageError as error:
        output.remark(f"Error: {usage_message(error)}")
        return ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        output.remark("Stopped.")
        return ExitCode.INTERRUPTED
    except output.StdoutError as error:
        output.remark(f"Error: {error}")
        return ExitCode.SOME_FAILED
    except Interrupted as stopped:
        output.remark("Stopped.")
        return stopped.code
    except Exception as error:  # noqa: BLE001 - the outermost frame: each error becomes a line and a code
        for line in exit_codes.explain(error, verbose=invocation.shared.verbose):
            output.remark(line)
        return exit_codes.exit_code(error)
    return int(code or ExitCode.DONE)

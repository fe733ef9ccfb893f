"""`asynccvat copy`: copy tasks from one server to another, or print the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import CopyOptions, Selection
from asynccvat.cli import output, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import (
    ResultOptions,
    dry_run_option,
    failed_from_option,
    option,
    with_failed_tasks,
)
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat import CvatClient, Event, RunReport
    from asynccvat.models import CopyPlan
    from asynccvat.settings import Settings

_SIDES = "Sides"
_OF_ALL = frozenset({"verbosity", "pasted"})


@command
def copy(
    shared: SharedOptions,
    *,
    source: Annotated[
        str,
        option(
            "--from",
            group=_SIDES,
            metavar="SIDE",
            help="Where the tasks are: a settings file like old.yaml, or a saved profile's name.",
        ),
    ],
    target: Annotated[
        str,
        option(
            "--to",
            group=_SIDES,
            metavar="SIDE",
            help="Where the copies go: a settings file like new.yaml, or a saved profile's name.",
        ),
    ],
    from_org: Annotated[
        str | None,
        option(
            "--from-org",
            group=_SIDES,
            metavar="SLUG",
            help="The organization of --from; '' for the personal workspace. By default as its "
            "file says.",
        ),
    ] = None,
    to_org: Annotated[
        str | None,
        option(
            "--to-org", group=_SIDES, metavar="SLUG", help="The organization of --to, likewise."
        ),
    ] = None,
    selection: Selection,
    failed_from: Annotated[Path | None, failed_from_option("Selection")] = None,
    options: CopyOptions,
    dry_run: Annotated[bool, dry_run_option("How it runs")] = False,
    results: ResultOptions,
) -> int:
    """Copy tasks to another server or organization, many at a time, and compare both sides.

    Each backup streams from one server into the other. Projects are made at the target by their
    names, with their labels. Run again, it copies what changed or is missing, and nothing twice; a
    copy that was changed at the target is not replaced. Server and credentials of a side come from
    its file or profile alone.

    For example:

    asynccvat copy --from old.yaml --to new.yaml --project-id 5 --dry-run

    asynccvat copy --from old --to new --to-org acme

    asynccvat copy --from old.yaml --to new.yaml --prune --expect 3
    """
    _refuse_shared(shared)
    results.check(dry_run=dry_run)
    from asynccvat.settings import load_side  # noqa: PLC0415 - `--help` stays light

    old = load_side(source, "--from", organization=from_org)
    new = load_side(target, "--to", organization=to_org)
    # One file may hold both sides: two organizations of a server.
    for warning in dict.fromkeys((*old.warnings, *new.warnings)):
        output.remark(f"warning: {warning}")
    shared.check_pasted(old)
    selection = with_failed_tasks(selection, failed_from)
    if failed_from is not None and not selection.task_ids:
        output.remark(f"Nothing to do: no task failed in {failed_from}.")
        return ExitCode.DONE
    options = replace(options, default_project_id=old.project_id)
    here, there = (_client(side, options) for side in (old, new))
    if dry_run:
        plan = signals.run(lambda: _plan(here, there, selection, options))
        return show_plan(plan, as_json=results.as_json, verbose=shared.verbose)

    async def act(here: CvatClient, on_event: Callable[[Event], None]) -> RunReport:
        async with there:
            return await asynccvat.copy(here, there, selection, options=options, on_event=on_event)

    return carry_out(here, act, results, place=there.origin, uploads=True, verbose=shared.verbose)


def _refuse_shared(shared: SharedOptions) -> None:
    """Refuse the options of one server: which of the two would they mean?

    Raises:
        typer.BadParameter: One is given.
    """
    for item in fields(shared):
        if item.name in _OF_ALL or not getattr(shared, item.name):
            continue
        flag = "--" + {"organization": "org", "headers": "header"}.get(item.name, item.name)
        raise typer.BadParameter(
            "a copy has two servers, which --from and --to name. Remove it, and write it into a "
            "settings file.",
            param_hint=flag.replace("_", "-"),
        )


def _client(side: Settings, options: CopyOptions) -> CvatClient:
    return asynccvat.CvatClient(
        **side.client_arguments, policy=asynccvat.RetryPolicy(attempts=options.retries)
    )


async def _plan(
    source: CvatClient, target: CvatClient, selection: Selection, options: CopyOptions
) -> CopyPlan:
    async with source, target:
        with waits.told():
            return await asynccvat.plan_copy(source, target, selection, options=options)


def show_plan(plan: CopyPlan, *, as_json: bool, verbose: bool) -> ExitCode:
    """Print what a copy would do; return the exit code that it would have."""
    described = plan.to_json()
    guards = [] if plan.guard is None else [plan.guard]
    if as_json:
        output.write_json(described)
    else:
        for project in described["projects"]:
            if project["make"] is not None:
                output.remark(f"To be made: project {project['make']!r} with its labels.")
        plans.show_steps(
            ("step", "task", "reason", "copy", "existing", "name"),
            [
                (
                    step["step"],
                    step["task_id"],
                    step["reason"],
                    step.get("copy") or step.get("replaces"),
                    step.get("existing"),
                    step["name"],
                )
                for step in plans.shown(described["steps"], verbose=verbose)
            ],
            numbers=("task", "copy", "existing"),
        )
        for warning in plan.warnings:
            output.remark(f"warning: {warning}")
    code = plans.show_end(described["steps"], guards=guards, as_json=as_json, verbose=verbose)
    if code is ExitCode.DONE and not plan.listing.complete:
        return ExitCode.SOME_FAILED
    return code

"""`asynccvat delete`: show what would be deleted at the server, and delete it with --yes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat import DeleteOptions, Selection
from asynccvat.cli import output, plans, signals, waits
from asynccvat.cli.command import command
from asynccvat.cli.common_options import ResultOptions, in_addressed_task, option
from asynccvat.cli.credentials import client_for
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.runs import carry_out
from asynccvat.cli.shared_options import SharedOptions

if TYPE_CHECKING:
    from asynccvat.models import DeletePlan

_GROUP = "Removing and replacing"


@command
def delete(
    shared: SharedOptions,
    *,
    yes: Annotated[
        bool,
        option("--yes", group=_GROUP, help="Delete. Without it, only show what would go."),
    ] = False,
    expect: Annotated[
        int | None,
        option(
            "--expect",
            group=_GROUP,
            metavar="N",
            min=0,
            help="The number that the dry run showed. --yes needs it.",
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        option(
            "--plan",
            group=_GROUP,
            metavar="FILE",
            help="The dry run writes here what it saw; --yes deletes only what is unchanged since.",
        ),
    ] = None,
    selection: Selection,
    options: DeleteOptions,
    results: ResultOptions,
) -> int:
    """Delete tasks or projects at the server. Without --yes, only show which.

    A filter is required. Each task is read again just before it is deleted, and passed over if it
    changed, or has open issues. A project goes with all its tasks; all of them count. This cannot
    be undone.

    For example:

    asynccvat delete --project-id 5 --status completed --plan old.json

    asynccvat delete --project-id 5 --status completed --plan old.json --yes --expect 37

    asynccvat delete -t 147 --require-backup backups/ --yes --expect 1
    """
    results.check(dry_run=not yes)
    if yes and expect is None:
        raise typer.BadParameter(
            "it needs --expect with the number that the dry run showed. Run it without --yes "
            "first.",
            param_hint="--yes",
        )
    if expect is not None and not yes:
        raise typer.BadParameter(
            "it needs --yes. Without it, nothing is deleted.", param_hint="--expect"
        )
    settings = shared.settings()
    selection = in_addressed_task(selection, settings)
    client = client_for(settings, retries=options.retries)

    async def make() -> DeletePlan:
        async with client:
            with waits.told():
                return await asynccvat.plan_delete(client, selection, options=options)

    if expect is None:
        made = signals.run(make)
        if plan is not None and not output.save_json(made.to_json(), plan):
            return ExitCode.SOME_FAILED
        return _show(made, plan, as_json=results.as_json)
    number, seen = expect, None if plan is None else asynccvat.read_delete_plan(plan)
    return carry_out(
        client,
        lambda client, on_event: asynccvat.delete(
            client, selection, expect=number, plan=seen, options=options, on_event=on_event
        ),
        results,
        place=client.origin,
        uploads=True,
        verbose=shared.verbose,
        resumable=seen is not None,
    )


def _show(plan: DeletePlan, path: Path | None, *, as_json: bool) -> ExitCode:
    described = plan.to_json()
    noun = str(plan.target)
    if as_json:
        output.write_json(described)
    else:
        steps = described["steps"]
        plans.show_steps(
            ("step", noun, "tasks", "reason", "name"),
            [
                (step["step"], step["id"], len(step["tasks"]), step["reason"], step["name"])
                for step in steps
            ],
            numbers=(noun, "tasks"),
            wraps=("reason", "name"),
        )
        plans.explain(steps)
    if plan.guard is not None:
        output.remark(f"Refused: {plan.guard}")
        return ExitCode.REFUSED
    if not as_json:
        more = "" if path is None else f" --plan {path}"
        if plan.count:
            output.remark(
                f"Dry run, nothing was deleted: {plan.counted} would go. To delete that, run the "
                f"same command with{more} --yes --expect {plan.count}."
            )
        else:
            output.remark("Dry run, nothing was deleted: nothing would go.")
    return plans.plan_code(plan.counts)

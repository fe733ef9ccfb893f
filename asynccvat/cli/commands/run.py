"""`asynccvat run`: check a file of steps, run them in order, write a summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

import asynccvat
from asynccvat.cli import output, plans, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import ResultOptions
from asynccvat.cli.credentials import complete
from asynccvat.cli.exit_codes import ExitCode, exit_code, explain, report_code, worst
from asynccvat.cli.records import Records, command_started
from asynccvat.cli.runs import LEFT_BEHIND, STOPPING
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.summary import failure_lines
from asynccvat.cli.text import counted, ended, printable
from asynccvat.cli.verb_words import words_of

if TYPE_CHECKING:
    from asynccvat import Event, RunFile, StepPlan, StepReport
    from asynccvat.cli.display import Display
    from asynccvat.errors import RunFileError
    from asynccvat.runfiles.steps import RunFileStep
    from asynccvat.settings import Settings


@command
def run(
    shared: SharedOptions,
    *,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.yaml", help="The file with the steps.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what each step would do; change nothing.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of run files, for editors.")
    ] = False,
    results: ResultOptions,
) -> int:
    """Run the steps that a YAML file lists, such as mirrors and backups, in their order.

    The files of datnvt-cvat-cli are accepted unchanged. The whole file is checked before the first
    step, also against the servers. A step that fails stops no other, unless its server cannot be
    reached or refuses the user.

    For example:

    asynccvat run steps.yaml --dry-run

    asynccvat run steps.yaml --report-json report.json

    asynccvat run --schema > run.schema.json
    """
    if schema:
        output.write_json(asynccvat.run_file_schema())
        return ExitCode.DONE
    if file is None:
        raise typer.BadParameter(
            "it is missing. Name a file, like steps.yaml.", param_hint="FILE.yaml"
        )
    results.check(dry_run=dry_run)
    try:
        read = asynccvat.load_run_file(file)
        for warning in read.warnings:
            output.remark(f"warning: {warning}")
        settings = _settings(read, shared)
        if dry_run:
            return _plan(read, settings, as_json=results.as_json, verbose=shared.verbose)
        return _carry_out(read, settings, results, verbose=shared.verbose)
    except asynccvat.errors.RunFileError as error:
        return _refused(error, verbose=shared.verbose)


def _settings(file: RunFile, shared: SharedOptions) -> dict[int, Settings]:
    """Return the settings of each step; ask for missing credentials once for each server.

    Raises:
        RunFileError: Settings of a step are missing or unusable.
    """
    found: dict[int, Settings] = {}
    completed: dict[Settings, Settings] = {}
    problems = []
    warned: set[str] = set()
    password = shared.given_password()
    for step in file.steps:
        if step.task == "copy":
            continue  # it names both of its servers itself
        try:
            settings = shared.settings_for(step.server, password)
            warned.update(settings.warnings)
            settings = replace(settings, warnings=())
            if settings not in completed:
                completed[settings] = complete(settings)
            found[step.number] = completed[settings]
        except asynccvat.ConfigError as error:
            problems.append(asynccvat.errors.Problem(str(step.place), error.message, error))
    for warning in sorted(warned):
        output.remark(f"warning: {warning}")
    if problems:
        raise asynccvat.errors.RunFileError(problems)
    return found


def _refused(error: RunFileError, *, verbose: bool) -> ExitCode:
    """Write everything that is wrong with a file; return the exit code."""
    for problem in error.problems:
        output.remark(f"Error: {ended(printable(str(problem)))}")
        if verbose and problem.error is not None:
            for line in list(explain(problem.error, verbose=True))[1:]:
                output.remark(line)
    output.remark("Nothing was done.")
    return worst(
        ExitCode.USAGE if problem.error is None else exit_code(problem.error)
        for problem in error.problems
    )


# --- plans ----------------------------------------------------------------------------------------


def _plan(
    file: RunFile, settings: Mapping[int, Settings], *, as_json: bool, verbose: bool
) -> ExitCode:
    planned = signals.run(
        lambda: asynccvat.plan_run_file(file, settings=lambda step: settings[step.number])
    )
    steps = {plan.step.number: list(_steps(plan)) for plan in planned}
    if as_json:
        output.write_json({"version": 1, "steps": [plan.to_json() for plan in planned]})
    else:
        plans.show_steps(
            ("number", "what", "step", "task", "path", "reason"),
            [
                (
                    number,
                    plan.step.task,
                    *(one[key] for key in ("step", "task_id", "path", "reason")),
                )
                for plan in planned
                for number in [plan.step.number]
                for one in plans.shown(steps[number], verbose=verbose)
            ],
            numbers=("number", "task"),
            wraps=("path", "reason"),
        )
        for plan in planned:
            _show_number(plan)
    codes = [code for plan in planned if (code := _refused_plan(plan)) is not None]
    every = [step for found in steps.values() for step in found]
    return worst([plans.show_end(every, as_json=as_json, verbose=verbose), *codes])


def _steps(plan: StepPlan) -> Iterator[plans.Step]:
    """Yield what a step does with each target, with the whole path of its file or folder."""
    for part in plan.plans_to_json():
        for step in part["steps"]:
            path = step.get("path")
            if path is None and "folder" in step:
                path = str(plan.step.dest / step["folder"])  # type: ignore[attr-defined]  # a mirror's
            yield {**step, "path": path or step.get("key"), "task_id": _target(part, step)}
    for task_id, path in plan.awaits.items():
        reason = "fetched by an earlier step"
        yield {"step": "upload", "task_id": task_id, "path": str(path), "reason": reason}


def _show_number(plan: StepPlan) -> None:
    """Write the number that a step has to say before it deletes."""
    from asynccvat.models import DeletePlan  # noqa: PLC0415 - `--help` stays light

    for part in plan.plans:
        if isinstance(part, DeletePlan) and part.count and part.guard is None:
            output.remark(
                f"step {plan.step.number}: {part.counted} would go. 'yes: true' and 'expect: "
                f"{part.count}' in the file let it delete that."
            )


def _target(plan: Mapping[str, Any], step: Mapping[str, Any]) -> int | str | None:
    """Return the id of a step's task; what it is stands before the id of another target."""
    task_id: int | None = step.get("task_id")
    if task_id is not None:
        return task_id if plan.get("target", "task") == "task" else f"{plan['target']} {task_id}"
    for target in ("project", "job"):
        if step.get(f"{target}_id") is not None:
            return f"{target} {step[f'{target}_id']}"
    return None


def _refused_plan(plan: StepPlan) -> ExitCode | None:
    """Write why a step has no plan, or removes nothing; return the exit code for that."""
    named = f"step {plan.step.number}"
    if plan.error is not None:
        output.remark(f"{named}: {ended(printable(str(plan.error)))}")
        return exit_code(plan.error)
    guards = [guard for part in plan.plans_to_json() if (guard := part.get("guard")) is not None]
    for guard in guards:
        output.remark(f"{named}: refused: {guard}")
    return plans.plan_code({}, guards)


# --- runs -----------------------------------------------------------------------------------------


def _carry_out(
    file: RunFile, settings: Mapping[int, Settings], results: ResultOptions, *, verbose: bool
) -> int:
    """Run the steps, show their progress, write the results, return the exit code."""
    done: list[StepReport] = []
    refused: asynccvat.errors.RunFileError | None = None
    records = Records(results, command_started(results, "", str(file.path)))
    stopped: signals.Interrupted | None = None
    try:
        with _Screen(len(file.steps), results, records, verbose=verbose) as screen:
            try:
                signals.run(
                    lambda: asynccvat.run_file(
                        file,
                        settings=lambda step: settings[step.number],
                        on_event=screen.on_event,
                        on_step=done.append,
                    ),
                    on_signal=lambda: screen.say(STOPPING),
                    left_behind=LEFT_BEHIND,
                )
            except asynccvat.errors.RunFileError as error:
                refused = error
                records.add(_refusal(error))
    except signals.Interrupted as interrupted:
        stopped = interrupted
    report = asynccvat.RunFileReport(tuple(done)).to_json() | {
        "ok": stopped is None and refused is None and all(step.ok for step in done),
        "interrupted": stopped is not None,
        "problems": [] if refused is None else [str(one) for one in refused.problems],
    }
    written = records.save_page()
    if results.report_file is not None:
        written = output.save_json(report, results.report_file) and written
    if results.as_json:
        output.write_json(report)
    elif done and not results.quiet:
        _summary(done)
    for step in done:
        if not results.quiet:
            _show_causes(step)
        _explain_step(step, verbose=verbose)
    if refused is not None:
        return _refused(refused, verbose=verbose)
    if stopped is not None:
        left = len(file.steps) - len(done)
        output.remark(f"Interrupted: {counted(left, 'step')} not started.")
        return stopped.code
    code = worst(_code(step) for step in done)
    return code or (ExitCode.DONE if written else ExitCode.SOME_FAILED)


def _refusal(error: RunFileError) -> Event:
    """Return the event that a file was refused as a whole."""
    from asynccvat.events import RunFinished  # noqa: PLC0415 - `--help` stays light

    why = asynccvat.ConfigError(" ".join(ended(str(problem)) for problem in error.problems))
    return RunFinished(asynccvat.RunReport(interrupted=True, stopped_by=why))


def _summary(done: Sequence[StepReport]) -> None:
    """Write the result of each step to stdout."""
    output.table(
        ("step", "what", "done", "skipped", "warned", "failed"),
        [
            (step.step.number, step.step.task, step.done, step.skipped, step.warned, step.failed)
            for step in done
        ],
        numbers=("step", "done", "skipped", "warned", "failed"),
    )


def _show_causes(step: StepReport) -> None:
    """Write what failed in a step, by cause."""
    for line in failure_lines(step.outcomes):
        output.remark(f"step {step.step.number}: {line}" if line[0] != " " else line)


def _explain_step(step: StepReport, *, verbose: bool) -> None:
    """Write why a step stopped early or was not run."""
    if isinstance(step.not_run, asynccvat.errors.EarlierStepError):
        output.remark(printable(str(step.not_run)))
    elif step.not_run is not None:
        output.remark(
            f"step {step.step.number} was not run, because its server failed an earlier step: "
            f"{ended(printable(str(step.not_run)))}"
        )
    elif step.stopped_by is not None:
        for line in explain(step.stopped_by, verbose=verbose):
            output.remark(line.replace("Error:", f"Error: step {step.step.number}:", 1))


def _code(step: StepReport) -> ExitCode:
    if step.not_run is not None:
        return exit_code(step.not_run)
    begun = worst(report_code(report) for report in step.reports)
    return begun if step.not_begun is None else worst([begun, exit_code(step.not_begun)])


class _Screen:
    """Shows the progress of each step, and logs the events."""

    def __init__(
        self, steps: int, results: ResultOptions, records: Records, *, verbose: bool
    ) -> None:
        self._steps = steps
        self._verbose = verbose
        self._quiet = results.quiet
        self._whole = ExitStack()
        self._records = self._whole.enter_context(records)
        self._of_step = ExitStack()
        self._step = 0
        self._shown: Display | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._of_step.close()
        self._whole.close()

    def on_event(self, step: RunFileStep, event: Event) -> None:
        """Show and log an event of a step."""
        from asynccvat.cli.display import display  # noqa: PLC0415 - `--help` stays light
        from asynccvat.cli.progress import Progress  # noqa: PLC0415 - the same

        if self._shown is None or step.number != self._step:
            self._of_step.close()
            self._step = step.number
            self._shown = self._of_step.enter_context(
                display(
                    output.remarks(),
                    verbose=self._verbose,
                    quiet=self._quiet,
                    counts=partial(Progress, words=words_of(step.task)),
                )
            )
            if not self._quiet:
                self._shown.say(f"step {step.number} of {self._steps}: {step.task}")
        self._records.add(event, step_number=step.number)
        self._shown.on_event(event)

    def say(self, line: str) -> None:
        """Show a message on a separate line."""
        if self._shown is None:
            output.remark(line)
        else:
            self._shown.say(line)

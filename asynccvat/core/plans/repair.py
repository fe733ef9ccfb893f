"""Plan the repair of a mirror, and tell what it repaired.

`core.problems` says what counts as damage; `commands.verify.repair` fetches the damaged tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from asynccvat.core.options.transfer import DEFAULT_PREFIX
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.problems import VerifyProblem
from asynccvat.core.records.folder_naming import prefix_of
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.specs import ExportSpec
from asynccvat.core.targets import TargetKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairGroup:
    """Tasks that are fetched again with the same settings.

    Attributes:
        task_ids: The tasks.
        spec: How they were exported.
        prefix: The prefix of their folders' names; the id follows it. A folder that a receipt
            names keeps its name.
        layout: With `adopt`: the layout of the folders' names, None without one.
        adopt: Whether their folders are adopted, as their receipts cannot be read.
        keep_archive: Whether their archives were kept, and are kept again.
    """

    task_ids: tuple[int, ...]
    spec: ExportSpec
    prefix: str
    layout: str | None = None
    adopt: bool = False
    keep_archive: bool = False


def plan_repairs(
    damaged: Iterable[int],
    heads: Mapping[int, ReceiptHead],
    archived: Collection[int] = (),
    remembered: Remembered | None = None,
) -> tuple[tuple[RepairGroup, ...], tuple[int, ...]]:
    """Plan how damaged tasks are fetched again.

    A task whose receipt cannot be read gets the format and the prefix that the mirror remembers, or
    else those of most other tasks.

    Args:
        damaged: The damaged tasks.
        heads: All receipts that can be read, by task.
        archived: The tasks whose archives are kept.
        remembered: What the mirror remembers, None for nothing.

    Returns:
        The groups, and the tasks whose settings are unknown because no receipt can be read.
    """
    settings = {task_id: _settings(head) for task_id, head in heads.items()}
    usual = [common for common, _ in Counter(settings.values()).most_common(1)]
    if remembered is not None and remembered.format is not None:
        target = TargetKind.of_plural(remembered.target)
        spec = ExportSpec(
            remembered.format,
            images=bool(remembered.images),
            target=target,
            frames=remembered.frames is not False,
        )
        prefix = remembered.folder_prefix
        usual = [(spec, DEFAULT_PREFIX if prefix is None else prefix)]
    groups: dict[tuple[tuple[ExportSpec, str], bool, bool], list[int]] = {}
    unknown = []
    for task_id in sorted(set(damaged)):
        adopt = task_id not in settings
        if adopt and not usual:
            unknown.append(task_id)
            continue
        chosen = usual[0] if adopt else settings[task_id]
        groups.setdefault((chosen, adopt, task_id in archived), []).append(task_id)
    repairs = tuple(
        RepairGroup(
            task_ids=tuple(ids),
            spec=spec,
            prefix=prefix,
            layout=remembered.layout if adopt and remembered is not None else None,
            adopt=adopt,
            keep_archive=keep,
        )
        for ((spec, prefix), adopt, keep), ids in groups.items()
    )
    return repairs, tuple(unknown)


def _settings(head: ReceiptHead) -> tuple[ExportSpec, str]:
    spec = head.spec
    if head.target is not TargetKind.TASK:
        return spec, DEFAULT_PREFIX
    prefix = prefix_of(head)
    return spec, DEFAULT_PREFIX if prefix is None else prefix


def after_repair(
    found: Iterable[VerifyProblem],
    still: Sequence[VerifyProblem],
    outcomes: Iterable[TaskOutcome],
) -> tuple[list[VerifyProblem], tuple[VerifyProblem, ...]]:
    """Compare the problems before and after a repair.

    Args:
        found: The problems before.
        still: The problems that the repaired tasks have now.
        outcomes: What became of these tasks.

    Returns:
        The problems that are left, and those that were repaired.
    """
    action = {outcome.task_id: outcome.action for outcome in outcomes}
    places = {problem.path for problem in still}
    left, repaired = [], []
    for problem in found:
        if problem.task_id not in action:
            left.append(problem)
        elif problem.kind.is_damage:
            if problem.path not in places:
                repaired.append(problem)
        elif not problem.kind.is_note and action[problem.task_id] is not Action.FETCHED:
            # The difference from the server remains until the task is fetched.
            left.append(problem)
    left += [problem for problem in still if problem.task_id in action]
    return left, tuple(repaired)

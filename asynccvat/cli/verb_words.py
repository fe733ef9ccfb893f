"""Say what a command counts and does, where its words differ from those of most commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VerbWords:
    """The words of one command.

    Attributes:
        noun: What each outcome is about. None for the outcomes' target.
        before: What the command does before it has a plan. None for the listing of its targets.
        moves_bytes: Whether bytes pass through this machine.
        stages: By the name of a stage, what is done in it. The other stages are as in `stage_word`.
    """

    noun: str | None = None
    before: str | None = None
    moves_bytes: bool = True
    stages: Mapping[str, str] = field(default_factory=dict)

    def stage_word(self, stage: str) -> str:
        """Return what is done with a task in a stage of `asynccvat.progress`."""
        return self.stages.get(stage) or _STAGES.get(stage, str(stage))


_STAGES = {"ready": "ready to download", "sending": "uploading"}

_OTHERS = {
    "create": VerbWords(before="checking the files"),
    "delete": VerbWords(
        before="reading what is to be deleted",
        moves_bytes=False,
        stages={"preparing": "being deleted"},
    ),
    "export-to-cloud": VerbWords(moves_bytes=False),
    "import-dataset": VerbWords("dataset", "checking the datasets"),
    "restore": VerbWords(before="reading the backups"),
    "upload": VerbWords(before="reading the files, and listing tasks"),
}


def words_of(command: str) -> VerbWords:
    """Return the words of a command, by its name on the command line or in a run file."""
    return _OTHERS.get(command.replace("_", "-"), VerbWords())

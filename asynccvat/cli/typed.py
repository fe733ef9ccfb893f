"""Keep a command as it was typed, and change it so that it does only what failed.

`given` names the options for reports. Here every word counts: a shell can run the result.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asynccvat.core.selections.id_lists import write_ids

_SECRET = frozenset({"--password", "-p", "--token", "--header"})
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
# What chooses targets otherwise, or removes what was not chosen: a retry is about its ids alone.
_REPLACED = frozenset(
    {
        "--task-id",
        "-t",
        "--failed-from",
        "--all",
        "--limit",
        "--updated-since",
        "--since-last-run",
        "--shard",
        "--prune",
        "--max-delete",
        "--expect",
        "--yes",
        "--plan",
    }
)
FLAGS_OF_IDS = {"task": "-t", "project": "--project-id"}
"""The options that take ids, by what has them."""

# A retry of some must not replace the report of all.
_REPORTS = frozenset({"--report-json", "--report", "--log-json"})
# Commands that have it work on a destination that remembers its projects.
_CHANGE = "--change"
# With these, targets and paths belong together.
_PAIRS = frozenset({"--pair", "--out-path"})


@dataclass(frozen=True, slots=True)
class TypedCommand:
    """The words of a command, and what its options are.

    Attributes:
        words: The words after the program's name, secrets included.
        valued: The flags that take a value.
        known: All flags of the command.
    """

    words: tuple[str, ...] = field(repr=False)
    valued: frozenset[str]
    known: frozenset[str]

    @property
    def lacks_secrets(self) -> bool:
        """Whether something secret was typed, which `retrying` leaves out."""
        return any(flag in _SECRET for flag, _ in self._pieces())

    def retrying(self, ids: Sequence[int], flag: str = "-t") -> str | None:
        """Return the command for some targets alone.

        Args:
            ids: The targets.
            flag: The option that takes them: `-t` or `--project-id`.

        Returns:
            The command. None if it takes no ids like these, or too many for a shell. Projects are
            remembered by a destination, which takes no others for one run.
        """
        beginning, written = self.beginning(flag), write_ids(ids, ranges=flag == "-t")
        return None if beginning is None or written is None else f"{beginning} {written}"

    def beginning(self, flag: str) -> str | None:
        """Return the command for some targets alone, without their ids, which stand at its end.

        Args:
            flag: The option that takes them: `-t` or `--project-id`.

        Returns:
            The command. None if it takes no ids like these.
        """
        typed = {known for known, _ in self._pieces()}
        if flag not in self.known or typed & _PAIRS:
            return None
        if flag == "--project-id" and _CHANGE in self.known:
            return None
        return self._line([*self._without({*_REPLACED, *_REPORTS, flag}), flag])

    def retrying_report(self, report: Path) -> str | None:
        """Return the command for what failed in a report; None if it takes no reports."""
        if "--failed-from" not in self.known:
            return None
        return self._line([*self._without(_REPLACED), "--failed-from", str(report)])

    def repeated(self) -> str:
        """Return the command as it was typed, without secrets."""
        return self._line(self._without(()))

    def _without(self, flags: Iterable[str]) -> list[str]:
        left_out = {*flags, *_SECRET}
        return [word for flag, words in self._pieces() if flag not in left_out for word in words]

    def _pieces(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each option with its words. Words that belong to no option have the flag ""."""
        rest = list(self.words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                yield "", [word, *rest]
                return
            if word.startswith("--"):
                flag, equals, _ = word.partition("=")
                value = [rest.pop(0)] if flag in self.valued and not equals and rest else []
                yield flag, [word, *value]
            elif word.startswith("-") and len(word) > 1:
                yield from self._short(word, rest)
            else:
                yield "", [word]

    def _short(self, word: str, rest: list[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield the options of a word like `-v`, `-t5` or `-vt5`."""
        for number, letter in enumerate(word[1:], 2):
            flag = f"-{letter}"
            if flag in self.valued:
                value = word[number:] or (rest.pop(0) if rest else "")
                yield flag, [flag, value]
                return
            yield flag, [flag]

    @staticmethod
    def _line(words: Sequence[str]) -> str:
        return shlex.join(["asynccvat", *(_CREDENTIALS.sub("", word) for word in words)])

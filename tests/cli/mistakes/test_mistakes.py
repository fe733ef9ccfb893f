"""Each mistake of a new user ends with its code, and with a message that helps.

`mistakes.txt` has them, as a transcript to be read as a whole.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatedServer

if TYPE_CHECKING:
    from command_line import Shell

TABLE = Path(__file__).with_name("mistakes.txt")


@dataclass
class Mistake:
    """A command line with a mistake in it, and how it ends."""

    typed: str = ""
    said: list[str] = field(default_factory=list)
    code: int = 0
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        made = [*self.files.values(), *(f"{key}={text}" for key, text in self.environment.items())]
        return " ".join([self.typed, *map(repr, made)])


def mistakes() -> Iterator[Mistake]:
    """Read the blocks of the table; what stands between them are titles."""
    for block in TABLE.read_text("utf-8").split("\n\n"):
        lines = block.strip("\n").split("\n")
        if not re.fullmatch(r"\[\d+\]", lines[-1]):
            continue
        mistake = Mistake(code=int(lines[-1].strip("[]")))
        for line in lines[:-1]:
            word, _, rest = line.partition(" ")
            if mistake.typed:
                mistake.said.append(line)
            elif word == "file":
                path, _, content = rest.partition(": ")
                mistake.files[path] = json.loads(content)
            elif word == "set":
                variable, _, value = rest.partition("=")
                mistake.environment[variable] = json.loads(f'"{value}"')
            elif word == "unset":
                mistake.environment[rest] = None
            else:
                mistake.typed = line.removeprefix("$ asynccvat ")
        yield mistake


MISTAKES = [pytest.param(mistake, id=mistake.name) for mistake in mistakes()]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_what_to_do(
    shell: Shell,
    simulated: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mistake: Mistake,
) -> None:
    for name, content in mistake.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("{url}", simulated.url))
        path.chmod(0o600)
    for variable, value in mistake.environment.items():
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ended = shell(*shlex.split(mistake.typed.replace("{url}", simulated.url)))
    said = ended.err.replace(simulated.url, "{url}").replace(str(tmp_path), "{here}")
    assert said.splitlines() == mistake.said
    assert ended.code == mistake.code
    if ended.code == 2:
        assert ended.out == ""


def test_the_table_has_each_mistake_once() -> None:
    names = [mistake.name for mistake in mistakes()]
    assert len(set(names)) == len(names) >= 200


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_message_is_made_of_whole_sentences(mistake: Mistake) -> None:
    for line in mistake.said:
        if line.startswith(("Error: ", "warning: ", "failed: ")):
            assert line.endswith((".", "?")), line
            assert not re.search(r"\.\.(?!\.)|: :|\s\s|Input should|Invalid value|Errno", line), (
                line
            )

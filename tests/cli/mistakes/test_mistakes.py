"""Each mistake of a new user ends with its code and a message that helps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from table import MISTAKES, Mistake

from asynccvat.simulator import SimulatedServer

if TYPE_CHECKING:
    from command_line import Shell


@pytest.mark.parametrize("mistake", [pytest.param(one, id=one.typed) for one in MISTAKES])
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
            monkeypatch.setenv(variable, value.replace("{url}", simulated.url))
    ended = shell(*shlex.split(mistake.typed.replace("{url}", simulated.url)))
    assert ended.err == mistake.said.replace("{url}", simulated.url) + "\n"
    assert (ended.code, ended.out) == (mistake.code, mistake.out)


def test_the_table_has_each_mistake_once() -> None:
    typed = [(one.typed, tuple(one.files.items()), tuple(one.environment)) for one in MISTAKES]
    assert len(set(typed)) == len(typed)


@pytest.mark.parametrize("mistake", [pytest.param(one, id=one.typed) for one in MISTAKES])
def test_a_message_is_made_of_whole_sentences(mistake: Mistake) -> None:
    for line in mistake.said.splitlines():
        assert line.endswith((".", "?")), line
        assert not re.search(r"\.\.(?!\.)|: :|\s\s|Input should|Invalid value|Errno", line), line

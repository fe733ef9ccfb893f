"""Help: short pages that fit, complete ones, and topics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.main import get_command

from asynccvat import cli
from asynccvat.cli.help import panels, topics
from asynccvat.cli.help.panels import Entry, Panel
from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES

if TYPE_CHECKING:
    from command_line import Shell

TELLS_A_PASSWORD = pytest.mark.shows_secrets("the default password of `simulate` is no secret")


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), command
        yield from commands(command, *path, name)


COMMANDS = dict(commands(get_command(cli.app)))


def options_of(name: str) -> list[Any]:
    """Options and arguments of a command, without those that the help hides."""
    command = COMMANDS[name]
    found = command.get_params(typer.Context(command))
    return [item for item in found if not getattr(item, "hidden", False)]


def marked(names: Iterator[str]) -> list[Any]:
    return [
        pytest.param(name, marks=TELLS_A_PASSWORD if name == "simulate" else ()) for name in names
    ]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", ["", *marked(iter(COMMANDS))])
def test_the_help_of_a_command_has_at_most_60_lines_of_80_columns(
    bare_shell: Shell, name: str
) -> None:
    lines = bare_shell(*name.split(), "--help").out.splitlines()
    assert len(lines) <= 60
    # An example is a line to copy.
    assert [line for line in lines if len(line) > 80 and not line.startswith("  asynccvat")] == []
    assert "<" not in "".join(lines)


@pytest.mark.parametrize("name", marked(iter(COMMANDS)))
def test_the_short_help_names_every_option_of_the_command_or_the_topic_that_does(
    bare_shell: Shell, name: str
) -> None:
    shown = bare_shell(*name.split(), "--help").out
    for option in options_of(name):
        panel = getattr(option, "rich_help_panel", None)
        if option.param_type_name == "argument" or "--help" in option.opts:
            continue
        if panel == "Server and account":
            assert "asynccvat help connection" in shown
        elif panel in panels.NAMED_PANELS:
            assert f"asynccvat help {panels.NAMED_PANELS[panel]}" in shown
        else:
            assert option.opts[0].removeprefix("--") in shown


@pytest.mark.parametrize("name", marked(iter(COMMANDS)))
def test_the_full_help_explains_every_option(bare_shell: Shell, name: str) -> None:
    ended = bare_shell("help", *name.split())
    assert ended.code == 0
    words = " ".join(re.sub(r"[│\s]+", " ", ended.out).split())
    for option in options_of(name):
        assert " ".join((option.help or "").split()[:3]) in words, option.opts


def test_what_is_named_only_has_its_environment_variable_and_default_in_the_full_help(
    bare_shell: Shell,
) -> None:
    short, full = bare_shell("mirror", "--help").out, bare_shell("help", "mirror").out
    assert "CVAT_URL" not in short
    assert "CVAT_URL" in full
    assert "[default: 5]" in full


def test_the_commands_stand_in_panels_each_on_a_line(bare_shell: Shell) -> None:
    lines = bare_shell("--help").out.splitlines()
    panel = next(number for number, line in enumerate(lines) if "Get from the server" in line)
    assert lines[panel + 1].startswith("│ mirror")
    assert "│ watch" in [line[:7] for line in lines]


@pytest.mark.parametrize("topic", topics.NAMES)
def test_a_topic_is_explained_within_80_columns(bare_shell: Shell, topic: str) -> None:
    ended = bare_shell("help", topic)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "\x1b" not in ended.out


def test_the_topics_are_listed_where_none_is_named(bare_shell: Shell) -> None:
    shown = bare_shell("help").out
    assert all(topic in shown for topic in topics.NAMES if topic != "topics")
    assert bare_shell("help", "topics").out == shown


def test_the_topic_of_the_environment_names_each_variable(bare_shell: Shell) -> None:
    shown = bare_shell("help", "environment").out
    assert all(variable in shown for variable in (*VARIABLES.values(), CONFIG_VARIABLE))


READ = re.compile(r"""(?:environ|environment)(?:\.get\(|\[)"([A-Z_]+)\"""")


def test_the_topic_of_the_environment_names_each_variable_that_the_command_line_reads(
    bare_shell: Shell,
) -> None:
    named = set(re.findall(r"[A-Z][A-Z_]+", bare_shell("help", "environment").out))
    folder = Path(cli.__file__).parent
    read = {name for file in folder.rglob("*.py") for name in READ.findall(file.read_text("utf-8"))}
    assert {"CI", "TERM", "NO_COLOR", "COLUMNS"} <= read
    assert {name for name in read if not name.startswith("_")} - named - OF_TERMINALS == set()
    assert {"ASYNCCVAT_WEBHOOK_SECRET", "SSL_CERT_FILE", "CURL_CA_BUNDLE"} <= named


OF_TERMINALS = {"TMUX", "COLORTERM", "VTE_VERSION", "TERM_PROGRAM", "TERM_PROGRAM_VERSION"} | {
    "COMP_WORDS"
}
"""Variables that a terminal, or the script of a shell's completion, sets about itself."""


def test_the_topic_of_the_connection_has_its_options(bare_shell: Shell) -> None:
    shown = bare_shell("help", "connection").out
    assert "--client-cert" in shown
    assert "--proxy" in shown


@pytest.mark.parametrize("words", [("nonsense",), ("requests", "nonsense"), ("mirror", "limits")])
def test_what_is_neither_a_command_nor_a_topic_is_a_usage_error(
    bare_shell: Shell, words: tuple[str, ...]
) -> None:
    ended = bare_shell("help", *words)
    assert ended.code == 2
    assert f"{' '.join(words)!r} is neither a command nor a topic" in ended.err


@pytest.mark.parametrize(("word", "meant"), [("mirorr", "mirror"), ("connections", "connection")])
def test_a_mistyped_word_is_answered_with_the_likely_one(
    bare_shell: Shell, word: str, meant: str
) -> None:
    assert f"Did you mean {meant}?" in bare_shell("help", word).err


def entries(*flags: str) -> tuple[Entry, ...]:
    return tuple(Entry(flag, "What it means.", flag) for flag in flags)


def test_rare_options_are_named_only() -> None:
    short = panels.shortened([Panel("Options", entries("--images", "--retries", "--help"))])
    assert short == [Panel("Options", entries("--images"), ("--retries",))]


def test_the_longest_panel_gives_its_last_options_first_and_usual_ones_last() -> None:
    found = panels.fitted(
        [Panel("A", entries("--one", "--two")), Panel("B", entries("--three", "--four", "--name"))],
        width=80,
        room=8,
    )
    assert found == [
        Panel("A", entries("--one", "--two")),
        Panel("B", entries("--name"), ("--three", "--four")),
    ]


def test_arguments_stay_where_there_is_no_room_at_all() -> None:
    found = panels.fitted(
        [Panel("Arguments", entries("DEST")), Panel("B", entries("--one"))], width=80, room=1
    )
    assert found == [Panel("Arguments", entries("DEST")), Panel("B", (), ("--one",))]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Short.", "Short."),
        ("Short. And more.", "Short."),
        ("Mirror tasks, one each; only what changed.", "Mirror tasks, one each."),
        ("List the backups, all of them: of what.", "List the backups, all of them."),
        ("Nothing to cut in such a long sentence.", "Nothing to cut in such a long sentence."),
    ],
)
def test_a_sentence_is_cut_after_its_first_clauses(text: str, line: str) -> None:
    assert panels.one_line(text, 32) == line


def test_an_option_with_a_letter_is_explained_on_the_short_page(bare_shell: Shell) -> None:
    text = bare_shell("report", "--help").out
    assert "-o, --output FILE.html" in text
    assert "Also: " not in text
    # Of a list, `--output` has no letter, and says what other options say.
    assert "--output" in bare_shell("list-tasks", "--help").out.partition("Also: ")[2]

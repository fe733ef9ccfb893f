"""Columns, order, number of rows, CSV and links of lists."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asynccvat.cli import output
from asynccvat.cli.links import Link, shows_links
from asynccvat.cli.listing import Column, Listing, ListOptions
from asynccvat.simulator import SimulatedServer

if TYPE_CHECKING:
    from command_line import Shell

STYLES = re.compile(r"\x1b\[[0-9;]*m")
LISTS = ("list-tasks", "list-projects", "list-jobs", "requests", "cloud-storages")


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_the_columns_are_those_that_are_named_in_their_order(shell: Shell) -> None:
    ended = shell("list-tasks", "--columns", "name,id,owner")
    header, *found = rows(ended.out)
    assert header == ["name", "id", "owner"]
    assert found[0] == ["street-00001", "1", "admin"]


@pytest.mark.parametrize("command", LISTS)
def test_all_columns_can_be_shown(shell: Shell, command: str) -> None:
    usual, every = shell(command), shell(command, "--columns", "all")
    assert (usual.code, every.code) == (0, 0)
    assert set(rows(usual.out)[0]) <= set(rows(every.out)[0])


def test_the_address_of_a_task_s_page_is_a_column(shell: Shell, simulated: SimulatedServer) -> None:
    found = rows(shell("list-tasks", "--columns", "url", "-t", 3).out)
    assert found == [["url"], [f"{simulated.url}/tasks/3"]]
    found = rows(shell("list-jobs", "--columns", "url", "-t", 3).out)
    assert found == [["url"], [f"{simulated.url}/tasks/3/jobs/3"]]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--sort", "id"), [1, 2, 3, 4, 5, 6]),
        (("--sort", "-id"), [6, 5, 4, 3, 2, 1]),
        (("--sort=-id", "--limit", "2"), [6, 5]),
        (("--limit", "2"), [1, 2]),
        (("--limit", "99"), [1, 2, 3, 4, 5, 6]),
        (("--sort", "-status", "--limit", "3"), [2, 5, 3]),
    ],
)
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_every_form_has_the_same_rows_in_the_same_order(
    shell: Shell, flags: tuple[str, ...], expected: list[int], form: str
) -> None:
    ended = shell("list-tasks", "--output", form, *flags)
    assert ended.code == 0
    readers: dict[str, Callable[[str], list[dict[str, Any]]]] = {
        "table": lambda text: list(csv.DictReader(io.StringIO(text), delimiter="\t")),
        "json": json.loads,
        "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
        "csv": lambda text: list(csv.DictReader(io.StringIO(text))),
    }
    assert [int(row["id"]) for row in readers[form](ended.out)] == expected


def test_a_table_with_fewer_rows_than_there_are_says_so(shell: Shell) -> None:
    assert shell("list-tasks", "--limit", 2).err == "2 tasks of 6\n"
    assert shell("list-tasks", "--limit", 6).err == "6 tasks\n"


def test_csv_has_a_header_and_whole_dates(shell: Shell) -> None:
    ended = shell("list-tasks", "--csv", "-t", 2, "--columns", "id,updated")
    assert ended.err == ""
    (row,) = csv.DictReader(io.StringIO(ended.out))
    assert row["updated"] == shell("list-tasks", "--json", "-t", 2).json[0]["updated_date"]


def test_a_name_with_a_comma_and_quotes_is_one_value_of_csv(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = 'a, "b"'
    listing(as_csv=True).show([(1, name), (2, None)], "item")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["number", "name"],
        ["1", name],
        ["2", ""],
    ]


@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--columns", "id,nmae"), "--columns 'nmae' is not a column."),
        (("--columns", "id,"), "--columns '' is not a column."),
        (("--sort", "-nonsense"), "--sort 'nonsense' is not a column. The columns are "),
        (("--columns", "id", "--json"), "--columns is for tables and CSV: --json has every field"),
        (("--columns", "id", "--jsonl"), "--columns is for tables and CSV: --jsonl has every"),
        (("--csv", "--json"), "the result has one form, not csv and json"),
        (("--output", "csv", "--jsonl"), "the result has one form, not csv and jsonl"),
        (("--limit", "0"), "--limit '0' is not accepted. Give a whole number of 1 or more."),
    ],
)
def test_wrong_options_are_refused_before_the_server_is_asked(
    shell: Shell, simulated: SimulatedServer, command: str, flags: tuple[str, ...], said: str
) -> None:
    calls = len(simulated.calls)
    ended = shell(command, *flags)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(simulated.calls) == calls


def test_a_mistyped_column_is_answered_with_the_likely_one(shell: Shell) -> None:
    assert "Did you mean owner?" in shell("list-tasks", "--columns", "ownr").err


def listing(**options: object) -> Listing[tuple[int, str | None]]:
    columns: list[Column[tuple[int, str | None]]] = [
        Column(title="number", value=lambda item: item[0]),
        Column(title="name", value=lambda item: item[1]),
    ]
    return Listing(columns, ListOptions(**options))  # type: ignore[arg-type]  # options by name


@given(st.lists(st.tuples(st.integers(), st.none() | st.text())), st.booleans())
def test_what_has_no_value_comes_last_in_both_directions(
    items: list[tuple[int, str | None]], downward: bool
) -> None:
    found = listing(sort="-name" if downward else "name").arranged(items)
    names = [name or None for _, name in found]
    having = [name.casefold() for name in names if name is not None]
    assert names[len(having) :] == [None] * (len(names) - len(having))
    assert having == sorted(having, reverse=downward)
    assert sorted(map(repr, found)) == sorted(map(repr, items))


LINKS = (
    {"TERM": "xterm-256color", "VTE_VERSION": "7600"},
    {"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"},
    {"TERM": "xterm-kitty"},
    {"TERM": "xterm", "WT_SESSION": "1"},
    {"TERM": "xterm-256color", "COLORTERM": "xfce4-terminal"},
    {"TERM": "xterm-256color", "FORCE_HYPERLINK": "1"},
    {
        "TERM": "tmux-256color",
        "TMUX": "/tmp/x",
        "TERM_PROGRAM": "tmux",
        "TERM_PROGRAM_VERSION": "3.4",
    },
    {"TERM": "screen", "TMUX": "/tmp/x", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.5a"},
)
NO_LINKS: tuple[dict[str, str], ...] = (
    {},
    {"TERM": "xterm-256color"},
    {"TERM": "linux"},
    {"TERM": "xterm-256color", "VTE_VERSION": "4900"},
    {"TERM": "xterm-256color", "VTE_VERSION": "new"},
    {"TERM": "dumb", "VTE_VERSION": "7600"},
    {"TERM": "dumb", "FORCE_HYPERLINK": "1"},
    {"TERM": "xterm-kitty", "NO_COLOR": "1"},
    {"TERM": "xterm-kitty", "FORCE_HYPERLINK": "0"},
    {"TERM": "screen-256color", "VTE_VERSION": "7600"},
    {"TERM": "tmux-256color", "TMUX": "/tmp/x", "VTE_VERSION": "7600"},
    {"TERM": "tmux", "TMUX": "x", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.3a"},
    {"TERM": "tmux", "TMUX": "x", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "next-3"},
)


@pytest.mark.parametrize("environment", LINKS)
def test_terminals_that_are_known_to_have_links_get_them(environment: dict[str, str]) -> None:
    assert shows_links(environment)


@pytest.mark.parametrize("environment", NO_LINKS)
def test_others_get_none(environment: dict[str, str]) -> None:
    assert not shows_links(environment)


def on_a_terminal(simulated: SimulatedServer, **environment: str) -> str:
    """What a list writes to a terminal with these variables."""
    master, slave = pty.openpty()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TERM", "TMUX", "VTE", "CVAT", "COLOR", "NO_COLOR"))
    }
    account = {
        "CVAT_URL": simulated.url,
        "CVAT_USERNAME": simulated.username,
        "CVAT_PASSWORD": simulated.password,
    }
    with os.fdopen(slave, "wb") as out:
        subprocess.run(
            [sys.executable, "-m", "asynccvat", "list-tasks", "-t", "3"],
            stdout=out,
            stderr=subprocess.PIPE,
            check=True,
            timeout=60,
            env={**clean, **account, "COLUMNS": "100", **environment},
        )
        found = os.read(master, 65536).decode()
    os.close(master)
    return found


def test_a_task_in_a_table_links_to_its_page_where_the_terminal_has_links(
    simulated: SimulatedServer,
) -> None:
    shown = on_a_terminal(simulated, TERM="xterm-kitty")
    linked = re.findall(r"\x1b\]8;[^;]*;(http[^\x1b]*)\x1b\\([^\x1b]*)\x1b\]8;;\x1b\\", shown)
    page = f"{simulated.url}/tasks/3"
    assert [(url, text.strip()) for url, text in linked] == [(page, "3"), (page, "street-00003")]
    for none in ({"TERM": "xterm"}, {"TERM": "dumb"}, {"TERM": "xterm-kitty", "NO_COLOR": "1"}):
        assert "\x1b]8" not in on_a_terminal(simulated, **none)


def test_a_row_of_too_many_columns_is_a_block_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=32, markup=False, highlight=False)
    monkeypatch.setattr(output, "results", lambda: console)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    titles = ("id", "name", "owner", "updated")
    rows = [(1, "street-00001", "ann", "2026-03-31 08:00"), (2, "x", "", "2026-04-01 08:00")]
    output.table(titles, rows)
    lines = [line.rstrip() for line in STYLES.sub("", drawn.getvalue()).splitlines()]
    assert lines == [
        "id        1",
        "name      street-00001",
        "owner     ann",
        "updated   2026-03-31 08:00",
        "",
        "id        2",
        "name      x",
        "owner",
        "updated   2026-04-01 08:00",
    ]


def test_a_link_is_its_text_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["id"], [[Link("3", "https://cvat.example.com/tasks/3")]])
    assert capsys.readouterr().out == "id\n3\n"


def test_backups_are_listed_by_size(shell: Shell, tmp_path: Path) -> None:
    assert shell("backup", tmp_path / "b", "-q").code == 0
    found = shell("backups", tmp_path / "b", "--offline", "--csv", "--sort", "-size", "--limit", 3)
    sizes = [int(row["size"]) for row in csv.DictReader(io.StringIO(found.out))]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)

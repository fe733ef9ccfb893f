"""Check how webhooks are made, listed, tried and deleted from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Shell

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

SECRET = "a secret of webhooks"
URL = "http://127.0.0.1:9/webhook"


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    """A server of its own for each test: webhooks stay."""
    with serve_in_thread(SimulatorOptions(tasks=2, frames=2, projects=2)) as running:
        yield running


@pytest.fixture
def hook_shell(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("ASYNCCVAT_WEBHOOK_SECRET", SECRET)
    return shell


def test_a_webhook_is_made_once_for_an_address(hook_shell: Shell) -> None:
    first = hook_shell("webhook", "create", "--project", 1, "--target-url", URL, "--json")
    assert first.code == 0
    (made,) = first.json
    assert (made["type"], made["project_id"], made["target_url"]) == ("project", 1, URL)
    assert {"create:task", "delete:task", "update:task"} <= set(made["events"])
    assert SECRET not in first.out + first.err
    second = hook_shell("webhook", "create", "--project", 1, "--target-url", URL)
    assert "Changed webhook 1." in second.err
    other = hook_shell("webhook", "create", "--project", 2, "--target-url", URL)
    assert "Made webhook 2." in other.err
    assert [one["id"] for one in hook_shell("webhook", "list", "--json").json] == [1, 2]


def test_a_project_may_be_given_by_name(hook_shell: Shell, simulated: SimulatedServer) -> None:
    name = simulated.projects[2].name
    made = hook_shell("webhook", "create", "--project", name, "--target-url", URL, "--json")
    assert made.json[0]["project_id"] == 2


@pytest.mark.parametrize(
    ("project", "advice"),
    [
        ("nothing", "`asynccvat list-projects` shows which there are."),
        ("projekt-2", "Did you mean 'project-2' or 'project-1'?"),
        ("project-2*", "`asynccvat list-projects --name 'project-2*'` shows those that fit."),
    ],
)
def test_a_project_that_no_exact_name_finds_is_refused_once(
    hook_shell: Shell, simulated: SimulatedServer, project: str, advice: str
) -> None:
    unknown = hook_shell("webhook", "create", "--project", project, "--target-url", URL)
    assert unknown.code == 2
    (line,) = unknown.err.splitlines()
    assert line.startswith(f"Error: there is no project '{project}' at {simulated.url} ")
    assert line.endswith(advice)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--target-url", URL), 2, "Give --project, or an organization with --org"),
        (("--target-url", "nowhere", "--project", "1"), 2, "is no address for a webhook"),
        (("--target-url", URL, "--project", "99"), 2, "there is no project 99"),
    ],
)
def test_webhooks_that_cannot_be_made_are_refused(
    hook_shell: Shell, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended = hook_shell("webhook", "create", *arguments)
    assert ended.code == code
    assert message in ended.err


def test_an_address_without_the_path_of_a_watch_is_a_warning(hook_shell: Shell) -> None:
    bare = URL.removesuffix("/webhook")
    made = hook_shell("webhook", "create", "--project", 1, "--target-url", bare)
    assert made.code == 0
    assert f"warning: '{bare}' does not end with /webhook" in made.err
    right = hook_shell("webhook", "create", "--project", 1, "--target-url", URL)
    assert "warning" not in right.err


def test_webhooks_are_listed_with_chosen_columns_in_an_order(hook_shell: Shell) -> None:
    for project in (1, 2):
        hook_shell("webhook", "create", "--project", project, "--target-url", URL)
    ended = hook_shell("webhook", "list", "--csv", "--columns", "id,project", "--sort", "-project")
    assert ended.out.splitlines() == ["id,project", "2,2", "1,1"]
    assert hook_shell("webhook", "--limit", 1).err == "1 webhook of 2\n"
    header = hook_shell("webhook", "list").out.splitlines()[0]
    assert header.split("\t") == [
        *("id", "type", "project", "address", "active", "status", "events")
    ]
    assert hook_shell("webhook", "list", "--columns", "nmae").code == 2


def test_a_webhook_needs_a_secret(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNCCVAT_WEBHOOK_SECRET", raising=False)
    ended = shell("webhook", "create", "--project", 1, "--target-url", URL)
    assert ended.code == 2
    assert "the secret of the webhook is missing" in ended.err


def test_a_webhook_is_deleted_once(hook_shell: Shell) -> None:
    hook_shell("webhook", "create", "--project", 1, "--target-url", URL)
    assert hook_shell("webhook", "delete", 1).code == 0
    again = hook_shell("webhook", "delete", 1)
    assert again.code == 2
    assert "there is no webhook 1" in again.err
    assert hook_shell("webhook", "list", "--json").json == []


def test_a_ping_that_does_not_arrive_says_what_to_check(hook_shell: Shell) -> None:
    hook_shell("webhook", "create", "--project", 1, "--target-url", URL)
    ended = hook_shell("webhook", "ping", 1)
    assert ended.code == 1
    assert "CVAT does not reach the address" in ended.err


@pytest.mark.parametrize(
    ("secret", "expected"), [(SECRET, (0, "nothing to do for ping")), ("other", (1, "refused"))]
)
def test_a_ping_shows_how_a_watch_answered(
    hook_shell: Shell, tmp_path: Path, secret: str, expected: tuple[int, str]
) -> None:
    command = (sys.executable, "-m", "asynccvat", "watch", str(tmp_path / "data"))
    watch = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        env={**os.environ, "ASYNCCVAT_WEBHOOK_SECRET": secret},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stderr is not None
        told = next(line for line in watch.stderr if line.startswith("webhooks at "))
        address = told.removeprefix("webhooks at ").partition(",")[0]
        hook_shell("webhook", "create", "--project", 1, "--target-url", address)
        ended = hook_shell("webhook", "ping", 1)
    finally:
        watch.terminate()
        watch.communicate(timeout=30)
    assert ended.code == expected[0]
    assert expected[1] in ended.out + ended.err

"""The Tab key in real shells, and what completion asks of a server."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyrings import MemoryKeyring, memory_keyring
from typer.main import get_command

from asynccvat import cli
from asynccvat.cli.completion import answers, cache, values
from asynccvat.cli.completion.cache import Answers
from asynccvat.settings import load_settings
from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

__all__ = ["memory_keyring"]

BIN = str(Path(sys.executable).parent)
SCRIPT = "_ASYNCCVAT_COMPLETE=source_{shell} asynccvat"
STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PASSWORD_OF_NOBODY = "hunter2-and-more"


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def environment(bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path) -> dict[str, str]:
    """The variables of a shell of the test's own, whose folder has `data/`."""
    del bare_shell  # it has made HOME and the working folder those of the test
    (tmp_path / "data").mkdir()
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "CVAT_URL": simulated.url,
        "CVAT_USERNAME": simulated.username,
        "CVAT_PASSWORD": simulated.password,
        "TERM": "xterm",
        "PS1": "> ",
    }


def output_of(command: list[str], environment: dict[str, str]) -> str:
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert ended.stderr == ""
    return ended.stdout


def in_bash(line: str, environment: dict[str, str]) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    script = (
        f'eval "$({SCRIPT.format(shell="bash")})"; COMP_CWORD={len(words) - 1}; '
        'COMP_WORDS=("$@"); _asynccvat_completion asynccvat; '
        r'printf "%s\n" "${COMPREPLY[@]}"'
    )
    shown = output_of(["bash", "--norc", "-c", script, "bash", *words], environment)
    return [offered for offered in shown.splitlines() if offered]


def in_fish(line: str, environment: dict[str, str]) -> list[str]:
    """What fish offers for the last word of a line, without the descriptions."""
    script = f"{SCRIPT.format(shell='fish')} | source; complete -C '{line}'"
    shown = output_of(["fish", "--no-config", "-c", script], environment)
    return [offered.split("\t")[0] for offered in shown.splitlines()]


SHELLS = [
    pytest.param(in_bash, marks=needs("bash"), id="bash"),
    pytest.param(in_fish, marks=needs("fish"), id="fish"),
]
LINES = {
    "asynccvat mir": ["mirror"],
    "asynccvat requests c": ["cancel"],
    "asynccvat mirror data --conc": ["--concurrency"],
    "asynccvat mirror data --status ": ["annotation", "validation", "completed"],
    "asynccvat mirror data --format coc": ["coco"],
    "asynccvat mirror data -f ultra": ["ultralytics-yolo-detection"],
    "asynccvat mirror data --project-id ": ["1", "2"],
    "asynccvat mirror data --project-id 1,": ["1,1", "1,2"],
    "asynccvat list-tasks --profile l": ["lab"],
    "asynccvat convert data --to cvat": ["cvat", "cvat-for-images", "cvat-for-video"],
    "asynccvat convert data --to ultra": ["ultralytics"],
    "asynccvat convert data --to v": ["voc"],
    "asynccvat copy --from l": ["lab"],
    "asynccvat copy --from lab --to ": ["lab"],
    "asynccvat logout ": ["own"],
    "asynccvat help conn": ["connection"],
    "asynccvat help list-t": ["list-tasks"],
}


@pytest.mark.parametrize("offered", SHELLS)
@pytest.mark.parametrize("line", LINES)
def test_a_shell_completes(offered: Any, line: str, environment: dict[str, str]) -> None:
    save_profile(environment)
    assert sorted(offered(line, environment)) == sorted(LINES[line])


def save_profile(environment: dict[str, str]) -> None:
    path = Path(environment["XDG_CONFIG_HOME"]) / "cvat-sdk" / "auth.json"
    path.parent.mkdir(parents=True, mode=0o700)
    profile = {"server": "https://lab.example.com", "token": "abcdefgh.x"}
    path.write_text(json.dumps({"version": 1, "profiles": {"lab": profile}}), "utf-8")
    path.chmod(0o600)
    logins = path.parent.parent / "asynccvat" / "logins.json"
    logins.parent.mkdir(mode=0o700)
    login = {
        "name": "own",
        "url": "https://own.example.com",
        "username": "ann",
        "store": "file",
        "fingerprint": "f",
        "saved": "2026-01-01T00:00:00Z",
    }
    logins.write_text(json.dumps({"version": 1, "logins": [login]}), "utf-8")
    logins.chmod(0o600)


@needs("bash")
def test_bash_quotes_the_blanks_of_a_name(environment: dict[str, str]) -> None:
    assert in_bash("asynccvat mirror data --format COC", environment) == ["COCO\\ 1.0"]
    assert in_bash('asynccvat mirror data --format "COC', environment) == ["COCO 1.0"]


@needs("bash")
def test_projects_are_completed_by_their_names(environment: dict[str, str]) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, projects=1)) as running:
        running.add_project("My (new) streets")
        account = {"CVAT_USERNAME": running.username, "CVAT_PASSWORD": running.password}
        changed = {**environment, "CVAT_URL": running.url, **account}
        names = in_bash("asynccvat mirror data --project ", changed)
        assert names == ["project-1", "My\\ \\(new\\)\\ streets"]
        assert in_bash("asynccvat mirror data --project 2", changed) == ["2"]


PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
"""What `str.isprintable` means, without examples that are thrown away."""


@needs("bash")
@settings(max_examples=30)
@given(st.lists(st.text(PRINTABLE, min_size=1), min_size=1, max_size=20))
def test_bash_reads_what_it_is_offered_as_the_value(names: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_ASYNCCVAT_COMPLETE", "complete_bash")
        patch.setenv("COMP_WORDS", "asynccvat mirror data --project ")
        complete = values.completing(lambda _, __: [(name, "") for name in names])
        offered = [value for value, _ in complete(context_of("mirror", "data"), "")]
    script = "printf '%s\\0' " + " ".join(offered)
    ended = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, check=True)
    assert ended.stdout.decode().split("\0")[:-1] == names


@needs("zsh")
@pytest.mark.parametrize("option", ["--project", "--project-id"])
def test_zsh_runs_nothing_that_stands_in_the_name_of_a_project(
    option: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, projects=1)) as running:
        for number, name in enumerate([r"\$(touch {})", r"\`touch {}\`", "it's [/new]"]):
            running.add_project(name.format(tmp_path / f"run-{number}"))
        account = {"CVAT_USERNAME": running.username, "CVAT_PASSWORD": running.password}
        command, begin = INTERACTIVE["zsh"]
        terminal = Terminal(command, {**environment, "CVAT_URL": running.url, **account})
        try:
            terminal.types(begin.format(script=SCRIPT.format(shell="zsh")), "ready")
            terminal.types(f"asynccvat mirror data {option} \t\t", "project-1")
        finally:
            terminal.close()
    assert list(tmp_path.glob("run-*")) == []


@needs("fish")
def test_fish_describes_projects_of_long_and_hostile_names(environment: dict[str, str]) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, projects=0)) as running:
        running.add_project("closed [/new] \x1b[2J")
        running.add_project("word " * 40)
        account = {"CVAT_USERNAME": running.username, "CVAT_PASSWORD": running.password}
        script = (
            f"{SCRIPT.format(shell='fish')} | source; complete -C 'asynccvat copy --project-id '"
        )
        shown = output_of(
            ["fish", "--no-config", "-c", script],
            {**environment, "CVAT_URL": running.url, **account},
        )
    assert shown.splitlines() == ["1\tclosed (/new) (2J", "2\t" + ("word " * 12).strip()]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_bash_is_offered_nothing_in_quotes_that_it_would_run_there(
    quote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_ASYNCCVAT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"asynccvat\nmirror\ndata\n--project\n{quote}a")
    names = ["a b", "a $(touch x)", "a `touch x`", "a'; touch x", 'a"; touch x', "a!x"]
    complete = values.completing(lambda _, __: [(name, "") for name in names])
    assert complete(context_of("mirror", "data"), "a") == [("a b", "")]


@needs("fish")
def test_fish_describes_projects_by_their_names(environment: dict[str, str]) -> None:
    script = f"{SCRIPT.format(shell='fish')} | source; complete -C 'asynccvat copy --project-id '"
    shown = output_of(["fish", "--no-config", "-c", script], environment)
    assert shown.splitlines() == ["1\tproject-1", "2\tproject-2"]


class Terminal:
    """A shell on a terminal, at which a test types."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            os.execvpe(command[0], command, environment)
        self._shown = ""

    def types(self, text: str, until: str) -> None:
        """Type, and wait for what the shell then shows."""
        os.write(self._terminal, text.encode())
        end = time.monotonic() + 60
        while until not in STYLES.sub("", self._shown):
            assert time.monotonic() < end, self._shown
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._shown += os.read(self._terminal, 65536).decode(errors="replace")
        self._shown = ""

    def close(self) -> None:
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)


INTERACTIVE = {
    "bash": (["bash", "--norc", "-i"], 'eval "$({script})"; echo rea""dy\n'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -u -D; eval "$({script})"; echo rea""dy\n',
    ),
}


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in INTERACTIVE])
def test_the_tab_key_completes_a_command_a_format_and_a_folder(
    shell: str, environment: dict[str, str]
) -> None:
    command, begin = INTERACTIVE[shell]
    terminal = Terminal(command, environment)
    try:
        terminal.types(begin.format(script=SCRIPT.format(shell=shell)), "ready")
        terminal.types("asynccvat mirr\t", "ror")
        terminal.types("da\t", "ta/")
        terminal.types(" --format ultr\t", "alytics-yolo-detection")
        terminal.types(" --conc\t", "urrency")
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in INTERACTIVE])
def test_an_installed_completion_offers_at_the_first_tab_of_a_new_terminal(
    shell: str, environment: dict[str, str]
) -> None:
    home = Path(environment["HOME"])
    home.mkdir(exist_ok=True)
    (home / f".{shell}rc").write_text("PS1='> '\n", "utf-8")
    terminal = Terminal([shell, "-i"], environment | {"ZDOTDIR": str(home)})
    try:
        terminal.types("asynccvat --install-completion\n", "once you restart")
        terminal.types(f"exec {shell} -i\n", "> ")
        terminal.types("echo rea''dy\n", "ready")
        terminal.types("asynccvat mirr\t", "ror")
    finally:
        terminal.close()


BROKEN = {
    "no server": {"CVAT_URL": ""},
    "no credentials": {"CVAT_USERNAME": "", "CVAT_PASSWORD": ""},
    "no password": {"CVAT_PASSWORD": ""},
    "a wrong password": {"CVAT_PASSWORD": PASSWORD_OF_NOBODY},
    "an unreachable server": {"CVAT_URL": "http://127.0.0.1:1"},
    "an unknown server": {"CVAT_URL": "http://nowhere.invalid"},
    "a bad address": {"CVAT_URL": "ftp://x"},
    "no file of settings": {"CVAT_SERVER_CONFIG": "absent.yaml"},
}


@needs("bash")
@pytest.mark.parametrize("changed", BROKEN.values(), ids=BROKEN.keys())
def test_without_an_answer_known_formats_are_offered_and_nothing_is_asked_or_said(
    environment: dict[str, str], changed: dict[str, str]
) -> None:
    broken = {name: value for name, value in (environment | changed).items() if value}
    assert in_bash("asynccvat mirror data --project-id ", broken) == []
    assert in_bash("asynccvat mirror data --format pascal", broken) == ["pascal-voc"]


@needs("bash")
def test_json_is_offered_where_it_has_a_meaning(environment: dict[str, str]) -> None:
    unknown = environment | {"CVAT_URL": "http://127.0.0.1:1"}
    assert in_bash("asynccvat mirror data --format js", unknown) == ["json"]
    assert in_bash("asynccvat download -t 1 --format js", unknown) != ["json"]


def context_of(*arguments: str) -> Any:
    """The context of a command line that is being completed."""
    root: Any = get_command(cli.app)
    outer = root.make_context("asynccvat", list(arguments), resilient_parsing=True)
    name = next(word for word in arguments if word in root.commands)
    rest = list(arguments[arguments.index(name) + 1 :])
    return root.commands[name].make_context(name, rest, parent=outer, resilient_parsing=True)


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "home").rglob("completion/*.json"))


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_an_answer_is_kept_without_secrets_and_not_asked_for_again(
    shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    del shell  # its environment names the server
    context = context_of("mirror", "data")
    first = answers.answers_for(context, "projects")
    assert first.projects == {1: "project-1", 2: "project-2"}
    (file,) = cached(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert simulated.password not in file.read_text("utf-8")
    calls = len(simulated.calls)
    assert answers.answers_for(context, "projects") == first
    assert len(simulated.calls) == calls


def test_each_server_user_and_organization_has_answers_of_its_own(
    shell: Shell, tmp_path: Path
) -> None:
    assert shell("list-projects").code == 0
    given = ("--url", "http://127.0.0.1:1", "-u", "ann", "-p", "x")
    assert answers.answers_for(context_of(*given, "mirror", "data"), "projects").projects is None
    assert answers.answers_for(context_of("mirror", "data", *given), "projects").projects is None
    assert len(cached(tmp_path)) == 2


@pytest.mark.parametrize(
    ("command", "what"), [("formats", "formats"), ("list-projects", "projects")]
)
def test_what_a_command_was_told_is_kept_for_completion(
    shell: Shell,
    simulated: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    what: str,
) -> None:
    assert shell(command).code == 0
    calls = len(simulated.calls)
    # Without a password, the server cannot be asked.
    monkeypatch.delenv("CVAT_PASSWORD")
    assert getattr(answers.answers_for(context_of("mirror", "data"), what), what)
    assert len(simulated.calls) == calls


def test_a_list_of_some_projects_is_not_kept_as_that_of_all(shell: Shell, tmp_path: Path) -> None:
    assert shell("list-projects", "--name", "project-2").code == 0
    assert cached(tmp_path) == []


def test_a_server_that_does_not_answer_costs_little_and_is_left_alone_for_a_while(
    shell: Shell, silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del shell
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    context = context_of("mirror", "data", "--url", silent_server)
    began = time.monotonic()
    assert answers.answers_for(context, "projects") == cache.read(cached(tmp_path)[0])
    assert time.monotonic() - began < 20
    assert cache.read(cached(tmp_path)[0]).failed > 0

    def unexpected(*_: object) -> None:
        raise AssertionError("it is asked again")

    monkeypatch.setattr(answers, "_is_found", unexpected)
    assert answers.answers_for(context, "projects").projects is None


def test_old_answers_serve_while_the_server_is_gone(
    shell: Shell, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del shell
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    context = context_of("mirror", "data", "--url", silent_server)
    answers.answers_for(context, "projects")
    (file,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("completion/*.json")
    cache.write(file, Answers(projects={7: "old"}, asked={"projects": 1.0}))
    assert answers.answers_for(context, "projects").projects == {7: "old"}


def test_another_token_is_shown_nothing_of_the_one_before(
    shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    token = simulated.create_access_token()
    assert shell("list-projects", "--token", token).code == 0
    mine = context_of("mirror", "data", "--token", token)
    calls = len(simulated.calls)
    assert answers.answers_for(mine, "projects").projects == {1: "project-1", 2: "project-2"}
    assert len(simulated.calls) == calls
    other = context_of("mirror", "data", "--token", "zyxwvuts.another-user-s-token")
    assert answers.answers_for(other, "projects").projects is None
    assert len(cached(tmp_path)) == 2


@pytest.mark.usefixtures("bare_shell")
def test_answers_of_a_user_whom_the_terminal_asked_for_are_not_kept(
    simulated: SimulatedServer, tmp_path: Path
) -> None:
    for name in ("admin", "bob"):
        unknown = load_settings(url=simulated.url)
        assert unknown.username is None
        cache.remember(unknown, "projects", {1: f"of {name}"})
    assert cached(tmp_path) == []


def test_a_login_in_the_keyring_is_completed_while_the_keyring_stays_closed(
    bare_shell: Shell,
    simulated: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    memory_keyring: MemoryKeyring,
) -> None:
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", simulated.create_access_token())
    assert bare_shell("login", simulated.url, "--store", "keyring").code == 0
    monkeypatch.delenv("CVAT_ACCESS_TOKEN")
    context = context_of("mirror", "data")
    calls = len(simulated.calls)
    with monkeypatch.context() as patch:
        patch.setattr(memory_keyring, "get_password", lambda *_: pytest.fail("opened"))
        assert answers.answers_for(context, "projects").projects is None
    assert len(simulated.calls) == calls
    assert bare_shell("list-projects").code == 0
    memory_keyring.locked = True
    for arguments in ((), ("--profile", simulated.url.removeprefix("http://").replace(":", "-"))):
        known = answers.answers_for(context_of("mirror", "data", *arguments), "projects")
        assert known.projects == {1: "project-1", 2: "project-2"}


def test_the_settings_of_the_folder_on_the_command_line_are_used(
    bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    del bare_shell  # it has made HOME and the working folder those of the test
    for name in ("data", "other"):
        (tmp_path / name).mkdir()
    token = simulated.create_access_token()
    file = tmp_path / "data" / "server.yaml"
    file.write_text(f"url: {simulated.url}\ntoken: {token}\n", "utf-8")
    file.chmod(0o600)
    known = answers.answers_for(context_of("mirror", "data"), "projects")
    assert known.projects == {1: "project-1", 2: "project-2"}
    assert answers.answers_for(context_of("mirror", "other"), "projects") == Answers()


PIPES = ("--config", "--ca-bundle", "--client-cert", "CVAT_SERVER_CONFIG")


@pytest.mark.parametrize("named_by", PIPES)
def test_a_pipe_is_not_read(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_by: str
) -> None:
    del shell
    os.mkfifo(tmp_path / "pipe")
    arguments = (named_by, "pipe") if named_by.startswith("--") else ()
    if not arguments:
        monkeypatch.setenv(named_by, "pipe")
    known = answers.answers_for(context_of("mirror", "data", *arguments), "projects")
    assert known.projects is None


@pytest.mark.usefixtures("bare_shell")
@pytest.mark.parametrize(
    "pipe", ["data/server.yaml", "data/.asynccvat/destination.json", "home/asynccvat/logins.json"]
)
def test_a_pipe_where_a_file_belongs_is_not_read(tmp_path: Path, pipe: str) -> None:
    (tmp_path / pipe).parent.mkdir(parents=True, mode=0o700)
    os.mkfifo(tmp_path / pipe)
    assert answers.answers_for(context_of("mirror", "data"), "projects") == Answers()


def test_a_wait_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "SECONDS", 0.01)
    handler = signal.getsignal(signal.SIGALRM)
    ends = os.pipe()
    try:
        complete = values.completing(lambda _, __: [(os.read(ends[0], 1).decode(), "")])
        assert complete(context_of("mirror", "data"), "") == []
    finally:
        for end in ends:
            os.close(end)
    assert signal.getsignal(signal.SIGALRM) is handler


def test_a_password_on_stdin_is_left_there(shell: Shell, tmp_path: Path) -> None:
    del shell
    context = context_of("mirror", "data", "--password-stdin")
    assert answers.answers_for(context, "projects") == Answers()
    assert cached(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 2}', '{"version": 1}', '{"version": 1, "formats": 5}'],
)
def test_a_file_that_is_no_cache_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, "utf-8")
    assert cache.read(path) == Answers()


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    cache.write(tmp_path / "file" / "x.json", Answers(["COCO 1.0"]))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    known = Answers(["COCO 1.0"], {5: "Straße"}, {"formats": 3.0}, 4.0)
    cache.write(tmp_path / "c" / "x.json", known)
    assert cache.read(tmp_path / "c" / "x.json") == known


def test_an_answer_is_asked_for_when_it_is_missing_or_old() -> None:
    assert Answers().needs("formats", 1e9)
    assert Answers(asked={"formats": 1e9}).needs("projects", 1e9)
    assert not Answers(asked={"formats": 1e9}).needs("formats", 1e9 + 599)
    assert Answers(asked={"formats": 1e9}).needs("formats", 1e9 + 601)
    assert not Answers(failed=1e9).needs("formats", 1e9 + 59)
    assert Answers(failed=1e9).needs("formats", 1e9 + 61)


def test_names_with_control_characters_are_not_offered() -> None:
    complete = values.completing(lambda _, __: [("a\x1b[2J", ""), ("ab\n", ""), ("abc", "x\ny")])
    assert complete(context_of("mirror", "data"), "a") == [("abc", "x y")]


def test_a_source_that_fails_offers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def failing(_: Any, __: str) -> list[tuple[str, str]]:
        sys.stderr.write("noise")
        raise RuntimeError

    assert values.completing(failing)(context_of("mirror", "data"), "") == []
    assert capsys.readouterr() == ("", "")

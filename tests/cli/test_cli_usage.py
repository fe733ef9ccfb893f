"""Help, version and bad input: one clear line and an exit code each."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from asynccvat import CvatClient, __version__, cli, errors
from asynccvat.cli import exit_codes, output
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.summary import write_summary
from asynccvat.core.outcomes import Action, RunReport, TaskOutcome
from asynccvat.simulator import SimulatedServer

if TYPE_CHECKING:
    from command_line import Shell


def commands(group: Any, *path: str) -> Iterator[str]:
    """Every command, those of groups too."""
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name))
        yield from commands(command, *path, name)


COMMANDS = tuple(commands(get_command(cli.app)))

ASYNCCVAT = (sys.executable, "-m", "asynccvat")
PASSWORD = "hunter2-and-more"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_help_names_every_command_and_the_exit_codes(bare_shell: Shell) -> None:
    ended = bare_shell("--help")
    assert ended.code == 0
    assert not [command for command in COMMANDS if command.split()[0] not in ended.out]
    assert "130" in ended.out


TELLS_A_PASSWORD = pytest.mark.shows_secrets("the default password of `simulate` is no secret")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=TELLS_A_PASSWORD if command == "simulate" else ())
        for command in COMMANDS
    ],
)
def test_the_help_of_every_command_has_an_example(bare_shell: Shell, command: str) -> None:
    ended = bare_shell(*command.split(), "--help")
    assert ended.code == 0
    assert f"asynccvat {command}" in ended.out.split("For example:")[1]


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error(bare_shell: Shell) -> None:
    ended = bare_shell()
    assert ended.code == 2
    assert "mirror" in ended.out


def test_the_version_is_shown(bare_shell: Shell) -> None:
    assert bare_shell("--version").out == f"asynccvat {__version__}\n"


@TELLS_A_PASSWORD
def test_help_loads_neither_the_engine_nor_its_dependencies() -> None:
    ended = python(
        "-c",
        "import sys\n"
        "from asynccvat.cli import main\n"
        f"for command in ([], *(name.split() for name in {COMMANDS!r})):\n"
        "    try:\n        main([*command, '--help'])\n"
        "    except SystemExit as ended:\n        assert not ended.code\n"
        "heavy = {'aiohttp', 'anyio', 'asyncio', 'asynccvat.api', 'asynccvat.simulator',\n"
        "         'msgspec', 'pydantic', 'ssl', 'yaml'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n",
    )
    assert ended.returncode == 0, ended.stderr


def test_a_command_loads_only_what_it_needs(simulated: SimulatedServer) -> None:
    ended = python(
        "-X", "importtime", "-m", "asynccvat", "list-tasks", "--project-id", "1", "--name", "x",
        CVAT_URL=simulated.url, CVAT_USERNAME=simulated.username, CVAT_PASSWORD=simulated.password,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "aiohttp" in loaded
    # Text needs no conversion, and there is no settings file and no terminal.
    assert not loaded & {"pydantic", "rich.console", "yaml"}
    assert not loaded & {"asynccvat.api", "asynccvat.transfer.imports", "asynccvat.client.poller"}


def test_a_command_loads_no_other_command(tmp_path: Path) -> None:
    ended = python(
        "-c",
        "import sys\n"
        "from asynccvat.cli import main\n"
        f"try:\n    main(['status', {str(tmp_path)!r}])\n"
        "except SystemExit:\n    pass\n"
        "print(*(name for name in sys.modules if name.startswith('asynccvat.cli.commands.')))\n",
    )
    assert ended.stdout.split() == ["asynccvat.cli.commands.status"]


def test_a_command_that_takes_a_folder_loads_nothing_to_convert_it(tmp_path: Path) -> None:
    ended = python("-X", "importtime", "-m", "asynccvat", "status", str(tmp_path), "--json")
    assert ended.returncode == 2
    assert f"'{tmp_path}' holds neither a mirror nor backups" in ended.stderr
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert not loaded & {"pydantic", "aiohttp", "rich.console", "yaml"}


def test_it_runs_as_a_module_too() -> None:
    ended = python("-m", "asynccvat", "--version")
    assert (ended.returncode, ended.stdout) == (0, f"asynccvat {__version__}\n")


def test_options_may_stand_before_the_command_and_after_it_where_they_win(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    account = ("-u", simulated.username, "-p", simulated.password)
    assert bare_shell("--url", simulated.url, *account, "check-connection").code == 0
    assert bare_shell("check-connection", "--url", simulated.url, *account).code == 0
    ended = bare_shell("--url", "http://127.0.0.1:1", *account, "formats", "--url", simulated.url)
    assert ended.code == 0


def test_settings_come_from_a_file_too(
    bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(
        f"url: {simulated.url}\nusername: {simulated.username}\npassword: {simulated.password}\n"
    )
    assert bare_shell("-c", file, "check-connection").code == 0


def test_the_repr_of_the_shared_options_shows_no_secret() -> None:
    assert PASSWORD not in repr(SharedOptions(url="x", password=PASSWORD, token=PASSWORD))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nonsense",), 2, "'nonsense'"),
        (("mirror",), 2, "DEST"),
        (("mirror", ""), 2, "DEST is empty"),
        (("mirror", "out", "--dry-run", "--report-json", "r.json"), 2, "--json"),
        (("mirror", "out", "--dry-run", "--log-json", "l.json"), 2, "--json"),
        (("mirror", "out", "--imges"), 2, "--images"),
        (("mirror", "out", "--status", "done"), 2, "annotation"),
        (("mirror", "out", "--concurrency", "0"), 2, "--concurrency"),
        (("mirror", "out", "--bwlimit", "fast"), 2, "10M"),
        (("mirror", "out", "--export-timeout", "soon"), 2, "30m"),
        (("mirror", "out", "--updated-since", "lately"), 2, "2d"),
        (("mirror", "out", "--max-delete", "some"), 2, "--max-delete 'some' is neither"),
        (("mirror", "out", "--max-delete", "101%"), 2, "a share like 10%"),
        (("list-tasks", "-u", ""), 2, "--username is empty"),
        (("list-tasks", "-p", ""), 2, "--password is empty"),
        (("list-tasks", "--token", ""), 2, "--token is empty"),
        (("list-tasks", "--url", ""), 2, "--url is empty"),
        (("mirror", "out", "--filter", "{"), 2, "JSON"),
        (("mirror", "out", "-t", "one"), 2, "147"),
        (("mirror", "out", "--failed-from", "absent.json"), 2, "absent.json"),
        (("mirror", "out", "--report-json", "absent/r.json"), 2, "absent/r.json"),
        (("mirror", "out", "--report-json", "."), 2, "--report-json"),
        (("mirror", "out", "--log-json", "absent/l.json"), 2, "absent/l.json"),
        (("download", "-o", "out"), 2, "-t 147"),
        (("download", "-t", "1"), 2, "-o DIR"),
        (("download", "-t", "1,2", "--out-path", "a"), 2, "1 folder for 2 tasks"),
        (("download", "-t", "1", "-o", "a", "--out-path", "b"), 2, "Remove one of them"),
        (("task-info",), 2, "at least one task"),
        (("list-tasks", "--json", "--jsonl"), 2, "Remove all but one"),
        (("list-tasks", "--output", "jsonl", "--json"), 2, "not json and jsonl"),
        (("list-tasks", "--profile", "lab"), 2, "no saved login or profile 'lab'. Save one with"),
        (("list-tasks", "--profile", "lab", "--url", "http://x"), 2, "and excludes --url"),
        (("list-jobs", "--stage", "done"), 2, "acceptance"),
        (("list-jobs", "--state", "done"), 2, "in progress"),
        (("list-jobs", "--type", "done"), 2, "ground_truth"),
        (("list-jobs", "--subset", "train"), 2, "--subset"),
        (("list-jobs", "--project-id", "99"), 2, "no project 99"),
        (("list-projects", "--project-id", "five"), 2, "147"),
        (("list-tasks", "--password-stdin", "--password", "x"), 2, "--password-stdin and --passw"),
        (("list-tasks", "--password-stdin", "--token", "x"), 2, "--password-stdin and --token"),
        (("list-tasks", "--project-id", "99"), 2, "99"),
        (("list-tasks", "--org", "nosuch"), 2, "nosuch"),
        (("list-tasks", "--url", "ftp://cvat.example.com"), 2, "https://"),
        (("list-tasks", "--config", "absent.yaml"), 2, "absent.yaml"),
        (("list-tasks", "--ca-bundle", "absent.pem"), 2, "absent.pem"),
        (("formats", "--password", PASSWORD), 3, "password"),
        (("formats", "--token", f"abcdefgh.{PASSWORD}"), 3, "token"),
        (("formats", "--url", "http://127.0.0.1:1"), 4, "http://127.0.0.1:1"),
        (("formats", "--url", "http://nowhere.invalid"), 4, "nowhere.invalid"),
        (("mirror", "out", "--url", "http://127.0.0.1:1"), 4, "http://127.0.0.1:1"),
        (("run",), 2, "FILE.yaml"),
        (("run", "absent.yaml"), 2, "absent.yaml"),
        (("run", "steps.yaml", "--dry-run", "--report-json", "r.json"), 2, "--json"),
        (("simulate", "--archives", "absent"), 2, "absent"),
    ],
)
def test_bad_input_is_one_clear_line_and_a_code(
    shell: Shell, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = shell(*arguments)
    assert (ended.code, ended.out) == (code, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("Error: ")
    assert told in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("url: [", "line"),
        ("- a\n- b\n", "url: https://"),
        ("urll: x\n", "Did you mean 'url'?"),
        ("project_id: five\n", "'five'"),
    ],
)
def test_malformed_settings_are_named_with_their_line(
    shell: Shell, tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "server.yaml").write_text(content)
    ended = shell("list-tasks")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert "server.yaml, line" in line
    assert told in line


def test_without_server_or_user_it_says_how_to_give_them(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    ended = bare_shell("list-tasks")
    assert ended.code == 2
    assert "CVAT_URL" in ended.err
    ended = bare_shell("list-tasks", "--url", simulated.url)
    assert ended.code == 2
    assert "CVAT_ACCESS_TOKEN" in ended.err


def test_a_password_comes_from_the_first_line_of_stdin(
    bare_shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("check-connection", "--url", simulated.url, "-u", "admin", "--password-stdin")
    for typed, code in (
        ("simulated-secret\n", 0),
        ("simulated-secret\r\nmore", 0),
        ("simulated-secret", 0),
        ("no", 3),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert bare_shell(*command).code == code
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    ended = bare_shell(*command)
    assert (ended.code, ended.out) == (2, "")
    assert "--password-stdin found no password" in ended.err


def test_a_saved_profile_is_used_by_its_name_and_by_default(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    from asynccvat.settings.profiles import profiles_path  # noqa: PLC0415 - where the test's own is

    path = profiles_path()
    path.parent.mkdir(parents=True, mode=0o700)
    lab = {"server": simulated.url, "token": simulated.token}
    gone = {"server": "http://127.0.0.1:1", "token": simulated.token}
    document = {"version": 1, "profiles": {"lab": lab, "gone": gone}, "default_profile": "gone"}
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    assert bare_shell("check-connection").code == 4
    assert bare_shell("check-connection", "--profile", "lab").code == 0
    assert bare_shell("--profile", "lab", "check-connection").code == 0
    assert bare_shell("check-connection", "--url", simulated.url).code == 0
    path.chmod(0o644)
    ended = bare_shell("check-connection", "--profile", "lab")
    assert (ended.code, ended.out) == (2, "")
    assert "chmod 600" in ended.err


def test_a_settings_file_whose_password_others_can_read_is_warned_of(
    bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"url: {simulated.url}\nusername: admin\npassword: simulated-secret\n")
    file.chmod(0o644)
    ended = bare_shell("list-tasks", "--json")
    assert ended.code == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("warning: server.yaml, line 3: others can read this secret")


def test_without_a_terminal_a_missing_password_is_not_asked_for(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    ended = bare_shell("list-tasks", "--url", simulated.url, "-u", "admin")
    assert ended.code == 2
    assert "CVAT_PASSWORD" in ended.err


@pytest.mark.parametrize(("typed", "code"), [("simulated-secret", 0), ("", 2), ("wrong", 3)])
def test_on_a_terminal_a_missing_password_is_asked_for_and_not_shown(
    simulated: SimulatedServer, typed: str, code: int, tmp_path: Path
) -> None:
    outer, inner = pty.openpty()
    with os.fdopen(outer, "r+b", buffering=0) as terminal:
        command = subprocess.Popen(
            [*ASYNCCVAT, "check-connection", "--url", simulated.url, "-u", "admin"],
            stdin=inner,
            stdout=subprocess.PIPE,
            stderr=inner,
            start_new_session=True,
            cwd=tmp_path,
            env={name: text for name, text in os.environ.items() if not name.startswith("CVAT_")},
        )
        os.close(inner)
        shown = b""
        while not shown.endswith(b": "):
            shown += terminal.read(100) or b""
        assert f"Password of admin at {simulated.url}" in shown.decode()
        terminal.write(typed.encode() + b"\n")
        out, _ = command.communicate(timeout=60)
        assert command.returncode == code
        assert (b"logged in as admin" in out) == (code == 0)
        if typed:
            assert typed.encode() not in terminal.read(1000)


@pytest.mark.parametrize(("typed", "code"), [("admin", 0), ("", 2)])
def test_on_a_terminal_a_missing_user_is_asked_for_once(
    bare_shell: Shell,
    simulated: SimulatedServer,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
) -> None:
    questions: list[str] = []

    def question(prompt: str, stream: object) -> str:
        del stream
        questions.append(prompt)
        return "simulated-secret"

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", question)
    ended = bare_shell("list-tasks", "--url", simulated.url, "--json")
    assert ended.code == code
    assert f"User name at {simulated.url}: " in ended.err
    assert len(questions) == (1 if typed else 0)
    assert ("no credentials are given" in ended.err) == (not typed)


def test_on_a_terminal_a_password_of_stdin_is_asked_for(
    bare_shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: "simulated-secret")
    command = ("check-connection", "--url", simulated.url, "-u", "admin", "--password-stdin")
    assert bare_shell(*command).code == 0


@pytest.mark.parametrize("given_up", [EOFError, KeyboardInterrupt])
def test_no_answer_to_the_password_question_stops_the_command(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, given_up: type[BaseException]
) -> None:
    def question(_prompt: str, stream: object) -> str:
        assert stream is sys.stderr
        raise given_up

    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", question)
    assert bare_shell("formats", "--url", "http://127.0.0.1:1", "-u", "ann").code == 130


def test_a_question_is_stopped_by_a_signal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    monkeypatch.setattr(CvatClient, "projects", slow)
    ended = shell("list-projects")
    assert (ended.code, ended.out, ended.err) == (130, "", "Stopped.\n")


def test_with_v_the_causes_are_shown(shell: Shell) -> None:
    lines = shell("formats", "--url", "http://127.0.0.1:1", "-v").err.splitlines()
    assert lines[0].startswith("Error: ")
    assert len(lines) > 1
    assert all(line.startswith("  because of ") for line in lines[1:])
    before = shell("-v", "formats", "--url", "http://127.0.0.1:1").err.splitlines()
    assert before == lines


def test_a_reader_that_leaves_is_no_error(simulated: SimulatedServer) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [
                *ASYNCCVAT,
                "list-tasks",
                "--url",
                simulated.url,
                "-u",
                "admin",
                "-p",
                "simulated-secret",
            ],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert ended.stderr == b""


def test_a_reader_that_leaves_at_the_very_end_is_no_error_either(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave() -> None:
        raise BrokenPipeError

    given_up: list[bool] = []
    monkeypatch.setattr("asynccvat.cli.output.flush", leave)
    monkeypatch.setattr("asynccvat.cli.output.give_up_stdout", lambda: given_up.append(True))
    ended = bare_shell("--version")
    assert (ended.code, ended.err, given_up) == (0, "", [True])


def test_a_port_that_is_taken_is_reported(bare_shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = bare_shell("simulate", "--tasks", 1, "--port", taken.getsockname()[1])
    assert ended.code == 2
    assert "cannot be listened on at 127.0.0.1: address already in use." in ended.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.NotFoundError("x", status=404), 2),
        (errors.ResponseError("x", status=400), 2),
        (errors.StoreError("x"), 2),
        (errors.AuthenticationError("x", status=401), 3),
        (errors.PermissionDeniedError("x", status=403), 3),
        (errors.ConnectError("x"), 4),
        (errors.StallError("x"), 4),
        (errors.ServerError("x", status=502), 4),
        (errors.RateLimitError("x", status=429), 4),
        (errors.ProtocolError("x"), 4),
        (errors.StoreLockedError("x"), 5),
        (errors.ForeignFolderError("x"), 5),
        (errors.DiskFullError("x"), 1),
        (errors.ExportFailedError("x"), 1),
        (errors.IntegrityError("x"), 1),
        (ZeroDivisionError("x"), 70),
    ],
)
def test_every_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_codes.exit_code(error) == code


def outcome(action: Action) -> TaskOutcome:
    return TaskOutcome(task_id=1, action=action, reason="new", error=errors.ExportError("no"))


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (RunReport(), 0),
        (RunReport(outcomes=(outcome(Action.KEPT),)), 0),
        (RunReport(outcomes=(outcome(Action.FAILED), outcome(Action.KEPT))), 1),
        (RunReport(listing_complete=False), 1),
        (RunReport(interrupted=True), 1),
        (RunReport(guard="too many"), 5),
        (RunReport(guard="too many", outcomes=(outcome(Action.FAILED),)), 1),
        (RunReport(interrupted=True, stopped_by=errors.ConnectError("gone")), 4),
        (RunReport(interrupted=True, stopped_by=errors.OutageError("gone")), 4),
        (RunReport(interrupted=True, stopped_by=errors.QueueStuckError("stuck")), 4),
        (RunReport(interrupted=True, stopped_by=errors.TimeLimitError("over")), 1),
    ],
)
def test_every_report_has_its_code(report: RunReport, code: int) -> None:
    assert exit_codes.report_code(report) == code


def test_a_bug_is_reported_as_one_and_its_traceback_only_with_verbose() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    short = list(exit_codes.explain(caught.value, verbose=False))
    long = list(exit_codes.explain(caught.value, verbose=True))
    assert "ZeroDivisionError" in short[0]
    assert "-v" in short[1]
    assert any("1 / 0" in line for line in long)
    several = ExceptionGroup("several", [ExceptionGroup("more", [caught.value])])
    assert "ZeroDivisionError" in next(iter(exit_codes.explain(several, verbose=False)))


def test_a_summary_shows_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    write_summary(RunReport(seconds=2, requests=1), "data/")
    report = RunReport(
        outcomes=(outcome(Action.FETCHED), outcome(Action.FAILED)),
        interrupted=True,
        listing_complete=False,
        seconds=75,
        requests=7,
        transferred=2048,
    )
    write_summary(report, "data/")
    assert capsys.readouterr().out.splitlines() == [
        "Done in 2.0 s: 0 tasks (nothing to do), 0 B received, 1 request: data/",
        (
            "Interrupted after 1:15: 2 tasks (1 fetched, 1 failed), 2.0 KiB received, "
            "7 requests: data/"
        ),
        (
            "The list of tasks kept changing while it was read, or tasks in it cannot be read: "
            "some tasks may be missing. Run the command again."
        ),
        "1 failed, by cause:",
        "  task 1: no.",
    ]


def test_a_report_that_can_no_longer_be_written_is_reported_and_hides_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not output.save_json({}, tmp_path / "absent" / "report.json")
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("warning: ")
    assert "No such file" in err


def test_an_event_log_that_fills_its_disk_says_so_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here, which is a disk without room")
    log = output.EventLog(full)
    log.write({"event": "warned"}, "2026-03-31T12:00:00Z")
    log.write({"event": "warned"}, "2026-03-31T12:00:01Z")
    log.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "No space left" in err

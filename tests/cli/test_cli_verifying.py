"""`asynccvat verify`: every kind of problem as a user sees it, and the exit codes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import data_of

import asynccvat
from asynccvat import events
from asynccvat.cli.verify_progress import VerifyCounts, problem_lines, summary
from asynccvat.core.plans.verify import VerifyReport
from asynccvat.core.problems import FileState, ProblemKind, VerifyProblem
from asynccvat.fs import files
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.store import MirrorStore

if TYPE_CHECKING:
    from command_line import Shell

pytestmark = pytest.mark.proof("Verify")

IMAGE = "images/default/street_0000.jpg"
FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatedServer, Path]]:
    """A server of five tasks, and an undamaged mirror of it."""
    path = tmp_path_factory.mktemp("template") / "data"
    with serve_in_thread(SimulatorOptions(tasks=5, frames=2)) as server:

        async def mirror() -> None:
            async with asynccvat.CvatClient(server.url, token=server.token) as client:
                spec = asynccvat.ExportSpec("COCO 1.0", images=True)
                options = asynccvat.MirrorOptions(durable=False)
                report = await asynccvat.mirror(client, path, None, spec, options=options)
                report.raise_for_failures()

        asyncio.run(mirror())
        yield server, path


@pytest.fixture
def data(template: tuple[SimulatedServer, Path], tmp_path: Path) -> Path:
    """A copy of that mirror in the shell's working directory."""
    shutil.copytree(template[1], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def online(
    bare_shell: Shell, template: tuple[SimulatedServer, Path], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """A shell whose environment names that server."""
    monkeypatch.setenv("CVAT_URL", template[0].url)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", template[0].token)
    return bare_shell


def rot(file: Path) -> None:
    """Change a byte as a failing drive does: the modification time stays."""
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def damage(data: Path) -> dict[str, str]:
    """Damage of each kind, notes excluded; the line that `verify` writes for each."""
    rot(data / "task1" / IMAGE)
    with (data / "task2" / IMAGE).open("ab") as file:
        file.write(b"edited")
    os.utime(data / "task2" / IMAGE, ns=(0, 0))
    shutil.rmtree(data / "task3/images")
    (data / "task4" / IMAGE).unlink()
    (data / "task4" / IMAGE).mkdir()
    (data / ".asynccvat/receipts/5.json").write_text("{}\n")
    return {
        f"task1/{IMAGE}": "corrupted",
        f"task2/{IMAGE}": "edited",
        "task3/images/": "missing",
        f"task4/{IMAGE}": "replaced",
        ".asynccvat/receipts/5.json": "damaged receipt",
    }


def kinds(lines: list[str]) -> dict[str, str]:
    return {line.split(": ")[1]: line.split(": ")[0] for line in lines}


def test_a_correct_mirror_is_one_line_and_needs_no_server(bare_shell: Shell, data: Path) -> None:
    ended = bare_shell("verify", "data")
    assert (ended.code, ended.err) == (0, "")
    (line,) = ended.out.splitlines()
    assert line.startswith("Done in ")
    assert "5 tasks, 15 files, " in line
    assert line.endswith(" read (no problems): data")
    assert bare_shell("verify", data, "--quiet").out == ""


def test_it_loads_no_network_and_no_settings(data: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "asynccvat", "verify", str(data)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "asynccvat.commands.verify.inspection" in loaded
    assert not loaded & {"aiohttp", "yaml", "pydantic", "asynccvat.client", "asynccvat.settings"}


def test_every_kind_of_problem_is_a_line_with_its_path_and_reason(
    bare_shell: Shell, data: Path
) -> None:
    wrong = damage(data)
    (data / "mine.txt").touch()
    os.utime(data / "task3/annotations/instances_default.json")
    ended = bare_shell("verify", "data")
    *lines, last = ended.out.splitlines()
    notes = {
        "mine.txt": "foreign",
        "task5/": "foreign",
        "task3/annotations/instances_default.json": "touched",
    }
    assert (ended.code, ended.err) == (1, "")
    assert kinds(lines) == wrong | notes
    assert any("although its modification time has not changed" in line for line in lines)
    assert any("modified 1970-01-01 00:00:00Z" in line for line in lines)
    assert "1 missing, 1 edited, 1 corrupted, 1 replaced, 1 damaged receipt, 2 foreign" in last
    quiet = bare_shell("verify", "data", "-q")
    assert kinds(quiet.out.splitlines()) == wrong
    report = bare_shell("verify", "data", "--json").json
    assert not report["ok"]
    assert {one["path"]: one["kind"] for one in report["problems"]} == wrong | notes
    lines = bare_shell("verify", "data", "--jsonl").out.splitlines()
    assert {one["path"]: one["kind"] for one in map(json.loads, lines)} == wrong | notes
    assert bare_shell("verify", "data", "-t", "1,2", "--quiet").out.count("\n") == 2
    assert bare_shell("verify", "data", "--folder", "task3", "--threads", 1, "-q").code == 1


def test_its_log_and_its_reports_tell_what_it_found(
    bare_shell: Shell, data: Path, tmp_path: Path
) -> None:
    (data / "task1" / IMAGE).unlink()
    (data / "task1" / "annotations/instances_default.json").unlink()
    (data / "notes.txt").write_text("mine")
    files = ("--log-json", "log.jsonl", "--report", "page.html", "--report-json", "report.json")
    ended = bare_shell("verify", "data", *files)
    assert ended.code == 1
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert [record["event"] for record in log if record["event"] != "verify_progress"] == [
        "command_started",
        "verify_started",
        *3 * ["problem_found"],
        "verify_finished",
    ]
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["counts"] == {"missing": 2, "foreign": 1}
    page = data_of(tmp_path / "page.html")
    assert page["head"]["counts"] == {"intact": 4, "failed": 1}
    assert (page["head"]["command"], page["head"]["state"]) == ("verify", "failed")
    assert page["table"]["name"] == ["task1/annotations/instances_default.json"]
    assert [(group["error"], group["count"]) for group in page["failures"]] == [("missing", 1)]
    assert "missing and 1 more" in page["table"]["words"]
    assert page["warnings"] == ["foreign: notes.txt: not in any receipt, so assumed to be yours"]
    bare_shell("report", "log.jsonl", "-o", "later.html")
    assert data_of(tmp_path / "later.html")["failures"] == page["failures"]


def test_the_page_of_a_repair_shows_what_it_fetched(
    online: Shell, data: Path, tmp_path: Path
) -> None:
    (data / "task1" / IMAGE).unlink()
    assert online("verify", "data", "--repair", "--report", "page.html").code == 0
    page = data_of(tmp_path / "page.html")
    assert page["head"]["counts"] == {"intact": 4, "fetched": 1}
    assert (page["head"]["state"], page["failures"]) == ("done", [])


def test_the_page_of_a_folder_without_receipts_says_so(
    bare_shell: Shell, data: Path, tmp_path: Path
) -> None:
    for receipt in (data / ".asynccvat/receipts").iterdir():
        receipt.unlink()
    assert bare_shell("verify", "data", "--report", "page.html").code == 1
    head = data_of(tmp_path / "page.html")["head"]
    assert (head["state"], head["tasks"]) == ("incomplete", 0)
    assert "nothing could be compared" in head["explanation"]


def test_a_report_that_cannot_be_written_is_a_failure(bare_shell: Shell, data: Path) -> None:
    assert data.is_dir()
    ended = bare_shell("verify", "data", "--report-json", "missing/report.json")
    assert ended.code != 0
    assert "missing/report.json" in ended.err


def test_notes_are_failures_only_with_strict(bare_shell: Shell, data: Path) -> None:
    (data / "mine").mkdir()
    assert bare_shell("verify", "data").code == 0
    strict = bare_shell("verify", "data", "--strict", "--quiet")
    assert (strict.code, strict.out) == (
        1,
        "foreign: mine/: not in any receipt, so assumed to be yours\n",
    )
    for number in range(20):
        (data / f"mine{number:02}").touch()
    *lines, _ = bare_shell("verify", "data").out.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "foreign: 11 more; --json names them all"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("",), "DEST is empty"),
        ((".",), "it holds no receipts"),
        (("data", "--json", "--jsonl"), "one form"),
        (("data", "--status", "completed"), "--status selects which of the server's tasks"),
        (("data", "--against-server", "--name", "x", "-t", "1"), "--name"),
        (("data", "-t", "x"), "--task-id"),
        (("data", "--folder", "job*"), "matches 'job*'"),
        (("data", "--threads", "0"), "--threads"),
        (("data", "--repair"), "CVAT_URL"),
    ],
)
def test_contradictions_are_usage_errors(
    bare_shell: Shell, data: Path, arguments: tuple[str, ...], told: str
) -> None:
    assert data.exists()
    ended = bare_shell("verify", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_damage_is_repaired_and_the_code_reflects_the_repaired_state(
    online: Shell, data: Path, template: tuple[SimulatedServer, Path]
) -> None:
    wrong = damage(data)
    ended = online("verify", "data", "--repair")
    assert ended.code == 0
    *lines, last = ended.out.splitlines()
    assert kinds([line.removeprefix("repaired: ") for line in lines]) == wrong
    assert "(5 repaired, no problems), " in last
    assert last.endswith(", 2 items in .asynccvat/kept: data")
    assert "warning: task 2: files of 'data/task2' that were edited" in ended.err
    for path in template[1].glob("task*/**/*"):
        if path.is_file():
            assert (data / path.relative_to(template[1])).read_bytes() == path.read_bytes()
    assert online("verify", "data", "--quiet", "--strict").code == 0
    with (data / "task1" / IMAGE).open("ab") as file:
        file.write(b"edited")
    os.utime(data / "task1" / IMAGE, ns=(0, 0))
    quiet = online("verify", "data", "--repair", "--quiet")
    assert (quiet.code, quiet.out) == (0, "")
    assert quiet.err.startswith("warning: task 1: files of 'data/task1' that were edited")


def test_a_repair_of_a_task_that_the_server_no_longer_has_fails(
    online: Shell, data: Path, template: tuple[SimulatedServer, Path]
) -> None:
    shutil.copy(data / ".asynccvat/receipts/1.json", data / ".asynccvat/receipts/99.json")
    receipt = data / ".asynccvat/receipts/99.json"
    receipt.write_bytes(receipt.read_bytes().replace(b'"task_id":1,', b'"task_id":99,', 1))
    receipt.write_bytes(receipt.read_bytes().replace(b'"task1"', b'"task99"', 1))
    ended = online("verify", "data", "--repair")
    assert ended.code == 1
    assert "failed: cannot mirror task 99: it does not exist" in ended.err
    assert ended.out.startswith("missing: task99/: not found (3 files)\n")
    against = online("verify", "data", "--against-server", "-q")
    assert "gone: task99/: deleted on the server" in against.out
    assert template[0].tasks.keys() == {1, 2, 3, 4, 5}


def test_against_the_server_differences_are_reported(online: Shell, data: Path) -> None:
    assert online("verify", "data", "--against-server", "--status", "annotation").code == 0
    head, _, rest = (data / ".asynccvat/receipts/2.json").read_text().partition("\n")
    old = json.loads(head) | {"updated_date": "2020-01-01T00:00:00Z"}
    (data / ".asynccvat/receipts/2.json").write_text(f"{json.dumps(old)}\n{rest}")
    (data / ".asynccvat/receipts/3.json").unlink()
    shutil.rmtree(data / "task3")
    ended = online("verify", "data", "--against-server")
    assert ended.code == 1
    *lines, _ = ended.out.splitlines()
    assert kinds(lines) == {"task 3": "not mirrored", "task2/": "stale"}
    assert "mirrored as of 2020-01-01T00:00:00Z" in ended.out
    assert online("verify", "data", "--against-server", "-t", "1").code == 0


@pytest.mark.usefixtures("data")
def test_a_list_that_keeps_changing_is_a_failure_with_its_reason(
    online: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = asynccvat.CvatClient.tasks

    async def changing(
        client: asynccvat.CvatClient, selection: asynccvat.Selection
    ) -> asynccvat.models.TaskListing:
        return dataclasses.replace(await listing(client, selection), complete=False)

    monkeypatch.setattr(asynccvat.CvatClient, "tasks", changing)
    ended = online("verify", "data", "--against-server")
    assert ended.code == 1
    assert "warning: the listing was incomplete" in ended.err
    (line,) = ended.out.splitlines()
    assert " read (not all compared with the server): data" in line
    report = online("verify", "data", "--against-server", "--json").json
    assert (report["ok"], report["listing_complete"], report["problems"]) == (False, False, [])


def test_verify_uses_the_exit_codes_of_every_command(
    online: Shell, data: Path, template: tuple[SimulatedServer, Path]
) -> None:
    server, _ = template
    rot(data / "task1" / IMAGE)
    wrong_token = online("verify", "data", "--repair", "--token", "a" * 40)
    assert wrong_token.code == 3
    assert online("verify", "data", "--repair", "--url", "http://127.0.0.1:1").code == 2
    place = data / ".asynccvat/destination.json"
    place.write_text(place.read_text().replace(server.url, "http://127.0.0.1:1"))
    for option in ("--repair", "--against-server"):
        gone = online("verify", "data", option, "--url", "http://127.0.0.1:1")
        assert (gone.code, gone.out) == (4, "")
        assert "127.0.0.1:1" in gone.err
    place.write_text(place.read_text().replace("http://127.0.0.1:1", server.url))

    async def locked() -> None:
        async with MirrorStore.open(data, origin=server.url, organization=None):
            ended = await asyncio.to_thread(online, "verify", "data", "--repair")
            assert ended.code == 5
            assert ended.out.startswith(f"corrupted: task1/{IMAGE}: ")
            assert "is being written by" in ended.err

    asyncio.run(locked())


def test_a_repair_that_the_server_stops_has_the_code_of_what_stopped_it(
    online: Shell, data: Path, template: tuple[SimulatedServer, Path]
) -> None:
    server, _ = template
    rot(data / "task1" / IMAGE)
    server.faults.add(Fault(method="POST", path="/dataset/export", status=401, times=None))
    try:
        ended = online("verify", "data", "--repair", "--jsonl")
    finally:
        server.faults.clear()
    assert ended.code == 3
    assert json.loads(ended.out)["path"] == f"task1/{IMAGE}"
    assert "Error: " in ended.err


@pytest.mark.usefixtures("data")
def test_a_signal_stops_it_and_the_same_command_continues(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.core.plans.verify.SLICE_BYTES", 1)
    reading = files.read_into
    read: list[int] = []

    def read_into(fd: int, buffer: memoryview) -> int:
        got = reading(fd, buffer)
        read.append(got)
        if len(read) == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return got

    monkeypatch.setattr(files, "read_into", read_into)
    ended = bare_shell("verify", "data", "--threads", 1)
    assert ended.code == 130
    assert ended.out.startswith("Interrupted after ")
    assert "Run the same command again to continue." in ended.err
    ended = bare_shell("verify", "data")
    assert ended.code == 0
    assert " of them checked before" in ended.out
    assert len(read) < 15 + 8 + 3


@pytest.fixture
def much_to_tell(data: Path) -> tuple[str, ...]:
    """The command, with far more output than a pipe's buffer holds."""
    for number in range(1000):
        (data / f"task1/{number:04}-{'x' * 100}").touch()
    return (sys.executable, "-m", "asynccvat", "verify", str(data), "--jsonl")


def was_ended(data: Path) -> bool:
    """Whether a verification was interrupted and left its journal."""
    return (data / ".asynccvat/verify.journal").exists()


def test_a_reader_that_leaves_ends_it_silently(much_to_tell: tuple[str, ...], data: Path) -> None:
    verifying = subprocess.Popen(much_to_tell, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert verifying.stdout is not None
    assert verifying.stderr is not None
    with verifying.stdout, verifying.stderr:
        assert json.loads(verifying.stdout.readline())["kind"] == "foreign"
        verifying.stdout.close()
        assert verifying.stderr.read() == b""
    assert verifying.wait(timeout=60) == 1
    assert was_ended(data)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_stdout_ends_it_with_one_line(much_to_tell: tuple[str, ...], data: Path) -> None:
    said = "Error: cannot write to stdout: No space left on device\n"
    for arguments, ends in ((much_to_tell, True), (much_to_tell[:-1], False)):
        with FULL.open("w") as full:
            ended = subprocess.run(
                arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
            )
        assert (ended.returncode, ended.stderr) == (1, said)
        # A table of problems is written at the end.
        assert was_ended(data) is ends


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_stderr_does_not_lose_the_report(much_to_tell: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        ended = subprocess.run(
            (*much_to_tell[:-1], "--json", "--verbose"),
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["counts"] == {"foreign": 1000}


# --- what is shown -----------------------------------------------------------------------------


def test_progress_shows_files_bytes_the_rate_and_the_time_left() -> None:
    shown = VerifyCounts(started=0.0)
    assert (shown.overall(1.0), shown.fraction, shown.total) == ("reading receipts", 0.0, None)
    shown.apply(events.VerifyStarted(tasks=3, files=10, bytes=4096, resumed=2), 0.0)
    assert shown.overall(1.0) == "0/10 files, 0 B of 4.0 KiB"
    shown.apply(events.VerifyProgress(files=5, read=1024), 0.0)
    assert shown.overall(2.0) == "5/10 files, 1.0 KiB of 4.0 KiB, 512 B/s, 6.0 s left"
    assert shown.fraction == 0.25
    assert shown.stages(0.0) == "0 problems, 2 tasks checked before"
    for kind in (ProblemKind.MISSING, ProblemKind.FOREIGN):
        shown.apply(events.ProblemFound(VerifyProblem(kind=kind, path="x")), 0.0)
    shown.apply(events.VerifyProgress(files=5, read=3072), 0.0)
    assert shown.overall(4.0) == "10/10 files, 4.0 KiB of 4.0 KiB, 1.0 KiB/s"
    shown.resumed = 0
    assert shown.stages(0.0) == "1 problem"
    shown.apply(events.RepairStarted(tasks=1), 0.0)
    assert shown.overall(4.0) == "repairing: listing tasks"
    shown.apply(events.ListingRead(tasks=1, complete=True), 0.0)
    assert shown.overall(4.0) == "repairing: planning"
    assert shown.fraction == 0.0
    assert (shown.stages(0.0), shown.details(0.0)) == ("", [])


def test_files_are_counted_if_there_are_no_bytes_to_read() -> None:
    shown = VerifyCounts(started=0.0)
    shown.apply(events.VerifyStarted(tasks=0, files=0, bytes=0, resumed=0), 0.0)
    assert shown.fraction == 0.0
    shown.apply(events.VerifyStarted(tasks=1, files=4, bytes=0, resumed=1), 0.0)
    shown.apply(events.VerifyProgress(files=1, read=0), 0.0)
    shown.apply(events.Warned("something"), 0.0)
    assert shown.fraction == 0.25


def test_names_from_the_disk_are_written_without_control_characters() -> None:
    problem = VerifyProblem(kind=ProblemKind.FOREIGN, path="a\x1b[31m")
    (line,) = problem_lines(VerifyReport(problems=(problem,)), notes=True, repaired=True)
    assert "\x1b" not in line
    assert list(problem_lines(VerifyReport(problems=(problem,)), notes=False, repaired=True)) == []


def test_a_summary_shows_how_it_ended() -> None:
    stopped = VerifyReport(interrupted=True, stopped_by=asynccvat.StoreError("x"), seconds=1)
    assert summary(stopped, "d") == "Stopped after 1.0 s: 0 tasks, 0 files, 0 B read: d"


def test_events_of_a_verification_are_json() -> None:
    state = FileState(1, 2, 3)
    problem = VerifyProblem(kind=ProblemKind.EDITED, path="a", expected=state, found=state)
    told = events.to_json(events.ProblemFound(problem))
    assert (told["event"], told["kind"], told["path"]) == ("problem_found", "edited", "a")
    report = events.to_json(events.VerifyFinished(VerifyReport(problems=(problem,))))
    assert (report["event"], report["counts"]) == ("verify_finished", {"edited": 1})
    assert "problems" not in report

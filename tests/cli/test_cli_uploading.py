"""`upload` with the real engine, against the simulated server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from official_clients import needs_sdk, run_script

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

READ_BACK = """
import json, sys
from cvat_sdk import make_client

given = json.loads(sys.argv[1])
with make_client(given["url"], credentials=(given["username"], given["password"])) as client:
    shapes = client.tasks.retrieve(1).get_annotations().shapes
print(json.dumps([[shape.frame, shape.occluded, shape.points] for shape in shapes]))
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change and break it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=4, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def edit(path: Path) -> None:
    text = path.read_text("utf-8")
    assert 'occluded="0"' in text
    path.write_text(text.replace('occluded="0"', 'occluded="1"'), "utf-8")


@pytest.fixture
def edited(shell: Shell, own: SimulatedServer, tmp_path: Path) -> Path:
    """A mirror in which the second task was edited."""
    del own
    assert shell("mirror", "data", "--no-fsync").code == 0
    edit(tmp_path / "data" / "task2" / "annotations.xml")
    return tmp_path / "data"


def test_edited_files_of_a_mirror_are_uploaded_and_fetched_once(
    shell: Shell, own: SimulatedServer, edited: Path
) -> None:
    ended = shell("upload", "--all", "-i", edited, "--no-fsync")
    assert ended.code == 0
    (line,) = ended.out.splitlines()
    assert "4 tasks (1 uploaded, 3 unchanged)" in line
    assert " sent, " in line
    assert line.endswith(own.url)
    assert "1 fetched, 3 unchanged" in shell("mirror", "data", "--no-fsync").out
    assert "4 unchanged" in shell("mirror", "data", "--no-fsync").out


def test_options_reach_the_engine(shell: Shell, own: SimulatedServer, edited: Path) -> None:
    ended = shell(
        *("upload", "-t", "2,3", "-i", edited, "-f", "CVAT for images 1.1", "--mode", "replace"),
        *("--concurrency", 1, "--transfers", 1, "--retries", 0, "--import-timeout", "1h"),
        *("--folder-prefix", "task", "--force", "--break-lock", "--no-fsync", "--json"),
    )
    assert ended.code == 0
    assert {task["task_id"]: task["action"] for task in ended.json["tasks"]} == {
        2: "uploaded",
        3: "uploaded",
    }
    assert len(own.imports) == 2


def test_a_zip_that_would_empty_a_task_is_refused_before_a_byte_is_sent(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("a.txt", b"no annotations")
    with zipfile.ZipFile(tmp_path / "page.zip", "w") as archive:
        archive.writestr("annotations.xml", b"<html>x</html>")
    broken = bytearray((tmp_path / "page.zip").read_bytes())
    broken[broken.index(b"PK\x01\x02")] = 0
    (tmp_path / "broken.zip").write_bytes(broken)
    pairs = [f"--pair={n}={name}.zip" for n, name in enumerate(("other", "page", "broken"), 1)]
    ended = shell("upload", *pairs)
    assert ended.code == 1
    assert [line.partition(".zip'")[2][:30] for line in ended.err.splitlines()] == [
        ": it is a zip without an XML f",
        ": it begins with <html> and CV",
        ": it is a zip that cannot be r",
    ]
    assert own.imports == []


def test_pairs_are_uploaded_and_each_problem_is_one_line(
    shell: Shell, own: SimulatedServer, edited: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.xml").touch()
    ended = shell(
        *("upload", "--pair", f"1={edited / 'task2'}", "--pair", "3=empty.xml"),
        *("--report-json", "report.json", "--log-json", "log.jsonl"),
    )
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line == (
        "failed: task 3: cannot upload 'empty.xml': it is empty. Make it again, or name another "
        "file."
    )
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["counts"] == {"uploaded": 1, "failed": 1}
    events = [json.loads(line)["event"] for line in Path("log.jsonl").read_text().splitlines()]
    assert "import_requested" in events
    assert len(own.imports) == 1


def test_failed_uploads_are_retried_from_the_report(
    shell: Shell, own: SimulatedServer, edited: Path
) -> None:
    own.faults.add(Fault(importing="fail", task_id=2, message="Boom\n"))
    first = ("upload", "-t", "1,2", "-i", edited, "--report-json", "report.json")
    ended = shell(*first)
    assert ended.code == 1
    assert "the server could not import" in ended.err
    assert "Boom" in ended.err
    again = ("upload", "--failed-from", "report.json", "-i", edited)
    assert "1 task (1 uploaded)" in shell(*again, "--report-json", "report.json").out
    assert "no task failed" in shell(*again).err


def test_a_dry_run_prints_the_plan_and_uploads_nothing(
    shell: Shell, own: SimulatedServer, edited: Path
) -> None:
    ended = shell("upload", "--all", "-i", edited, "--dry-run")
    assert ended.code == 0
    rows = [line.split("\t") for line in ended.out.splitlines()]
    assert rows[0] == ["step", "task", "reason", "path", "name"]
    assert [row[:3] for row in rows if row[0] == "upload"] == [["upload", "2", "edited"]]
    assert "1 to upload, 3 unchanged (-v lists them)" in ended.err
    ended = shell("upload", "-t", "2,99", "-i", edited, "--dry-run")
    assert ended.code == 1
    assert "refused: " in ended.err
    plan = shell("upload", "-t", "2", "-i", edited, "--dry-run", "--json").json
    assert plan["steps"][0]["importer"] == "CVAT 1.1"
    assert own.imports == []


def test_a_conflict_is_a_failure_that_says_what_to_do(
    shell: Shell, own: SimulatedServer, edited: Path
) -> None:
    own.edit_task(2)
    ended = shell("upload", "--all", "-i", edited)
    assert ended.code == 1
    assert "cannot upload to task 2: it changed on the server since it was mirrored" in ended.err
    assert "kept/" in ended.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give -i DIR with"),
        (("-i", "data"), "Name tasks"),
        (("-i", "data", "--all", "-t", "1"), "Remove it or -t"),
        (("--pair", "1=a.xml", "-t", "1"), "--pair names files and their tasks. Remove"),
        (("--pair", "1"), "Write its id and path"),
        (("--pair", "0=a.xml"), "Write its id and path"),
        (("--pair", "1=a", "--pair", "1=b"), "is a second path for task"),
        (("-i", "data", "--all", "--mode", "merge"), "merge"),
        (("-i", "data", "--all", "--import-timeout", "soon"), "Write seconds"),
        (("-i", "data", "--all", "--dry-run", "--log-json", "x"), "--dry-run has no report"),
        (("-i", "absent", "--all"), "cannot read 'absent'"),
        (("-i", "data", "-t", "1", "--format", "COCO 2.0"), "has no such importer. Did you mean"),
        (("-i", "data", "-t", "1", "--mode", "append"), "cannot append"),
    ],
)
def test_contradictions_are_refused_before_anything_is_sent(
    shell: Shell,
    simulated: SimulatedServer,
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    folder = tmp_path / "data" / "task1"
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations.xml").write_bytes(b"<annotations/>")
    (folder / "annotations" / "instances_default.json").write_bytes(b"{}")
    ended = shell("upload", *arguments)
    assert ended.code == 2
    assert says in ended.err
    assert simulated.imports == []


def test_a_running_mirror_is_a_guard(shell: Shell, own: SimulatedServer, edited: Path) -> None:
    own.pause_exports()
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "asynccvat", "mirror", str(edited), "--force"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as mirror:
        while not own.requests or not own.export_queue.queued:
            assert mirror.poll() is None
        ended = shell("upload", "--all", "-i", edited)
        mirror.send_signal(signal.SIGINT)
    assert ended.code == 5


@needs_sdk
def test_the_official_sdk_reads_back_what_was_uploaded(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    frame = own.tasks[1].frames()[1]
    label = own.tasks[1].labels[0].name
    (tmp_path / "one.xml").write_text(
        f'<annotations><image id="1" name="{frame.name}">'
        f'<box label="{label}" occluded="1" xtl="1.5" ytl="2" xbr="30.25" ybr="40"/>'
        "</image></annotations>"
    )
    assert shell("upload", "--pair", "1=one.xml", "--no-backup").code == 0
    given = {"url": own.url, "username": own.username, "password": own.password}
    read = json.loads(run_script(READ_BACK, json.dumps(given), tmp_path))
    assert read == [[1, True, [1.5, 2, 30.25, 40]]]


def test_a_read_only_token_is_named_before_anything_is_sent(
    shell: Shell, own: SimulatedServer, edited: Path
) -> None:
    token = own.create_access_token(read_only=True)
    account = ("--token", token)
    for dry in ((), ("--dry-run",)):
        ended = shell("upload", "--all", "-i", edited, *dry, *account)
        assert ended.code == 3
        assert f"cannot upload at {own.url}: the access token " in ended.err
        assert "is read-only, as CVAT makes them by default." in ended.err
    assert shell("upload", "--undo", "-t", "2", "-i", edited, *account).code == 3
    checked = shell("check-connection", *account)
    assert "The access token is read-only: it mirrors and downloads, but cannot upload.\n" in (
        checked.err
    )
    assert shell("check-connection", "--json", *account).json["read_only"] is True


def test_an_upload_is_undone_and_redone(shell: Shell, own: SimulatedServer, edited: Path) -> None:
    def occluded() -> set[bool]:
        return {shape.occluded for shape in own.tasks[2].annotations().shapes}

    before = occluded()
    assert shell("upload", "--all", "-i", edited, "--no-fsync").code == 0
    assert occluded() != before
    planned = shell("upload", "--undo", "-t", "2", "-i", edited, "--dry-run")
    assert planned.code == 0
    assert planned.out.splitlines()[1].split("\t")[:3] == ["put back", "2", "undo"]
    ended = shell("upload", "--undo", "-t", "2", "-i", edited, "--no-fsync")
    assert ended.code == 0
    assert "1 task (1 put back)" in ended.out
    assert occluded() == before
    redone = shell("upload", "--undo", "-t", "2", "-i", edited, "--no-fsync", "-v")
    assert redone.code == 0
    assert ": put back (undo), 1 file, " in redone.err
    assert occluded() != before
    own.edit_task(2)
    refused = shell("upload", "--undo", "-t", "2", "-i", edited)
    assert refused.code == 1
    assert "failed: cannot undo the upload to task 2: the task changed" in refused.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--undo", "-i", "data"), "Name them, like -t 147"),
        (("--undo", "-t", "1"), "Name the mirror with -i"),
        (("--undo", "-t", "1", "-i", "a", "--backup-dir", "b"), "Name the mirror with -i"),
        (("--undo", "-t", "1", "-i", "a", "--all"), "Remove --all"),
        (("--undo", "-t", "1", "-i", "a", "--pair", "1=a.json"), "Remove -t"),
        (("--undo", "-t", "1", "-i", "a", "-f", "COCO 1.0"), "Remove --format"),
        (("--undo", "-t", "1", "-i", "a", "--no-backup"), "Remove --no-backup"),
        (("--undo", "-t", "1", "-i", "a", "--mode", "append"), "Remove --mode"),
        (("--undo", "-t", "1", "-i", "a", "--lossy"), "Remove --lossy"),
        (("--undo", "-t", "1", "-i", "a", "--allow-empty"), "Remove --allow-empty"),
        (("--undo", "-t", "1", "-i", "a", "--force"), "Remove --force"),
        (("--undo", "-t", "1", "-i", "absent"), "there is no such folder"),
        (("--pair", "1=a.xml", "--backup-dir", "b", "--no-backup"), "Remove one of them"),
    ],
)
def test_an_undo_that_is_not_clear_is_refused(
    shell: Shell, simulated: SimulatedServer, arguments: tuple[str, ...], says: str
) -> None:
    ended = shell("upload", *arguments)
    assert ended.code == 2
    assert says in ended.err
    assert not [call for call in simulated.calls if call.method == "PUT"]


def test_outside_a_mirror_a_folder_keeps_what_is_replaced(
    shell: Shell, own: SimulatedServer, edited: Path, tmp_path: Path
) -> None:
    file = tmp_path / "street.xml"
    file.write_bytes((edited / "task2" / "annotations.xml").read_bytes())
    pair = ("upload", "--pair", "2=street.xml")
    refused = shell(*pair)
    assert refused.code == 1
    assert "nothing keeps them. Name a folder that keeps them with --backup-dir" in refused.err
    assert shell(*pair, "--dry-run").code == 1
    assert own.imports == []
    assert shell(*pair, "--backup-dir", "replaced").code == 0
    assert shell("upload", "--undo", "-t", "2", "--backup-dir", "replaced").code == 0
    assert {shape.occluded for shape in own.tasks[2].annotations().shapes} >= {False}

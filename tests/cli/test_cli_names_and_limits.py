"""Tasks that the disk, a limit or the format refuses: what the command line says and offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.simulator.world.content import GeneratedContent

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=3, frames=2)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def test_names_map_is_offered_and_works(shell: Shell, own: SimulatedServer, tmp_path: Path) -> None:
    own.change_task(1, content=GeneratedContent(names=("images\\cam1\\0001.jpg",)))
    ended = shell("mirror", "data", "--images", "--no-fsync")
    assert ended.code == 1
    assert "Use `mirror --names map` to write it under a safe name.\n" in ended.err
    ended = shell("mirror", "data", "--images", "--no-fsync", "--names", "map")
    assert ended.code == 0
    assert (tmp_path / "data/task1/images/images%5Ccam1%5C0001.jpg").exists()
    assert shell("verify", "data").code == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-members", "2"), ("--max-depth", "1"), ("--max-size", "100"), ("--max-ratio", "0")],
)
@pytest.mark.parametrize("command", [("mirror", "data"), ("download", "-t", "1", "-o", "data")])
def test_a_limit_is_an_option_and_its_refusal_names_it(
    shell: Shell, own: SimulatedServer, command: tuple[str, ...], option: str, value: str
) -> None:
    own.change_task(1, content=GeneratedContent(frame_bytes=40_000_000))
    ended = shell(*command, "--images", "--no-fsync", option, value)
    assert ended.code == 1
    assert f"Raise {option} if you trust it." in ended.err


def test_a_limit_can_be_raised_in_a_run_file(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    (tmp_path / "steps.yaml").write_text(
        "- task: mirror\n  parameters: {dest: data, images: true, max_members: 2}\n"
    )
    ended = shell("run", "steps.yaml")
    assert ended.code == 1
    assert "Raise 'max_members'" in ended.err
    (tmp_path / "steps.yaml").write_text(
        "- task: mirror\n  parameters: {dest: data, images: true, max_members: 3}\n"
    )
    assert shell("run", "steps.yaml").code == 0
    assert len(own.tasks) == 3


def test_a_task_of_another_dimension_is_skipped_and_refused_where_it_was_named(
    shell: Shell, own: SimulatedServer
) -> None:
    own.change_task(2, dimension="3d")
    ended = shell("mirror", "data", "--format", "COCO 1.0", "--no-fsync")
    assert ended.code == 0
    assert "(2 fetched, 1 skipped)" in ended.out
    assert "warning: task 2: the task is 3d, and 'COCO 1.0' holds the annotations" in ended.err
    ended = shell("mirror", "other", "-t", "2", "--format", "COCO 1.0", "--no-fsync")
    assert ended.code == 1
    assert "failed: cannot mirror task 2: the task is 3d" in ended.err
    ended = shell("mirror", "other", "-t", "2", "--format", "COCO 1.0", "--dry-run")
    assert "dimension" in ended.out


def test_a_file_for_tasks_of_another_dimension_is_not_uploaded(
    shell: Shell, own: SimulatedServer
) -> None:
    assert shell("mirror", "data", "-t", "1", "--no-fsync").code == 0
    own.change_task(1, dimension="3d")
    ended = shell("upload", "-i", "data", "-t", "1", "--overwrite", "--lossy")
    assert ended.code == 1
    assert "cannot upload to task 1: the task is 3d, and 'CVAT 1.1' holds" in ended.err
    assert [
        call for call in own.calls if call.method == "POST" and "annotations" in call.path
    ] == []


def test_a_repair_takes_the_limits_that_the_task_needs(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    own.change_task(1, content=GeneratedContent(names=("d/" * 70 + "1.jpg",)))
    raised = ("--max-depth", "100")
    mirror = ("mirror", "data", "-t", "1", "--images", "--no-fsync")
    assert "Raise --max-depth if you trust it." in shell(*mirror).err
    assert shell(*mirror, *raised).code == 0
    (tmp_path / "data/task1/annotations.xml").unlink()
    ended = shell("verify", "data", "--repair")
    assert ended.code == 1
    assert "Raise --max-depth if you trust it." in ended.err
    assert shell("verify", "data", "--repair", *raised).code == 0

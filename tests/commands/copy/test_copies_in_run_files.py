"""Copies as steps of run files."""

from __future__ import annotations

from pathlib import Path

import pytest
from two_servers import TwoServers, two_servers

import asynccvat
from asynccvat.errors import RunFileError
from asynccvat.simulator import SimulatedServer

pytestmark = pytest.mark.anyio


def side(path: Path, server: SimulatedServer) -> Path:
    path.write_text(
        f"url: {server.url}\nusername: {server.username}\npassword: {server.password}\n"
    )
    path.chmod(0o600)
    return path


def steps(folder: Path, both: TwoServers, more: str = "") -> Path:
    old, new = side(folder / "old.yaml", both.old), side(folder / "new.yaml", both.new)
    file = folder / "steps.yaml"
    file.write_text(
        "- task: copy\n"
        f"{more}"
        "  parameters:\n"
        f"    from: {old}\n"
        f"    to: {new}\n"
        "    task_id: [1, 2]\n"
        f"    state: {folder / 'state'}\n"
    )
    return file


async def test_a_step_copies_between_the_servers_that_it_names(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "state") as both:
        file = steps(tmp_path, both)
        (planned,) = await asynccvat.plan_run_file(file)
        assert [plan.to_json()["counts"] for plan in planned.plans] == [{"copy": 2}]
        report = await asynccvat.run_file(file)
        assert report.ok
        assert both.restores() == 2
        (again,) = (await asynccvat.run_file(file)).steps
        assert {one.reason for one in again.outcomes} == {"unchanged"}


async def test_a_side_that_is_missing_stops_the_file(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "state") as both:
        file = steps(tmp_path, both)
        (tmp_path / "new.yaml").unlink()
        with pytest.raises(RunFileError, match="'to': there is no settings file"):
            await asynccvat.run_file(file)


async def test_a_server_of_the_step_is_refused(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "state") as both:
        file = steps(tmp_path, both, f"  server: {{url: {both.old.url}}}\n")
        with pytest.raises(RunFileError, match="by 'from' and 'to': remove 'server'"):
            await asynccvat.run_file(file)


async def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    async with two_servers(tmp_path / "state") as both:
        file = steps(tmp_path, both)
        file.write_text(file.read_text() + "    expect: 2\n")
        with pytest.raises(RunFileError, match="prune is not set"):
            await asynccvat.run_file(file)


async def test_a_copy_that_cannot_begin_fails_its_step_and_leaves_the_other_steps(
    tmp_path: Path,
) -> None:
    async with two_servers(tmp_path / "state") as both:
        file = steps(tmp_path, both)
        text = file.read_text()
        same = text.replace("new.yaml", "old.yaml")
        file.write_text(same + text)
        report = await asynccvat.run_file(file)
        first, second = report.steps
        assert not report.ok
        assert isinstance(first.stopped_by, asynccvat.ConfigError)
        assert "both sides are" in str(first.to_json()["not_begun"])
        assert (first.ok, first.outcomes, second.ok) == (False, (), True)
        assert both.restores() == 2

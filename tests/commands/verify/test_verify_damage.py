"""`verify` names every damage to a mirror and nothing else, and `--repair` repairs it.

Hypothesis draws the damage together with what has to be reported. So the oracle knows what was done
and never reads a receipt.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from zlib import crc32

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from memory_folders import in_memory

import asynccvat as ac
from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Verify")

SPEC = ac.ExportSpec("COCO 1.0", images=True)
TASKS = (1, 2, 3)


@dataclass
class Mirrored:
    """An undamaged mirror, and its server.

    Attributes:
        server: The server.
        path: The mirror; examples get a copy of it.
        tree: What its folders hold, by path.
    """

    server: SimulatedServer
    path: Path
    tree: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.tree = tree(self.path)

    @property
    def client(self) -> ac.CvatClient:
        return ac.CvatClient(self.server.url, token=self.server.token)


def tree(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink() and ".asynccvat" not in path.parts
    }


def archive_with_empty_folders(path: Path) -> None:
    """An archive with empty folders, which receipts do not list."""
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations/instances_default.json", b"{}" * 50)
        for number in range(2):
            archive.writestr(f"images/default/{number}.jpg", bytes([number]) * 400)
        for folder in ("empty", "images/empty", "images/empty/deep"):
            archive.mkdir(folder)


def serving(folder: Path) -> AbstractContextManager[SimulatedServer]:
    """A server of these tasks, of which the last one has such an archive."""
    archives = folder / "archives"
    archive_with_empty_folders(archives / f"task{TASKS[-1]}.zip")
    return serve_in_thread(SimulatorOptions(tasks=len(TASKS) - 1, frames=3, archives=archives))


@pytest.fixture(scope="module")
def mirrored() -> Iterator[Mirrored]:
    with (
        in_memory() as folder,
        serving(folder) as server,
    ):
        path = folder / "mirror"

        async def mirror() -> None:
            async with ac.CvatClient(server.url, token=server.token) as client:
                options = ac.MirrorOptions(durable=False)
                report = await ac.mirror(client, path, None, SPEC, options=options)
                report.raise_for_failures()

        asyncio.run(mirror())
        yield Mirrored(server, path)


# --- what may happen to it ---------------------------------------------------------------------


@dataclass
class Told:
    """What `verify` has to report, and which files of the user must survive.

    Attributes:
        problems: Kind by path.
        touched: Paths whose time alone has changed.
        mine: What the user wrote, and must be somewhere afterwards.
    """

    problems: dict[str, str] = field(default_factory=dict)
    touched: list[str] = field(default_factory=list)
    mine: list[bytes] = field(default_factory=list)

    def kinds(self) -> dict[str, str]:
        """Return problems as the report merges them: many touched files of a task are one."""
        kinds = dict(self.problems)
        for task_id in TASKS:
            of_task = [path for path in self.touched if path.startswith(f"task{task_id}/")]
            if of_task:
                kinds[of_task[0] if len(of_task) == 1 else f"task{task_id}/"] = "touched"
        return kinds


Damage = Callable[[Path, str, Told], None]


def rewritten(file: Path, content: bytes, *, silently: bool) -> None:
    """Change a file's content; `silently` keeps the modification time."""
    status = file.stat()
    file.write_bytes(content)
    moved = 0 if silently else 10**9
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + moved))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def rot(dest: Path, path: str, told: Told) -> None:
    rewritten(dest / path, flipped((dest / path).read_bytes()), silently=True)
    told.problems[path] = "corrupted"


def cut_silently(dest: Path, path: str, told: Told) -> None:
    rewritten(dest / path, (dest / path).read_bytes()[:-7], silently=True)
    told.problems[path] = "corrupted"


def edit(dest: Path, path: str, told: Told) -> None:
    content = flipped((dest / path).read_bytes())
    rewritten(dest / path, content, silently=False)
    told.problems[path] = "edited"
    told.mine.append(content)


def append(dest: Path, path: str, told: Told) -> None:
    content = (dest / path).read_bytes() + path.encode()
    rewritten(dest / path, content, silently=False)
    told.problems[path] = "edited"
    told.mine.append(content)


def touch(dest: Path, path: str, told: Told) -> None:
    rewritten(dest / path, (dest / path).read_bytes(), silently=False)
    told.touched.append(path)


def delete(dest: Path, path: str, told: Told) -> None:
    (dest / path).unlink()
    told.problems[path] = "missing"


def rename(dest: Path, path: str, told: Told) -> None:
    told.mine.append((dest / path).read_bytes())
    (dest / path).rename(dest / f"{path}.bak")
    told.problems |= {path: "missing", f"{path}.bak": "foreign"}


def link(dest: Path, path: str, told: Told) -> None:
    """Replace a file by a link to its copy: a reader that follows links sees no difference."""
    outside = dest.with_name("outside") / f"{crc32(path.encode()):08x}"
    (dest / path).rename(outside)
    (dest / path).symlink_to(outside)
    told.problems[path] = "replaced"


def folder_for_file(dest: Path, path: str, told: Told) -> None:
    (dest / path).unlink()
    (dest / path).mkdir()
    (dest / path / "inside").write_bytes(path.encode())
    told.problems[path] = "replaced"
    told.mine.append(path.encode())


def pipe(dest: Path, path: str, told: Told) -> None:
    (dest / path).unlink()
    os.mkfifo(dest / path)
    told.problems[path] = "replaced"


def add(dest: Path, path: str, told: Told) -> None:
    """Add a file, and a folder with more files."""
    content = b"added to " + path.encode()
    (dest / f"{path}.note").write_bytes(content)
    (dest / f"{path}.more" / "deep").mkdir(parents=True)
    (dest / f"{path}.more" / "deep" / "note").write_bytes(content)
    told.problems |= {f"{path}.note": "foreign", f"{path}.more/": "foreign"}
    told.mine.append(content)


def add_folders(dest: Path, path: str, _told: Told) -> None:
    """Add folders without files, which need not be reported."""
    (dest / f"{path}.empty" / "deep").mkdir(parents=True)


FILE_DAMAGE: tuple[Damage, ...] = (
    rot, cut_silently, edit, append, touch, delete, rename, link, folder_for_file, pipe, add,
    add_folders,
)  # fmt: skip


def delete_folder(dest: Path, path: str, told: Told) -> None:
    shutil.rmtree(dest / path)
    told.problems[f"{path}/"] = "missing"


def rename_folder(dest: Path, path: str, told: Told) -> None:
    (dest / path).rename(dest / f"{path}-mine")
    told.problems |= {f"{path}/": "missing", f"{path}-mine/": "foreign"}


def link_folder(dest: Path, path: str, told: Told) -> None:
    outside = dest.with_name("outside") / f"{crc32(path.encode()):08x}"
    (dest / path).rename(outside)
    (dest / path).symlink_to(outside)
    told.problems[f"{path}/"] = "replaced"


def file_for_folder(dest: Path, path: str, told: Told) -> None:
    shutil.rmtree(dest / path)
    (dest / path).write_bytes(b"instead of " + path.encode())
    told.problems[f"{path}/"] = "replaced"
    told.mine.append(b"instead of " + path.encode())


FOLDER_DAMAGE: tuple[Damage, ...] = (delete_folder, rename_folder, link_folder, file_for_folder)


def _receipt(dest: Path, path: str) -> tuple[Path, str]:
    name = f".asynccvat/receipts/{path.removeprefix('task')}.json"
    return dest / name, name


def zero_receipt(dest: Path, path: str, told: Told) -> None:
    file, name = _receipt(dest, path)
    file.write_bytes(bytes(len(file.read_bytes())))
    told.problems |= {name: "damaged receipt", f"{path}/": "foreign"}


def cut_receipt(dest: Path, path: str, told: Told) -> None:
    """Cut a receipt; its first line still names the folder."""
    file, name = _receipt(dest, path)
    file.write_bytes(file.read_bytes()[:-1])
    told.problems[name] = "damaged receipt"


RECEIPT_DAMAGE: tuple[Damage, ...] = (zero_receipt, cut_receipt)


def strange_file(dest: Path, path: str, told: Told) -> None:
    (dest / f"not-{path}").write_bytes(b"strange")
    (dest / f".asynccvat/not-{path}").write_bytes(b"strange")
    told.problems |= {f"not-{path}": "foreign", f".asynccvat/not-{path}": "foreign"}


Plan = list[tuple[str, Damage]]
"""What is done to which path, in order."""


@st.composite
def damages(draw: st.DrawFn, paths: list[str]) -> Plan:
    """Damage to any of the tasks: to its folder, its receipt, a subfolder, or any of its files."""
    plan: Plan = []
    for task_id in TASKS:
        name = f"task{task_id}"
        own = [path for path in paths if path.startswith(f"{name}/")]
        kind = draw(st.sampled_from(["none", "files", "files", "subfolder", "folder", "receipt"]))
        if kind == "folder":
            plan.append((name, draw(st.sampled_from(FOLDER_DAMAGE))))
        elif kind == "receipt":
            plan.append((name, draw(st.sampled_from(RECEIPT_DAMAGE))))
        elif kind != "none":
            if kind == "subfolder":
                plan.append((f"{name}/images", draw(st.sampled_from(FOLDER_DAMAGE))))
                own = [path for path in own if not path.startswith(f"{name}/images/")]
            hit = draw(st.lists(st.sampled_from(own), unique=True))
            plan += [(path, draw(st.sampled_from(FILE_DAMAGE))) for path in hit]
        if draw(st.integers(0, 9)) == 0:
            plan.append((name, strange_file))
    return plan


class Example:
    """A copy of the mirror that is damaged."""

    def __init__(self, mirrored: Mirrored, plan: Plan) -> None:
        self._held = tempfile.TemporaryDirectory(dir=mirrored.path.parent)
        self.dest = Path(self._held.name) / "mirror"
        self.outside = Path(self._held.name) / "outside"
        shutil.copytree(mirrored.path, self.dest, copy_function=shutil.copy2)
        self.outside.mkdir()
        self.told = Told()
        for path, damage in plan:
            damage(self.dest, path, self.told)
        self.strange = tree(self.outside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.cleanup()


def said(report: ac.VerifyReport) -> dict[str, str]:
    return {problem.path: str(problem.kind) for problem in report.problems}


def paths_of(mirrored: Mirrored) -> list[str]:
    return sorted(mirrored.tree)


def check_naming(mirrored: Mirrored, plan: Plan) -> None:
    with Example(mirrored, plan) as example:
        assert said(asyncio.run(ac.verify(example.dest))) == example.told.kinds()


def check_repair(mirrored: Mirrored, plan: Plan) -> None:
    """Check that the mirror is as it was, and that every other file of the user still exists."""

    async def repair(dest: Path) -> ac.VerifyReport:
        async with mirrored.client as client:
            return await ac.verify(dest, client=client, repair=True)

    with Example(mirrored, plan) as example:
        report = asyncio.run(repair(example.dest))
        assert report.ok, report.problems
        assert {one.path: str(one.kind) for one in report.repaired} == {
            path: kind
            for path, kind in example.told.problems.items()
            if kind not in ("foreign", "touched")
        }
        here = tree(example.dest)
        assert {path: here.get(path) for path in mirrored.tree} == mirrored.tree
        assert tree(example.outside) == example.strange
        everything = {path.read_bytes() for path in example.dest.rglob("*") if path.is_file()}
        assert set(example.told.mine) <= everything
        again = asyncio.run(ac.verify(example.dest))
        assert {problem.kind for problem in again.problems} <= {
            ac.models.ProblemKind.FOREIGN,
            ac.models.ProblemKind.TOUCHED,
        }
        assert said(again) == said(report)


def every_damage(paths: list[str]) -> Iterator[Plan]:
    """Yield each damage alone, for every file and folder that it fits."""
    for path in paths:
        yield from ([(path, damage)] for damage in FILE_DAMAGE)
    for task_id in TASKS:
        name = f"task{task_id}"
        for path in (name, f"{name}/images", f"{name}/annotations", f"{name}/images/default"):
            yield from ([(path, damage)] for damage in FOLDER_DAMAGE)
        yield from ([(name, damage)] for damage in (*RECEIPT_DAMAGE, strange_file))


def test_each_damage_alone_is_named(
    mirrored: Mirrored, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    plans = list(every_damage(paths_of(mirrored)))
    plans = plans if thorough else plans[::9]
    for plan in plans:
        check_naming(mirrored, plan)
    count_cases(len(plans))


def test_any_damage_together_is_named_and_nothing_else_is(
    mirrored: Mirrored, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    cases = 0

    @settings(
        max_examples=4000 if thorough else 30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damages(paths_of(mirrored)))
    def check(plan: Plan) -> None:
        nonlocal cases
        cases += 1
        check_naming(mirrored, plan)

    check()
    count_cases(cases)


def test_any_damage_is_mended_and_nothing_of_yours_is_lost(
    mirrored: Mirrored, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    cases = 0

    @settings(
        max_examples=600 if thorough else 8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damages(paths_of(mirrored)))
    def check(plan: Plan) -> None:
        nonlocal cases
        # Without any receipt, the format is unknown.
        assume(sum(damage is zero_receipt for _, damage in plan) < len(TASKS))
        cases += 1
        check_repair(mirrored, plan)

    check()
    count_cases(cases)


def test_folders_without_files_are_nobody_s_until_a_file_is_in_them(mirrored: Mirrored) -> None:
    with Example(mirrored, []) as example:
        for folder in ("empty", "images/empty/deep"):
            assert (example.dest / "task3" / folder).is_dir()
        assert said(asyncio.run(ac.verify(example.dest))) == {}
        (example.dest / "task3/empty/notes.txt").touch()
        (example.dest / "task3/images/empty/deep/link").symlink_to("nowhere")
        assert said(asyncio.run(ac.verify(example.dest))) == {
            "task3/empty/": "foreign",
            "task3/images/empty/": "foreign",
        }


def test_two_files_that_changed_places_are_both_told(mirrored: Mirrored) -> None:
    with Example(mirrored, []) as example:
        folder = example.dest / "task1/images/default"
        one, other = sorted(folder.iterdir())[:2]
        for number, file in enumerate((one, other)):
            os.utime(file, ns=(number, number))
        one.rename(folder / "aside")
        other.rename(one)
        (folder / "aside").rename(other)
        found = said(asyncio.run(ac.verify(example.dest)))
    assert found == {f"task1/images/default/{file.name}": "edited" for file in (one, other)}

"""Imports run downward: each module knows only the floors below its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "asynccvat"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("core",),
    ("disk_errors", "events", "handles"),
    ("files", "http", "listening", "threads"),
    ("sending", "watcher"),
    ("imports", "sources"),
    ("client", "extract", "store", "settings"),
    ("archives", "comparing", "media"),
    ("exports", "gathering", "runs"),
    ("transfer", "uploads"),
    ("dispatch",),
    ("folders", "mirroring", "uploading"),
    ("engine", "repairing"),
    ("runfiles", "verifying"),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
"""From the ground up. Modules on one floor do not import each other."""

# The simulator stands beside the house: it shares nothing with the client that it judges, and
# only the command line starts it.
BESIDE = "simulator"
MAY_START_THE_SIMULATOR = "cli"

PURE_FORBIDDEN = {
    "aiofiles", "aiohttp", "anyio", "asyncio", "concurrent", "http", "os", "pathlib", "random",
    "secrets", "shutil", "socket", "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
"""What `core` must not import: await, clock, disk, network, randomness."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The part of the house that a file belongs to: a top-level module or folder."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def runtime_imports(module: Path) -> Iterator[str]:
    """Dotted names that a module imports; what only the type checker sees is left out."""
    for node in runtime_nodes(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the floor"
            assert node.module is not None
            if node.module == "asynccvat":
                yield from (f"asynccvat.{alias.name}" for alias in node.names)
            else:
                yield node.module


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from runtime_nodes(node)


def rooms_imported(module: Path) -> set[str]:
    """Parts of the house that a module imports; public names come from `__init__`."""
    rooms: set[str] = set()
    for name in runtime_imports(module):
        parts = name.split(".")
        if parts[0] != "asynccvat":
            continue
        room = parts[1] if len(parts) > 1 else "__init__"
        is_room = (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
        rooms.add(room if is_room else "__init__")
    return rooms - {room_of(module)}


def floor_of(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"{room} has no floor")


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below_its_own(module: Path) -> None:
    room = room_of(module)
    imported = rooms_imported(module)
    if room == BESIDE:
        assert not imported, f"the simulator imports {imported}"
        return
    if room == MAY_START_THE_SIMULATOR:
        imported.discard(BESIDE)
    floor = floor_of(room)
    above = {other for other in imported if floor_of(other) >= floor}
    assert not above, f"{room} imports {above}, which are not below it"


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.name
)
def test_the_core_imports_neither_clock_nor_disk_nor_network(module: Path) -> None:
    roots = {name.split(".")[0] for name in runtime_imports(module)}
    if any(
        isinstance(node, ast.ImportFrom)
        and node.module == "pathlib"
        and {alias.name for alias in node.names} == {"PurePath"}
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
    ):
        # Pure paths are values.
        roots.discard("pathlib")
    assert not roots & PURE_FORBIDDEN


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.name
)
def test_the_core_awaits_nothing(module: Path) -> None:
    tree = ast.parse(module.read_text("utf-8"))
    forbidden = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]


def test_every_part_of_the_house_has_a_floor_and_every_floor_exists() -> None:
    rooms = {room_of(module) for module in modules()}
    assert rooms - {BESIDE} == {room for rooms_ in FLOORS for room in rooms_}


def test_the_documentation_shows_the_same_floors() -> None:
    text = (ROOT / "docs" / "design.md").read_text("utf-8")
    shown = re.findall(r"^\| \d+ \| ([^|]*) \|", text, re.MULTILINE)
    assert tuple(tuple(re.findall(r"`(\w+)`", rooms)) for rooms in shown) == FLOORS

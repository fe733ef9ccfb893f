"""Imports within the simulator run downward, and in no circles.

Every import counts: those inside functions, and those that only the type checker sees, too.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import asynccvat.simulator

PACKAGE = Path(asynccvat.simulator.__file__).parent
NAME = "asynccvat.simulator"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("faults", "options"),
    ("world",),
    ("formats",),
    ("queues",),
    ("wire",),
    ("routes",),
    ("application", "changes", "control", "stats"),
    ("server",),
    ("processes", "threads"),
)
"""From the ground up. Rooms on one floor do not import each other."""

DOORS = {"__init__", "__main__", "pytest_plugin"}
"""Modules that only lead into the simulator; no other module imports them."""


def modules() -> dict[str, Path]:
    """The modules of the simulator, by dotted name below it; packages by their own name."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(name: str) -> set[str]:
    """Dotted names of the simulator's modules that a module imports, also within functions."""
    known = modules()
    found = set()
    for node in ast.walk(ast.parse(known[name].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide the floor"
            candidates = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        else:
            continue
        for candidate in candidates:
            if not f"{candidate}.".startswith(f"{NAME}."):
                continue
            below = candidate.removeprefix(NAME).removeprefix(".")
            module = below if below in known else below.rpartition(".")[0]
            found.add(module or "__init__")
    return found - {name}


def floor_of(module: str) -> int:
    room = module.split(".", maxsplit=1)[0]
    (floor,) = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    return floor


@pytest.mark.parametrize("module", sorted(modules().keys() - DOORS))
def test_a_module_of_the_simulator_imports_only_from_floors_below_its_own(module: str) -> None:
    room = module.split(".", maxsplit=1)[0]
    others = {other for other in imports(module) if other.split(".")[0] != room}
    assert not others & DOORS, f"{module} imports a door"
    above = {other for other in others if floor_of(other) >= floor_of(module)}
    assert not above, f"{module} imports {above}, which are not below it"


def test_no_module_of_the_simulator_imports_itself_by_way_of_others() -> None:
    circles = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circles.append(" -> ".join((*path[path.index(name) :], name)))
            return
        if name in done:
            return
        for other in sorted(imports(name)):
            visit(other, (*path, name))
        done.add(name)

    for name in sorted(modules()):
        visit(name, ())
    assert circles == []


def test_every_room_of_the_simulator_has_a_floor() -> None:
    rooms = {name.split(".")[0] for name in modules()}
    assert rooms - DOORS == {room for rooms_ in FLOORS for room in rooms_}

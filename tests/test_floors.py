"""Imports run downward: each module knows only the floors below its own.

Every import counts: those inside functions, and those that only the type checker sees, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "asynccvat"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("core",),
    ("aio", "events", "fs", "models"),
    ("http", "progress", "settings", "store", "telemetry"),
    ("client", "reports"),
    ("archives",),
    ("transfer",),
    ("commands",),
    ("api",),
    ("runfiles",),
    ("cli",),
)
"""From the ground up. Rooms on one floor do not import each other."""

DOORS = {"__init__": "runfiles", "__main__": "cli"}
"""Modules that only lead into the house, and the highest room that each may open."""

BESIDE = "simulator"
"""It stands beside the house, and shares nothing with the client that it judges."""

MAY_START_THE_SIMULATOR = "cli"

PURE_FORBIDDEN = {
    "aiofiles", "aiohttp", "anyio", "asyncio", "concurrent", "http", "os", "pathlib", "random",
    "secrets", "shutil", "socket", "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
"""What `core` must not import: await, clock, disk, network, randomness.

Pure paths are values. An outcome holds its folder as a text, and hands it out as a `Path`.
"""

COMMANDS_MAY_USE = {
    ("export_to_cloud", "mirror"): "both list tasks, projects or jobs in the same way",
    ("verify", "mirror"): "a repair is a mirror of the damaged tasks",
    ("upload", "inventory"): "a mirror's history says where earlier annotations are",
    ("convert", "inventory"): "a mirror is opened by what it says of itself",
    ("merge", "inventory"): "as for a conversion",
    ("watch", "mirror"): "a round of a watch is a mirror",
    ("restore", "upload"): "annotations are put back by the code that undoes an upload",
    ("import_dataset", "restore"): "imports are noted in a journal as restores are",
    ("create", "upload"): "annotations beside new tasks are uploaded like any others",
    ("copy", "restore"): "a copy ends as a restore at the target, which is asked for once",
}
"""Commands that use another command, each with the reason."""

LATE_IMPORTS = {
    "api/arguments.py": (
        {"asynccvat.client"},
        "a destination is looked at without the modules of the network",
    ),
    "client/internals.py": (
        {
            "asynccvat.client.creations",
            "asynccvat.client.deletions",
            "asynccvat.client.imports",
            "asynccvat.client.media",
            "asynccvat.client.restores",
            "asynccvat.client.upload_file",
        },
        "lists begin without the modules of uploads and media",
    ),
    "commands/watch/listener.py": (
        {"asynccvat.commands.watch"},
        "the numbers for Prometheus need an optional package",
    ),
    "commands/verify/mirrors.py": (
        {"asynccvat.client", "asynccvat.commands.verify"},
        "a mirror is verified without a server, and then the network's modules are not loaded",
    ),
    "commands/verify/request.py": ({"asynccvat.client"}, "as in `commands/verify/mirrors.py`"),
    "commands/verify/run.py": ({"asynccvat.client"}, "as in `commands/verify/mirrors.py`"),
    "fs/files.py": ({"fcntl"}, "Windows has no such module, and only macOS needs it here"),
    "http/connection.py": ({"asynccvat.http.socks"}, "it needs an optional package"),
    "settings/keyring_secrets.py": (
        {"keyring", "keyring.core"},
        "it is an optional package, which takes long to load",
    ),
    "settings/loading.py": (
        {"asynccvat.core.logins", "asynccvat.settings.profiles", "asynccvat.settings.yaml_file"},
        "YAML and logins are not loaded where flags and the environment say everything",
    ),
    "settings/saved_choice.py": (
        {"asynccvat.core.logins", "asynccvat.settings.logins", "asynccvat.settings.profiles"},
        "logins are not loaded where flags and the environment say everything",
    ),
    "settings/sides.py": (
        {"asynccvat.settings.yaml_file"},
        "YAML is not loaded where no side of a copy is a file",
    ),
}
"""By module, what it imports in functions or for the type checker only, and why.

An import at the top is the rule: it shows what a module stands on. No exception may hide a circle;
the tests below look for those.
"""

LATE_IMPORTS_ARE_FREE_IN = {
    "__init__": "public names are loaded when they are first used",
    "cli": "each command loads what it needs, so that `--help` is quick",
}
"""Rooms of which it is a principle, each with the reason."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The part of the house that a file belongs to: a top-level module or folder."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text("utf-8"))


def dotted_imports(module: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports, wherever it does so."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the floor"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def late_imports(module: Path) -> set[str]:
    """The modules that a module imports in functions, or for the type checker only."""
    tree = parsed(module)
    return {
        name
        for late in ast.walk(tree)
        if isinstance(late, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(late, ast.If) and "TYPE_CHECKING" in ast.unparse(late.test))
        for node in ast.walk(late)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }


def rooms_imported(module: Path) -> set[str]:
    """Parts of the house that a module imports; public names come from `__init__`."""
    rooms: set[str] = set()
    for name in dotted_imports(module):
        parts = name.split(".")
        if parts[0] != "asynccvat":
            continue
        room = parts[1] if len(parts) > 1 else "__init__"
        is_room = (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
        rooms.add(room if is_room else "__init__")
    return rooms - {room_of(module)}


def floor_of(room: str) -> float:
    """The floor of a room; a door stands just above the highest room that it may open."""
    if room in DOORS:
        return floor_of(DOORS[room]) + 0.5
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


def test_commands_use_each_other_only_where_it_is_said_why() -> None:
    uses = {
        (own, parts[2])
        for module in sorted((PACKAGE / "commands").rglob("*.py"))
        for own in [module.relative_to(PACKAGE / "commands").parts[0]]
        for name in dotted_imports(module)
        for parts in [name.split(".")]
        if parts[:2] == ["asynccvat", "commands"] and len(parts) > 2 and parts[2] != own
    }
    assert uses == COMMANDS_MAY_USE.keys()


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_import_is_at_the_top_except_where_it_is_said_why(module: Path) -> None:
    if room_of(module) in LATE_IMPORTS_ARE_FREE_IN:
        return
    name = module.relative_to(PACKAGE).as_posix()
    allowed, _ = LATE_IMPORTS.get(name, (set(), ""))
    assert late_imports(module) == allowed, "import it at the top, or say in LATE_IMPORTS why not"


def test_late_imports_are_allowed_of_modules_that_are_there() -> None:
    assert {PACKAGE / name for name in LATE_IMPORTS} <= set(modules())
    assert LATE_IMPORTS_ARE_FREE_IN.keys() <= {room_of(module) for module in modules()}


def module_graph() -> dict[str, set[str]]:
    """Which module of the package imports which, by dotted names."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in modules()
    }
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found = set()
        for imported in dotted_imports(path):
            target = imported if imported in names else imported.rpartition(".")[0]
            if target in names:
                found.add(target)
        graph[name] = found - {name}
    return graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Packages stand for their modules: `from asynccvat.http import Call` needs all of `http`."""
    graph = module_graph()
    circles = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circles.append(" -> ".join((*path[path.index(name) :], name)))
            return
        if name in done:
            return
        for other in sorted(graph[name]):
            visit(other, (*path, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert circles == []


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.name
)
def test_the_core_imports_neither_clock_nor_disk_nor_network(module: Path) -> None:
    allowed = {"pathlib.PurePath"} | ({"pathlib.Path"} if module.name == "outcomes.py" else set())
    names = {name for name in dotted_imports(module) if name not in allowed}
    roots = {name.split(".")[0] for name in names}
    assert not roots & PURE_FORBIDDEN


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda path: path.name
)
def test_the_core_awaits_nothing(module: Path) -> None:
    tree = parsed(module)
    forbidden = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]


def test_every_room_has_a_floor_and_every_floor_exists() -> None:
    rooms = {room_of(module) for module in modules()}
    assert rooms - {BESIDE, *DOORS} == {room for rooms_ in FLOORS for room in rooms_}


def test_the_documentation_shows_the_same_floors() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = re.findall(r"^\| \d+ \| ([^|]*) \|", text, re.MULTILINE)
    assert tuple(tuple(re.findall(r"`(\w+)`", rooms)) for rooms in shown) == FLOORS

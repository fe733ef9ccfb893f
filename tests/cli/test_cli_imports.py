"""The command line uses public names: a program could do the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import asynccvat

CLI = Path(asynccvat.__file__).parent / "cli"
MODULES = sorted(CLI.rglob("*.py"))

PUBLIC = {
    "asynccvat.errors",
    "asynccvat.events",
    "asynccvat.models",
    "asynccvat.progress",
    "asynccvat.settings",
}
"""Modules whose names are public."""

STARTS_THE_SIMULATOR = {"commands/demo.py", "commands/simulate.py"}

EXCEPTIONS = {
    "asynccvat.core.convert.formats": "the Tab key offers the formats that are converted here",
    "asynccvat.core.declarations": "the options are declared there, for run files, too",
    "asynccvat.core.format_names": "the Tab key offers formats in the words that runs understand",
    "asynccvat.core.merge.choices": "asynccvat.models has them, too, but loads slowly",
    "asynccvat.core.quantities": "run files read sizes, durations and dates in the same way",
    "asynccvat.core.scheduling.stalls": "a run tells of a queue that stands still in the same way",
    "asynccvat.core.selections.id_lists": "ids of ranges, which need not exist, are read by it",
    "asynccvat.core.targets": "the public name is in asynccvat.models, which help must not load",
    "asynccvat.core.texts": "messages of errors cut long lists in the same way",
    "asynccvat.core.units": "messages of errors write numbers of bytes in the same way",
    "asynccvat.http.listeners": "queries hear of waits in the same way as runs",
    "asynccvat.runfiles.steps": "callbacks of run files are called with a step",
}
"""Modules that the command line may use besides, each with the reason."""


def imported(module: Path) -> Iterator[tuple[str, str]]:
    """Modules of the package that a file imports from, each with the name that it takes."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def is_allowed(module: Path, source: str, name: str) -> bool:
    """Whether a file of the command line may import a name from a module."""
    package = source.split(".", maxsplit=1)[0]
    if package != "asynccvat" or source.startswith("asynccvat.cli"):
        return True
    if source == "asynccvat":
        return (
            name in {"", "cli", "__version__"}
            or f"asynccvat.{name}" in PUBLIC
            or name in dir(asynccvat)
        )
    dotted = f"{source}.{name}"
    if source.startswith("asynccvat.simulator"):
        return module.relative_to(CLI).as_posix() in STARTS_THE_SIMULATOR
    return source in PUBLIC or source in EXCEPTIONS or dotted in EXCEPTIONS


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CLI)))
def test_a_module_imports_public_names_only(module: Path) -> None:
    internal = {
        f"{source}.{name}"
        for source, name in imported(module)
        if not is_allowed(module, source, name)
    }
    assert not internal, f"{module.name} uses internal names: {internal}"


def test_every_exception_is_needed() -> None:
    used = {
        dotted
        for module in MODULES
        for source, name in imported(module)
        for dotted in (source, f"{source}.{name}")
    }
    assert EXCEPTIONS.keys() <= used

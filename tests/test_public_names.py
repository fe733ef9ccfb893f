"""The public surface: complete, importable, documented, short to look at, and cheap to import."""

from __future__ import annotations

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import asynccvat
from asynccvat import errors, events, models

PUBLIC = dir(asynccvat)
MODULES = {"errors", "events", "models", "progress"}


def names_for_the_type_checker() -> set[str]:
    """What the `TYPE_CHECKING` block imports, as `name as name`."""
    tree = ast.parse(Path(asynccvat.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    aliases = [
        alias for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert all(alias.name == alias.asname for alias in aliases)
    return {alias.name for alias in aliases}


def test_what_the_type_checker_sees_is_what_can_be_imported() -> None:
    assert names_for_the_type_checker() == set(PUBLIC) - {"__version__"}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(asynccvat, name) is not None


def test_dir_shows_public_names_alone() -> None:
    assert {name for name in PUBLIC if name.startswith("_")} == {"__version__"}
    assert {name for name in PUBLIC if inspect.ismodule(getattr(asynccvat, name))} == MODULES


def test_dir_of_the_public_modules_shows_public_names_alone() -> None:
    assert dir(models) == sorted(models.__all__)
    assert {"ConfigError", "Problem", "StoreError"} <= set(dir(errors))
    assert all(getattr(errors, name).__module__ == "asynccvat.errors" for name in dir(errors))
    assert {"Event", "TaskDone", "to_json"} <= set(dir(events))
    assert not {"Any", "RunReport", "annotations", "dataclass", "re"} & set(dir(events))


def test_the_errors_that_few_need_are_in_the_module_of_errors() -> None:
    public = {name for name in PUBLIC if name.endswith("Error")}
    assert public - {"TasksFailedError"} <= set(vars(errors))
    assert "AsyncCvatError" in public


@pytest.mark.parametrize("name", models.__all__)
def test_a_model_has_one_public_home(name: str) -> None:
    assert getattr(models, name) is not None
    assert name not in PUBLIC


@pytest.mark.parametrize(
    "value",
    [
        value
        for name in PUBLIC
        for value in [getattr(asynccvat, name)]
        if inspect.isclass(value) or inspect.isfunction(value)
    ]
    + [getattr(models, name) for name in models.__all__],
    ids=lambda value: value.__name__,
)
def test_every_public_class_and_function_says_what_it_does(value: type) -> None:
    text = inspect.getdoc(value)
    assert text
    assert not text.startswith(f"{value.__name__}(")


def test_help_names_everything_and_fits_a_few_screens() -> None:
    text = pydoc.plain(pydoc.render_doc(asynccvat))
    assert len(text.splitlines()) <= 120
    documented = inspect.getdoc(asynccvat) or ""
    left_out = {name for name in PUBLIC if not name.endswith("Error")} - {"__version__", "Event"}
    assert {name for name in left_out if name not in documented} == {"TransferOptions"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(asynccvat, "non" + "sense")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import asynccvat, sys; print({'aiohttp', 'msgspec', 'anyio'} & set(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "set()"

"""`__all__` is the public surface: complete, importable, documented, and cheap to import."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import asynccvat
from asynccvat import errors

# The stub shows the names themselves to type checkers, not the list of them.
PUBLIC: list[str] = vars(asynccvat)["__all__"]
STUB = Path(asynccvat.__file__).with_suffix(".pyi")


def names_for_the_type_checker() -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.parse(STUB.read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_what_the_type_checker_sees_is_what_can_be_imported() -> None:
    assert names_for_the_type_checker() == set(PUBLIC) - {"__version__"}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(asynccvat, name) is not None


def test_every_error_is_public() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.AsyncCvatError)
    }
    assert kinds <= set(PUBLIC)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in PUBLIC
        if inspect.isclass(getattr(asynccvat, name)) or inspect.isfunction(getattr(asynccvat, name))
    ],
)
def test_every_public_class_and_function_says_what_it_does(name: str) -> None:
    text = inspect.getdoc(getattr(asynccvat, name))
    assert text
    assert not text.startswith(f"{name}(")


def test_dir_lists_the_public_names() -> None:
    assert set(PUBLIC) <= set(dir(asynccvat))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(asynccvat, "non" + "sense")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import asynccvat, sys; print({'aiohttp', 'msgspec', 'anyio'} & set(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "set()"

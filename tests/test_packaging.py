"""What is published: a source distribution and a wheel, built without network, and installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from asynccvat.core.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
WHEEL, SDIST = f"asynccvat-{VERSION}-py3-none-any.whl", f"asynccvat-{VERSION}.tar.gz"
MOST_BYTES = 1_800_000
"""200 KB of it are D3 and Plot, which the report page contains."""


def files(folder: Path) -> set[str]:
    """The files of a folder of the repository, except what Python and tools leave there."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not {"__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache"}
        & set(path.parts)
    }


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a Python program, and return its output."""
    ended = subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, the wheel built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "hatchling", "build", "-t", "sdist", "-d", folder)
    with tarfile.open(folder / SDIST) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    source = folder / "unpacked" / f"asynccvat-{VERSION}"
    run("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    return folder


def test_the_wheel_holds_the_package_and_its_licence_and_is_small(built: Path) -> None:
    with zipfile.ZipFile(built / WHEEL) as wheel:
        names = set(wheel.namelist())
        about = wheel.read(f"asynccvat-{VERSION}.dist-info/METADATA").decode()
    extra = {name for name in names if not name.startswith(f"asynccvat-{VERSION}.dist-info/")}
    assert extra == files(ROOT / "asynccvat")
    assert "asynccvat/py.typed" in names
    assert f"asynccvat-{VERSION}.dist-info/licenses/LICENSE" in names
    assert (built / WHEEL).stat().st_size < MOST_BYTES
    metadata = Parser().parsestr(about)
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {
        *("test", "lint", "docs", "fuzz", "bench", "browser", "examples"),
        *("keyring", "metrics", "socks", "telemetry"),
    }


def test_the_source_distribution_holds_all_that_its_tests_need(built: Path) -> None:
    with tarfile.open(built / SDIST) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    for folder in ("asynccvat", "tests", "benchmarks", "deploy", "docs", ".ci"):
        assert files(ROOT / folder) <= names, folder
    pages = {path.name for path in ROOT.glob("*.md")}
    assert names >= {"LICENSE", "pyproject.toml", "mkdocs.yml"} | pages


@pytest.mark.shows_secrets("the package itself holds the password of its simulated server")
@pytest.mark.parametrize("distribution", [WHEEL, SDIST], ids=["wheel", "sdist"])
def test_installed_its_command_starts(built: Path, tmp_path: Path, distribution: str) -> None:
    """In an environment of its own that borrows what it needs from that of the tests."""
    run("-m", "venv", "--without-pip", tmp_path / "env")
    scheme = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    # Paths in it are searched, and the links in those to packages under development are not.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "borrowed.pth").write_text("\n".join(sorted(borrowed)))
    scripts = Path(sysconfig.get_path("scripts", "venv", scheme))
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run("-m", "pip", "--python", scripts / "python", "install", *offline, built / distribution)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def shown(*command: str | Path) -> str:
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return ended.stdout.strip()

    assert shown(scripts / "asynccvat", "--version") == f"asynccvat {VERSION}"
    home = Path(shown(scripts / "python", "-c", "import asynccvat; print(asynccvat.__file__)"))
    assert home == packages / "asynccvat" / "__init__.py"

"""OpenTelemetry is loaded by those alone who ask for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_without_the_package_an_import_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'opentelemetry'\", name='opentelemetry')"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "try:\n    import asynccvat.telemetry\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert ended.stdout == (
        "asynccvat.telemetry needs a package that is not installed: opentelemetry-api. "
        "Run: pip install 'asynccvat[telemetry]'.\n"
    )


def test_nothing_else_of_the_package_loads_opentelemetry() -> None:
    code = (
        "import sys, asynccvat, asynccvat.cli\n"
        "for name in dir(asynccvat): getattr(asynccvat, name)\n"
        "print({name for name in sys.modules if name.startswith('opentelemetry')})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"

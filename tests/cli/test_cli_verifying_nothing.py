"""`verify` where there is little to verify: no receipts, and files of asynccvat's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def data(shell: Shell, tmp_path: Path) -> Path:
    assert shell("mirror", "data", "-t", "1,2", "--no-fsync").code == 0
    return tmp_path / "data"


def test_a_destination_without_receipts_is_no_success_and_says_so_once(
    shell: Shell, data: Path
) -> None:
    for receipt in (data / ".asynccvat/receipts").iterdir():
        receipt.unlink()
    ended = shell("verify", "data")
    assert ended.code == 1
    assert ended.err == (
        "warning: 'data' holds no receipt, so nothing could be compared. Check the path, or mirror "
        "into it first.\n"
    )
    assert ended.out.splitlines()[-1].endswith("(nothing to compare with, 2 foreign): data")
    assert shell("verify", "data", "--quiet").err.count("holds no receipt") == 1
    report = json.loads(shell("verify", "data", "--json").out)
    assert (report["ok"], report["without_receipts"]) == (False, True)


@pytest.mark.usefixtures("data")
def test_an_empty_selection_is_no_destination_without_receipts(shell: Shell) -> None:
    ended = shell("verify", "data", "-t", "99")
    assert ended.code == 1
    assert ended.err == ""


def test_nothing_of_a_fresh_mirror_is_foreign(shell: Shell, data: Path) -> None:
    ended = shell("verify", "data")
    assert (ended.code, ended.err) == (0, "")
    assert "foreign" not in ended.out
    assert (data / ".asynccvat/.gitignore").exists()


def test_a_folder_that_is_no_mirror_is_named(shell: Shell, data: Path) -> None:
    shutil.rmtree(data / ".asynccvat/receipts")
    ended = shell("verify", "data")
    assert ended.code == 2
    assert "data" in ended.err
    assert "holds no receipts" in ended.err


def test_an_edited_folder_offers_to_upload_the_edits(shell: Shell, data: Path) -> None:
    (data / "task1/annotations.xml").write_bytes(b"<annotations/>")
    ended = shell("mirror", "data")
    assert "To send the edits, use `asynccvat upload`." in ended.err
    assert "use --force; the edits go to .asynccvat/kept/." in ended.err

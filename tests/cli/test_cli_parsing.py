"""Sizes, durations, dates and ids as users write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.cli import parsing, text
from asynccvat.core import quantities

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1", 1),
        ("512", 512),
        ("800K", 800 * 1024),
        ("800k", 800 * 1024),
        ("10M", 10 * 1024**2),
        ("10MB", 10 * 1024**2),
        ("10MiB/s", 10 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        (" 2T ", 2 * 1024**4),
    ],
)
def test_sizes_are_read_in_powers_of_1024(written: str, expected: Any) -> None:
    assert parsing.read(quantities.size, written, "--bwlimit") == expected


@pytest.mark.parametrize("written", ["", "0", "-1", "ten", "10X", "1e6", "M", "1.5.2M", "9" * 400])
def test_a_bad_size_names_the_option_and_shows_a_correct_one(written: str) -> None:
    with pytest.raises(typer.BadParameter, match="10M") as caught:
        parsing.read(quantities.size, written, "--bwlimit")
    assert "--bwlimit" in caught.value.format_message()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("30m", 1800),
        ("4h", 14400),
        ("4h15m", 15300),
        ("2d", 172800),
        ("1w", 604800),
        ("1.5H", 5400),
    ],
)
def test_durations_are_seconds_or_have_units(written: str, expected: Any) -> None:
    assert parsing.read(quantities.duration, written, "--export-timeout") == expected


@pytest.mark.parametrize(
    ("written", "expected"), [("0", 0.0), (" 0 ", 0.0), ("30d", 2_592_000.0), ("90", 90.0)]
)
def test_a_duration_may_be_none(written: str, expected: float) -> None:
    assert parsing.read(quantities.duration_or_none, written, "--history") == expected


@pytest.mark.parametrize("written", ["", "0s", "-5", "never"])
def test_what_is_no_duration_and_not_none_is_refused(written: str) -> None:
    with pytest.raises(typer.BadParameter, match="30d or 4w, or 0 for none"):
        parsing.read(quantities.duration_or_none, written, "--history")


@pytest.mark.parametrize("seconds", [90.0, 0.5, 1.0, 60.0, 15300.0, 86400.0, 90061.0, 1.25])
def test_a_duration_is_written_as_it_is_read(seconds: float) -> None:
    assert quantities.duration(quantities.duration_text(seconds)) == seconds


@pytest.mark.parametrize("written", ["", "0", "0s", "-5", "h", "4 hours", "4hm", "inf", "nan"])
def test_a_bad_duration_is_refused(written: str) -> None:
    with pytest.raises(typer.BadParameter, match="30m"):
        parsing.read(quantities.duration, written, "--export-timeout")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01T10:30:00", "2026-03-01T10:30:00Z"),
        ("2026-03-01T10:30:00Z", "2026-03-01T10:30:00Z"),
        ("2026-03-01T10:30:00+02:00", "2026-03-01T08:30:00Z"),
        ("20260301", "2026-03-01T00:00:00Z"),
        ("2d", "2026-03-29T12:00:00Z"),
        ("12h", "2026-03-31T00:00:00Z"),
    ],
)
def test_a_date_or_an_age_is_read_in_utc(written: str, expected: Any) -> None:
    assert parsing.since(written, "--updated-since", now=NOW) == expected


@pytest.mark.parametrize(
    "written", ["", "yesterday", "31.03.2026", "2026-13-01", "999999999d", "0d"]
)
def test_a_bad_date_is_refused(written: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-03-31"):
        parsing.since(written, "--updated-since", now=NOW)


def test_ids_come_from_repeated_options_and_comma_lists_each_once_in_order() -> None:
    assert parsing.ids(["148, 147", "3,", "147"], "--task-id") == (148, 147, 3)
    assert parsing.ids([], "--task-id") == ()


@pytest.mark.parametrize("written", ["", ",", "1,,2", "x", "1,x", "0", "-4", "1.5", "²"])
def test_a_bad_id_is_refused(written: str) -> None:
    with pytest.raises(typer.BadParameter, match="147"):
        parsing.ids([written], "--task-id")


def test_failed_tasks_are_read_from_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    tasks = [{"task_id": 1, "action": "failed"}, {"task_id": 2, "action": "fetched"}]
    report.write_text(json.dumps({"tasks": tasks}))
    assert parsing.failed_tasks(report, "--failed-from") == (1,)
    report.write_text(json.dumps({"tasks": tasks, "interrupted": True}))
    assert parsing.failed_tasks(report, "--failed-from") == (1,)


def test_the_report_of_a_stopped_run_without_failures_is_refused(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"tasks": [], "interrupted": True}))
    with pytest.raises(typer.BadParameter, match="without --failed-from"):
        parsing.failed_tasks(report, "--failed-from")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tasks": 3}', '{"tasks": [{}]}', "\x00"])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(content)
    with pytest.raises(typer.BadParameter, match="not a report"):
        parsing.failed_tasks(report, "--failed-from")


def test_a_missing_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        parsing.failed_tasks(tmp_path / "absent.json", "--failed-from")


@given(st.text())
def test_any_text_is_read_or_refused_but_nothing_else(written: str) -> None:
    reads: list[Callable[[], object]] = [
        lambda: parsing.read(quantities.size, written, "-"),
        lambda: parsing.read(quantities.duration, written, "-"),
        lambda: parsing.since(written, "-", now=NOW),
        lambda: parsing.ids([written], "-"),
    ]
    for read in reads:
        try:
            read()
        except typer.BadParameter:
            continue


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (200 * 1024, "200 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (2 * 1024**4, "2.0 TiB"),
    ],
)
def test_bytes_are_written_with_about_three_digits(count: int, expected: Any) -> None:
    assert text.number_of_bytes(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.44, "0.4 s"), (18, "18 s"), (59.6, "1:00"), (185, "3:05"), (7385, "2:03:05")],
)
def test_spans_are_written_as_people_read_them(seconds: float, expected: Any) -> None:
    assert text.span(seconds) == expected


def test_counts_have_their_plural() -> None:
    assert text.counted(1, "task") == "1 task"
    assert text.counted(12000, "task") == "12,000 tasks"


@given(st.text())
def test_printed_text_is_one_line_without_control_characters(name: str) -> None:
    assert text.printable(name).isprintable()

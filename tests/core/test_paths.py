"""Names of members and of task folders: what is safe, what clashes, what is refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.paths import (
    NameRules,
    NameSet,
    safe_member_path,
    server_folder_name,
    task_folder_name,
)
from asynccvat.errors import ConfigError, UnsafePathError

ANY = NameRules()
WINDOWS = NameRules(case_sensitive=False, windows_names=False)
FOLDING = NameRules(case_sensitive=False, normalization_sensitive=False)


@pytest.mark.parametrize(
    "name",
    ["a", "annotations.xml", "images/frame 1.jpg", "...", "a..b/.c", "日本/é.png", "ab:c", "a/b:c"],
)
def test_ordinary_names_are_kept_as_they_are(name: str) -> None:
    assert safe_member_path(name, ANY) == name


def test_the_slash_that_marks_a_directory_is_taken_off() -> None:
    assert safe_member_path("images/train/", ANY) == "images/train"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("/", "empty"),
        ("/etc/passwd", "absolute"),
        ("//host/share", "absolute"),
        ("C:/x", "drive"),
        ("c:x", "drive"),
        ("a\\b", "backslash"),
        ("..\\b", "backslash"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\x9bb", "control"),
        ("a\ud800b", "surrogate"),
        ("..", "'..'"),
        ("a/../b", "'..'"),
        ("../b", "'..'"),
        ("a/..", "'..'"),
        (".", "'.'"),
        ("./a", "'.'"),
        ("a/./b", "'.'"),
        ("a//b", "empty"),
        ("a//", "empty"),
    ],
)
def test_unsafe_names_are_refused_on_any_platform(name: str, why: str) -> None:
    for rules in (ANY, WINDOWS, FOLDING):
        with pytest.raises(UnsafePathError, match=why) as caught:
            safe_member_path(name, rules)
        assert caught.value.member == name


@pytest.mark.parametrize(
    "name",
    [
        "CON",
        "con.txt",
        "a/NUL",
        "aux .x",
        "COM1.tar.gz",
        "lpt\xb9",
        "CONIN$",
        "a.",
        "a /b",
        "a<b",
        "x/a|b",
        "what?",
        "a*",
        'a"b',
        "ab:c",
        "a>",
    ],
)
def test_names_that_only_windows_forbids_depend_on_the_destination(name: str) -> None:
    assert safe_member_path(name, ANY) == name
    with pytest.raises(UnsafePathError, match=r"destination|device"):
        safe_member_path(name, WINDOWS)


@pytest.mark.parametrize("name", ["CONSOLE", "com", "COM10", "a.b", "auxiliary.x", ".a", "nul2"])
def test_names_like_those_of_windows_devices_are_kept(name: str) -> None:
    assert safe_member_path(name, WINDOWS) == name


def test_lengths_count_in_bytes() -> None:
    assert safe_member_path("é" * 127, ANY)
    assert safe_member_path("/".join(["a" * 255] * 5), ANY)
    with pytest.raises(UnsafePathError, match="256 bytes, the destination holds 255"):
        safe_member_path("é" * 128, ANY)
    with pytest.raises(UnsafePathError, match="its path takes 3073 bytes"):
        safe_member_path("a/" * 1536 + "a", ANY)


def test_an_error_shows_the_start_of_a_long_name() -> None:
    name = "n" * 65_535
    with pytest.raises(UnsafePathError) as caught:
        safe_member_path(name, ANY)
    assert len(str(caught.value)) < 300
    assert "'nnnn" in str(caught.value)
    assert caught.value.member == name


@given(st.text(alphabet=st.sampled_from("a./\\:\0\x1f é\ud800"), max_size=8))
def test_a_safe_path_stays_inside_and_has_no_empty_part(name: str) -> None:
    try:
        path = safe_member_path(name, ANY)
    except UnsafePathError:
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert path.isprintable()
    assert name in (path, path + "/")


def names(rules: NameRules, *paths: str) -> NameSet:
    known = NameSet(rules)
    for path in paths:
        known.add(path.removesuffix("/"), path.endswith("/"))
    return known


def test_a_tree_without_clashes_is_taken() -> None:
    names(ANY, "a/b/c", "a/b/d", "a/b/", "a/", "e/", "e/f", "A", "B/x", "b", "é", "e\u0301")
    names(FOLDING, "a/b/c", "a/b/d", "a/b/", "é/x", "é/y", "é/")


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (("a", "a"), "twice"),
        (("a/", "a/"), "twice"),
        (("a/b", "a/", "a/"), "twice"),
        (("a", "a/"), "'a' is a file"),
        (("a/", "a"), "'a' is a directory"),
        (("a", "a/b"), "'a' is a file"),
        (("a/b", "a"), "'a' is a directory"),
        (("a/b/c", "a/b"), "'a/b' is a directory"),
        (("a", "a/b/c"), "'a' is a file"),
    ],
)
def test_clashes_are_refused_everywhere(paths: tuple[str, ...], why: str) -> None:
    for rules in (ANY, WINDOWS, FOLDING):
        with pytest.raises(UnsafePathError, match=why):
            names(rules, *paths)


@pytest.mark.parametrize(
    "paths",
    [
        ("a", "A"),
        ("a/", "A/"),
        ("a/x", "A/y"),
        ("a", "A/y"),
        ("A/y", "a"),
        ("é", "É"),
        ("straße", "STRASSE"),
        ("d/É/x", "d/é/y"),
    ],
)
def test_names_that_differ_in_case_depend_on_the_destination(paths: tuple[str, ...]) -> None:
    names(ANY, *paths)
    with pytest.raises(UnsafePathError, match="refused"):
        names(WINDOWS, *paths)


def test_names_that_differ_in_normalization_depend_on_the_destination() -> None:
    paths = ("é", "e\u0301")
    names(ANY, *paths)
    names(WINDOWS, *paths)
    with pytest.raises(UnsafePathError, match="same file name"):
        names(NameRules(normalization_sensitive=False), *paths)
    with pytest.raises(UnsafePathError, match="same file name"):
        names(FOLDING, "É", "e\u0301")


@pytest.mark.parametrize(
    "other", ["a\u200bb", "a\u00adb", "a\ufe0fb", "\u2060ab", "ab\U000e0001", "A\u202eB"]
)
def test_names_that_differ_in_what_cannot_be_seen_depend_on_the_destination(other: str) -> None:
    names(ANY, "ab", other)
    with pytest.raises(UnsafePathError, match="same file name as 'ab'"):
        names(FOLDING, "ab", other)
    with pytest.raises(UnsafePathError, match="same file name as 'ab'"):
        names(WINDOWS, "ab/", f"{other}/x")


@pytest.mark.parametrize("path", [".asynccvat", ".asynccvat/", ".asynccvat/receipts/1.json"])
def test_our_own_folder_is_no_members(path: str) -> None:
    for rules in (ANY, WINDOWS, FOLDING):
        with pytest.raises(UnsafePathError, match="asynccvat keeps for itself"):
            names(rules, path)
    names(ANY, ".asynccvat2", "a/.asynccvat/b", "asynccvat/x", path.upper())
    with pytest.raises(UnsafePathError, match="asynccvat keeps for itself"):
        names(FOLDING, path.replace("v", "\u200cV"))


@given(st.lists(st.text("aAéÉ", min_size=1, max_size=2), unique=True, max_size=6))
def test_names_clash_exactly_when_the_destination_folds_them_to_one(paths: list[str]) -> None:
    paths = [unicodedata.normalize("NFD", path) for path in paths]
    folded = {path.casefold() for path in paths}
    if len(folded) == len(paths):
        names(FOLDING, *paths)
    else:
        with pytest.raises(UnsafePathError):
            names(FOLDING, *paths)


@pytest.mark.parametrize("prefix", ["task", "", "Task ", "задача-", ".hidden"])
def test_a_task_folder_is_the_prefix_and_the_id(prefix: str) -> None:
    assert task_folder_name(prefix, 147) == f"{prefix}147"


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("a/", "separator"),
        ("a\\", "separator"),
        ("..", r"'\.\.'"),
        ("a\n", "control"),
        ("\ud800", "surrogate"),
        ("C:", "drive"),
        (".asynccvat", "own"),
        (".AsyncCvat-", "own"),
        ("é" * 101, "200 bytes"),
    ],
)
def test_a_prefix_that_makes_no_plain_folder_is_refused(prefix: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        task_folder_name(prefix, 1)


def test_a_task_id_starts_at_1() -> None:
    with pytest.raises(ConfigError, match="0 is no task id"):
        task_folder_name("task", 0)


def test_each_server_and_organization_has_a_folder() -> None:
    assert server_folder_name("https://cvat.example.com", None) == "https-cvat.example.com"
    assert server_folder_name("http://my-cvat:8080", "") == "http-my-cvat-8080@"
    assert server_folder_name("http://a", "acme/x") == "http-a@acme-x"

"""Check that any names of an archive become safe paths, each its own, and the same in every run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.name_mapping import map_names
from asynccvat.core.paths import NameRules, NameSet, leads_outside, safe_member_path
from asynccvat.errors import UnsafePathError

ANY = NameRules()
WINDOWS = NameRules(case_sensitive=False, windows_names=False)
FOLDING = NameRules(case_sensitive=False, normalization_sensitive=False)
SHORT = NameRules(component_bytes=40, path_bytes=120)
EVERYWHERE = (ANY, WINDOWS, FOLDING, SHORT)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("images\\cam1\\0001.jpg", "images%5Ccam1%5C0001.jpg"),
        ("images/a\\b.jpg", "images/a%5Cb.jpg"),
        ("/data/1.jpg", "%2Fdata/1.jpg"),
        ("images//data/1.jpg", "images/%2Fdata/1.jpg"),
        ("images///1.jpg", "images/%2F%2F1.jpg"),
        ("//", "%2F"),
        ("a//", "a/%2F"),
        ("a/./b", "a/%2E/b"),
        ("a\tb.jpg", "a%09b.jpg"),
        ("100%\n.jpg", "100%25%0A.jpg"),
        ("C:\\data\\1.jpg", "C%3A%5Cdata%5C1.jpg"),
        ("C:x", "C%3Ax"),
        ("a\ud800", "a%ED%A0%80"),
        (".asynccvat/x", ".asynccva%74/x"),
        ("\x85.jpg", "%C2%85.jpg"),
    ],
)
def test_an_unsafe_character_is_escaped_as_in_urls(name: str, path: str) -> None:
    assert map_names([name], ANY) == {name: path}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("CON", "CO%4E"),
        ("con.txt", "%63on.txt"),
        ("CON.x ", "%43ON.x%20"),
        ("a.", "a%2E"),
        ("a /b", "a%20/b"),
        ("what?", "what%3F"),
        ("x/a:b", "x/a%3Ab"),
    ],
)
def test_names_that_only_windows_forbids_are_mapped_there(name: str, path: str) -> None:
    assert map_names([name], WINDOWS) == {name: path}
    assert map_names([name], ANY) == {name: name}


def test_a_long_name_keeps_its_start_and_its_extension() -> None:
    name = "images/" + "n" * 270 + ".jpg"
    path = map_names([name], ANY)[name]
    assert path.startswith("images/nnn")
    assert path.endswith(".jpg")
    assert len(path) == len("images/") + 255


def test_a_long_extension_is_cut_with_the_name() -> None:
    name = "a." + "x" * 300
    path = map_names([name], ANY)[name]
    assert path.startswith("a.xxx")
    assert len(path) == 255


def test_a_path_that_is_too_deep_goes_to_the_top() -> None:
    name = "/".join(["d" * 250] * 13) + "/1.jpg"
    path = map_names([name], ANY)[name]
    folder, _, file = path.partition("/")
    assert folder.startswith("ddd")
    assert len(folder) == 255
    assert file == "1.jpg"
    drive = f"{'d' * 30}/" * 3 + "C:\\x"
    assert map_names([drive], SHORT) == {drive: "C%3A%5Cx"}


def test_names_that_are_one_at_the_destination_are_told_apart() -> None:
    mapped = map_names(["images/A.jpg", "images/a.jpg"], WINDOWS)
    assert mapped["images/A.jpg"] == "images/A.jpg"
    assert mapped["images/a.jpg"].startswith("images/a~")
    assert mapped["images/a.jpg"].endswith(".jpg")


def test_a_folder_that_clashes_moves_with_all_that_it_holds() -> None:
    mapped = map_names(["Cam/1.jpg", "cam/", "cam/2.jpg", "cam/3.jpg"], WINDOWS)
    folder = mapped["cam/"]
    assert folder.startswith("cam~")
    assert mapped["cam/2.jpg"] == f"{folder}/2.jpg"
    assert mapped["cam/3.jpg"] == f"{folder}/3.jpg"


def test_a_file_and_a_folder_of_one_name_are_told_apart() -> None:
    mapped = map_names(["a", "a/b"], ANY)
    assert mapped["a"] == "a"
    assert mapped["a/b"].startswith("a~")
    assert mapped["a/b"].endswith("/b")


def test_a_mapped_name_never_takes_that_of_another_member() -> None:
    mapped = map_names(["a\\b", "a%5Cb"], ANY)
    assert mapped["a%5Cb"] == "a%5Cb"
    assert mapped["a\\b"].startswith("a%5Cb~")
    taken = mapped["a\\b"]
    again = map_names(["a\\b", "a%5Cb", taken], ANY)
    assert again[taken] == taken
    assert len(set(again.values())) == 3


@pytest.mark.parametrize("name", ["", "/", "..", "a/../b", "a\\..\\b", "..\\b", "../b\\c"])
def test_a_name_that_leads_outside_stays_refused(name: str) -> None:
    with pytest.raises(UnsafePathError, match="Make the task again in CVAT, from images"):
        map_names(["ok.jpg", name], ANY)


@pytest.mark.parametrize("name", ["a", "a/", "a\\b"])
def test_a_name_that_comes_twice_stays_refused(name: str) -> None:
    with pytest.raises(UnsafePathError, match="holds it twice"):
        map_names([name, name], ANY)


def test_any_other_refusal_names_the_option() -> None:
    with pytest.raises(
        UnsafePathError, match=r"backslash.*\. Use `mirror --names map` to write it"
    ):
        safe_member_path("a\\b", ANY)


COMPONENTS = st.one_of(
    st.text("aAéÉ\u0131\u0130./\\: %~\t\ud800", min_size=1, max_size=6),
    st.sampled_from(["CON", "nul.txt", ".asynccvat", ".AsyncCVAT", "a%5Cb", "n" * 60, "ß", "C:"]),
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=4),
)
NAMES = st.lists(
    st.lists(COMPONENTS, min_size=1, max_size=5).map("/".join), unique=True, max_size=8
).map(lambda names: [name for name in names if not leads_outside(name.removesuffix("/"))])


@given(NAMES, st.sampled_from(EVERYWHERE), st.randoms())
def test_any_names_become_safe_paths_of_their_own(
    names: list[str], rules: NameRules, random: object
) -> None:
    mapped = map_names(names, rules)
    # Every name has a path that the strict rules accept, and no two clash.
    known = NameSet(rules)
    for name in names:
        assert safe_member_path(mapped[name], rules) == mapped[name]
        known.add(mapped[name], name.endswith("/"))
    # The order of the members does not matter.
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's own type
    assert map_names(shuffled, rules) == mapped


@given(NAMES, st.sampled_from(EVERYWHERE))
def test_names_that_are_safe_together_stay_as_they_are(names: list[str], rules: NameRules) -> None:
    known = NameSet(rules)
    safe = []
    for name in names:
        try:
            known.add(safe_member_path(name, rules), name.endswith("/"))
        except UnsafePathError:
            return
        safe.append(name)
    assert map_names(safe, rules) == {name: name.removesuffix("/") for name in safe}


@given(NAMES, st.sampled_from(EVERYWHERE))
def test_mapping_the_mapped_paths_changes_nothing(names: list[str], rules: NameRules) -> None:
    paths = [path + "/" * name.endswith("/") for name, path in map_names(names, rules).items()]
    assert map_names(paths, rules) == {path: path.removesuffix("/") for path in paths}

"""Options are declared in one way: flags, keys, defaults and help fit each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from asynccvat.core import quantities
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.declarations import (
    Option,
    Quantity,
    Switch,
    Text,
    declared_options,
    make_options,
    option,
)
from asynccvat.core.options.mirror import DownloadOptions, MirrorOptions
from asynccvat.core.options.transfer import TransferOptions
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.selections.selection import JobSelection, ProjectSelection, Selection
from asynccvat.core.zip.ends import EndRecords, check_end
from asynccvat.errors import ArchiveLimitError, ConfigError

CLASSES = (
    DownloadOptions,
    MirrorOptions,
    UploadOptions,
    Selection,
    ProjectSelection,
    JobSelection,
)
DECLARED = [
    pytest.param(item, id=f"{group.__name__}.{item.name}")
    for group in CLASSES
    for item in declared_options(group)
]


@pytest.mark.parametrize("group", CLASSES)
def test_flags_are_unique_within_a_class(group: type) -> None:
    flags = Counter(item.flag for item in declared_options(group))
    assert flags.most_common(1)[0][1] == 1


@pytest.mark.parametrize("item", DECLARED)
def test_the_key_of_a_run_file_is_the_flag_with_underscores(item: Option) -> None:
    assert item.flag == "--" + item.key.replace("_", "-")


@pytest.mark.parametrize("item", DECLARED)
def test_a_help_text_is_a_sentence(item: Option) -> None:
    assert item.help[0].isupper()
    assert item.help.endswith(".")


@pytest.mark.parametrize("item", DECLARED)
def test_the_flag_of_a_switch_says_the_opposite_of_its_default(item: Option) -> None:
    if isinstance(item.kind, Switch):
        assert item.flag.startswith("--no-") is bool(item.default)
        assert item.switched(given=None) is item.default
        assert item.switched(given=True) is not item.default


@pytest.mark.parametrize("item", DECLARED)
def test_the_default_of_a_quantity_is_read_as_it_is_written(item: Option) -> None:
    if isinstance(item.kind, Quantity) and item.default is not None:
        assert item.kind.read(item.kind.write(item.default)) == item.default


def test_own_options_come_before_inherited_ones() -> None:
    names = [item.name for item in declared_options(Selection)]
    assert names[:2] == ["projects", "project_ids"]
    assert names[-2:] == ["filter", "limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled(TransferOptions):
    """Options with texts, of which one may be empty."""

    label: str = option("new", "--label", "A text.", Text())
    note: str = option("", "--note", "A text, or none.", Text(may_be_empty=True))


@pytest.mark.parametrize("text", ["", "  ", 5])
def test_a_text_is_not_empty_unless_its_declaration_says_so(text: str) -> None:
    assert Labelled(label="x", note="").note == ""
    with pytest.raises(ConfigError, match="label must be a text that is not empty, not "):
        Labelled(label=text)
    with pytest.raises(ConfigError, match="note must be a text, not 5"):
        Labelled(note=5)  # type: ignore[arg-type]  # the mistake under test


def test_options_of_a_nested_dataclass_stand_for_its_fields() -> None:
    (item,) = [item for item in declared_options(MirrorOptions) if item.flag == "--max-depth"]
    assert (item.name, item.key, item.path) == ("limits_depth", "max_depth", ("limits", "depth"))
    made = make_options(MirrorOptions, {"limits_depth": 3, "transfers": 2})
    assert (made.limits, made.transfers) == (ArchiveLimits(depth=3), 2)
    assert item.value_in(made) == 3
    assert make_options(MirrorOptions, {}) == MirrorOptions()
    with pytest.raises(ConfigError, match="depth"):
        make_options(MirrorOptions, {"limits_depth": -1})


def test_a_size_is_written_as_it_is_read() -> None:
    for size in (1, 1000, 1024, 1536 * 1024**2, 256 * 1024**3):
        assert quantities.size(quantities.size_text(size)) == size
    assert quantities.size_text(256 * 1024**3) == "256G"


LIMITED = ArchiveLimits(
    members=1,
    member_size=10,
    total_size=20,
    ratio=2,
    ratio_floor=0,
    path_length=5,
    depth=2,
    directory_size=100,
)


@pytest.mark.parametrize(
    ("check", "flag"),
    [
        (lambda: LIMITED.check_archive(1000), "--max-size"),
        (lambda: LIMITED.check_members(2), "--max-members"),
        (lambda: LIMITED.check_path("abcdef"), "--max-path-length"),
        (lambda: LIMITED.check_path("a/b/c"), "--max-depth"),
        (lambda: LIMITED.check_member("a", 11, 11), "--max-member-size"),
        (lambda: LIMITED.check_member("a", 9, 1), "--max-ratio"),
        (lambda: LIMITED.check_total(21, 21), "--max-size"),
        (lambda: LIMITED.check_total(9, 1), "--max-ratio"),
        (
            lambda: check_end(EndRecords(position=101, members=1, size=101, offset=0), LIMITED),
            "--max-directory-size",
        ),
    ],
)
def test_a_refusal_names_the_option_that_raises_its_limit(
    check: Callable[[], None], flag: str
) -> None:
    assert flag in [item.flag for item in declared_options(MirrorOptions)]
    with pytest.raises(ArchiveLimitError, match=rf"Raise {flag} if you trust"):
        check()

"""Options are declared in one way: flags, keys, defaults and help fit each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from asynccvat.core.declarations import Option, Quantity, Switch, Text, declared_options, option
from asynccvat.core.options import (
    DownloadOptions,
    MirrorOptions,
    TransferOptions,
    UploadOptions,
)
from asynccvat.core.selection import JobSelection, ProjectSelection, Selection
from asynccvat.errors import ConfigError

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
        assert item.flag.startswith("--no-") is item.default
        assert item.switched(given=False) is item.default
        assert item.switched(given=True) is not item.default


@pytest.mark.parametrize("item", DECLARED)
def test_the_default_of_a_quantity_is_read_as_it_is_written(item: Option) -> None:
    if isinstance(item.kind, Quantity) and item.default is not None:
        assert item.kind.read(item.kind.write(item.default)) == item.default


def test_own_options_come_before_inherited_ones() -> None:
    names = [item.name for item in declared_options(Selection)]
    assert names[:2] == ["project_ids", "task_ids"]
    assert names[-1] == "filter"


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

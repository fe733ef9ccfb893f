"""What a run works with: what it was given, what its destination remembers, the defaults."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.records.lasting_selections import LastingSelection
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.remembered import Remembered, from_receipts
from asynccvat.core.records.settling import Settled, Wanted, expected_selection, settle
from asynccvat.core.selections.id_lists import IdList, required
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import CVAT, CVAT_IMAGES, CVAT_VIDEO, ExportSpec
from asynccvat.errors import ChangeRefusedError, ConfigError

pytestmark = pytest.mark.proof("Destinations")

DEFAULT = ExportSpec().format
COCO = Remembered(
    format="COCO 1.0", images=True, folder_prefix="t_", selection=LastingSelection(project_ids=(5,))
)


def run(
    remembered: Remembered = Remembered(),  # noqa: B008 - frozen
    spec: ExportSpec | str | None = None,
    images: bool | None = None,
    *,
    bound: bool = True,
    options: dict[str, Any] | None = None,
    **selection: Any,
) -> Settled:
    wanted = Wanted.of(Selection(**selection), spec, images, MirrorOptions(**(options or {})))
    return settle(wanted, remembered, place="data", bound=bound)


def test_the_first_run_works_with_defaults_and_remembers_them() -> None:
    settled = run()
    assert settled.spec == ExportSpec()
    assert settled.options.folder_prefix == "task"
    assert settled.selection == Selection()
    assert settled.remembered == Remembered(
        format=DEFAULT,
        images=False,
        folder_prefix="task",
        selection=LastingSelection(),
    )
    assert settled.describe() == f"all tasks, {DEFAULT}, without images"


def test_a_run_that_gives_nothing_repeats_the_first_one() -> None:
    settled = run(COCO)
    assert settled.spec == ExportSpec("COCO 1.0", images=True)
    assert settled.options.folder_prefix == "t_"
    assert settled.selection == Selection(project_ids=(5,))
    assert settled.remembered == COCO
    assert settled.describe() == "project 5, COCO 1.0, with images, folders like 't_147'"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spec": "YOLO 1.1"}, ("as COCO 1.0", "as YOLO 1.1")),
        ({"images": False}, ("with images", "without images")),
        (
            {"spec": ExportSpec("YOLO 1.1")},
            ("as COCO 1.0 and with images", "as YOLO 1.1 and without images"),
        ),
        (
            {"options": {"folder_prefix": ""}},
            ("with folders like 't_147'", "with folders like '147'"),
        ),
        ({"project_ids": [7, 5, 7]}, ("for project 5", "for projects 5 and 7")),
        ({"name": "x"}, ("for tasks with any name", "for tasks with name 'x'")),
        ({"status": "completed"}, ("for tasks with any status", "for tasks with status completed")),
        ({"options": {"everything": True}}, ("for project 5", "for all tasks")),
    ],
)
def test_another_value_is_refused_with_both_and_change_permits_it(
    arguments: dict[str, Any], words: tuple[str, str]
) -> None:
    with pytest.raises(ChangeRefusedError) as refused:
        run(COCO, **arguments)
    assert refused.value.message == (
        f"cannot mirror to 'data': it was made {words[0]}, and this run would make it {words[1]}. "
        "Leave these options out to go on as before, or add --change to change the destination."
    )
    options = {"change": True, **arguments.pop("options", {})}
    changed = run(COCO, **arguments, options=options).remembered
    assert changed != COCO
    assert run(changed).remembered == changed
    unbound = run(COCO, **arguments, options=options | {"change": False}, bound=False).remembered
    if "name" in arguments or "status" in arguments:
        assert unbound.selection == LastingSelection(**arguments)
    else:
        assert unbound == changed


def test_conditions_of_a_destination_without_tasks_do_not_narrow_another_selection() -> None:
    mistyped = run(name="strete-*", project_ids=[5]).remembered
    for name in (None, "strete-*"):
        same = run(mistyped, name=name, bound=False).selection
        assert same == Selection(name="strete-*", project_ids=(5,))
    mended = run(mistyped, owner="ann", bound=False)
    assert mended.selection == Selection(owner="ann")
    assert mended.remembered.selection == LastingSelection(owner="ann")
    default = run(mistyped, owner="ann", bound=False, options={"default_project_id": 7})
    assert default.selection == Selection(owner="ann", project_ids=(7,))


def test_the_same_value_in_another_form_is_no_change() -> None:
    first = run(filter='{"==": [{"var": "owner"}, "ann"]}', project_ids=[7, 5])
    again = run(first.remembered, filter='{"==":[{"var":"owner"},"ann"]}', project_ids=[5, 7, 7])
    assert again.remembered == first.remembered


def test_what_changes_leaves_the_rest() -> None:
    changed = run(COCO, "YOLO 1.1", options={"change": True})
    assert changed.remembered == msgspec.structs.replace(COCO, format="YOLO 1.1")


def test_a_range_of_projects_is_remembered_as_one_that_may_have_gaps() -> None:
    first = run(project_ids=IdList.of([range(2, 5), 7]))
    assert "projects 7 and 2-4" in first.describe()
    (content,) = [msgspec.json.encode(first.remembered)]
    remembered = msgspec.json.decode(content, type=Remembered)
    assert remembered == first.remembered
    again = run(remembered)
    assert again.selection.project_ids == (2, 3, 4, 7)
    assert required(again.selection.project_ids) == {7}
    assert again.remembered == remembered
    assert run(remembered, project_ids=[4, 7, 2, 3]).selection.project_ids == (2, 3, 4, 7)


def test_everything_replaces_a_selection_and_contradicts_another() -> None:
    changed = run(COCO, options={"everything": True, "change": True})
    assert changed.selection == Selection()
    assert run(changed.remembered, options={"everything": True}).remembered == changed.remembered
    with pytest.raises(ConfigError, match="--everything contradicts --name"):
        run(COCO, options={"everything": True}, name="x")


def test_named_tasks_bind_nobody_and_are_not_narrowed() -> None:
    tried = run(task_ids=[9, 3, 1, 4, 5, 8], name="x")
    assert tried.remembered.selection is None
    assert tried.describe() == (
        f"{DEFAULT}, without images; this run: tasks 1, 3, 4, 5, 8 and 1 more"
    )
    settled = run(COCO, task_ids=[147])
    assert settled.selection == Selection(task_ids=[147])
    assert settled.remembered == COCO
    assert settled.describe().endswith("'t_147'; this run: task 147")


def test_a_run_about_a_part_of_the_destination_says_which() -> None:
    assert run(COCO).only == ""
    assert run(COCO, task_ids=[9, 3]).only == "tasks 3, 9"
    assert run(COCO, limit=5).only == "at most 5 tasks"
    assert run(COCO, limit=1).only == "at most 1 task"
    assert run(COCO, updated_since="2026-11-01").only == "tasks updated since 2026-11-01T00:00:00Z"
    both = run(COCO, updated_since="2026-11-01", limit=5).only
    assert both == "tasks updated since 2026-11-01T00:00:00Z, at most 5"
    jobs = {"target": "jobs", "target_ids": (7, 5)}
    assert run(options=jobs).only == "jobs 5, 7"


def test_an_empty_list_of_projects_selects_nothing_and_is_not_remembered() -> None:
    settled = run(COCO, project_ids=[])
    assert (settled.selection.project_ids, settled.remembered) == ([], COCO)
    assert "tasks none" in run(COCO, task_ids=[]).describe()


def test_a_first_run_of_recent_tasks_does_not_bind_the_next_ones() -> None:
    tried = run(updated_since="2026-11-01", project_ids=[5])
    assert tried.selection.project_ids == (5,)
    assert tried.remembered.selection is None
    later = run(COCO, updated_since="2026-11-01")
    assert later.selection == Selection(project_ids=(5,), updated_since="2026-11-01")
    assert later.remembered == COCO
    assert later.describe().endswith("; this run: tasks updated since 2026-11-01T00:00:00Z")


def test_the_settings_project_counts_where_nothing_else_says_which_tasks() -> None:
    default = {"default_project_id": 7}
    first = run(options=default, name="x")
    assert first.remembered.selection == LastingSelection(project_ids=(7,), name="x")
    assert run(first.remembered).selection == first.selection
    again = run(COCO, options=default)
    assert again.selection.project_ids == (5,)
    assert again.describe().endswith("; project 7 of the settings is ignored")
    assert "ignored" not in run(COCO, options=default, project_ids=[5]).describe()
    assert "ignored" not in run(COCO, options=default, task_ids=[1]).describe()
    assert "ignored" not in run(COCO, options={"default_project_id": 5}).describe()
    assert "ignored" not in first.describe()
    assert run(options=default, project_ids=[5]).selection.project_ids == (5,)
    assert run(options=default, task_ids=[1]).selection.project_ids is None
    assert run(options=default | {"everything": True}).selection == Selection()


def test_images_are_given_once() -> None:
    with pytest.raises(ConfigError, match="images is given twice"):
        run(spec=ExportSpec("COCO 1.0"), images=True)
    with pytest.raises(ConfigError, match="images must be True, False or None, not 1"):
        run(images=1)  # type: ignore[arg-type]


def head(task_id: int, **changes: Any) -> ReceiptHead:
    values: dict[str, Any] = {
        "task_id": task_id,
        "folder": f"task{task_id}",
        "format": "COCO 1.0",
        "images": True,
        "updated_date": "v1",
        "origin": "https://cvat.example.com",
        "digest": "",
        "files": 0,
        "bytes": 0,
        "requested_at": "",
        "committed_at": "",
    }
    return ReceiptHead(**(values | changes))


def test_a_comparison_with_the_server_takes_what_is_said_best() -> None:
    given = Selection(name="x")
    assert expected_selection(given, COCO, 7) == given
    assert expected_selection(None, COCO, 7) == Selection(project_ids=(5,))
    assert expected_selection(None, Remembered(), 7) == Selection(project_ids=(7,))
    assert expected_selection(None, None, None) == Selection()


def test_both_flavours_of_cvats_xml_are_what_cvat_chooses() -> None:
    heads = [head(number, format=CVAT_IMAGES) for number in (1, 2)]
    assert from_receipts(heads).format == CVAT_IMAGES
    assert from_receipts([*heads, head(3, format=CVAT_VIDEO)]).format == CVAT


def test_receipts_tell_the_settings_of_most_tasks_and_no_selection() -> None:
    assert from_receipts([]) == Remembered()
    heads = [head(1), head(12, folder="task12"), head(3, images=False, format="YOLO 1.1")]
    assert from_receipts(heads) == Remembered(
        format="COCO 1.0", images=True, folder_prefix="task", selection=None
    )


TEXTS = st.none() | st.text('aé"*', min_size=1, max_size=5)
SELECTIONS = st.fixed_dictionaries(
    {
        "project_ids": st.none() | st.lists(st.integers(1, 9), min_size=1, max_size=3),
        "name": TEXTS,
        "owner": TEXTS,
        "status": st.none() | st.sampled_from(["annotation", "completed"]),
        "filter": st.none() | st.sampled_from(['{"==": [1, 1]}', '{"!":[0]}']),
    }
)


@given(
    SELECTIONS,
    st.none() | st.sampled_from(["COCO 1.0", "YOLO 1.1"]),
    st.none() | st.booleans(),
    st.none() | st.sampled_from(["", "t_"]),
)
def test_repeating_a_run_with_or_without_its_options_is_the_same_run(
    selection: dict[str, Any], spec: str | None, images: bool | None, prefix: str | None
) -> None:
    options = {"folder_prefix": prefix}
    first = run(spec=spec, images=images, options=options, **selection)
    for again in (
        run(first.remembered),
        run(first.remembered, spec, images, options=options, **selection),
        run(msgspec.json.decode(msgspec.json.encode(first.remembered), type=Remembered)),
    ):
        assert again == first


def test_mapped_names_are_remembered_and_need_no_change() -> None:
    mapped = run(COCO, options={"names": "map"})
    assert mapped.options.names == "map"
    assert mapped.describe().endswith("folders like 't_147', unsafe names mapped")
    assert run(mapped.remembered).options.names == "map"
    refused = run(mapped.remembered, options={"names": "refuse"})
    assert refused.options.names == "refuse"
    assert refused.remembered == COCO


def test_where_the_selection_was_lost_a_run_has_to_say_it() -> None:
    lost = Remembered(format="COCO 1.0", lost=True)
    for since in (None, "2026-01-01"):
        with pytest.raises(ConfigError, match="which says which tasks belong to it"):
            run(lost, updated_since=since)
    assert run(lost, task_ids=[1]).remembered.lost
    assert run(lost, name="x").remembered.selection == LastingSelection(name="x")
    everything = run(lost, options={"everything": True})
    assert (everything.selection, everything.remembered.lost) == (Selection(), False)

"""Run files that load, and the problems of those that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import asynccvat as ac
from asynccvat.cli import app
from asynccvat.core.selections.id_lists import required
from asynccvat.runfiles.declarations import MIRROR, PARAMETERS
from asynccvat.runfiles.steps import DownloadStep, MirrorStep, UploadStep

EXAMPLES = Path(__file__).with_name("examples")
SECRET = "hunter2-and-more"
XML = '<?xml version="1.0" encoding="utf-8"?>\n<annotations></annotations>\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str) -> ac.RunFile:
    file = Path("steps.yaml")
    file.write_text(text)
    file.chmod(0o600)
    return ac.load_run_file(file)


def told(text: str) -> list[str]:
    """The problems, without the file's name."""
    with pytest.raises(ac.errors.RunFileError) as caught:
        loaded(text)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem).removeprefix("steps.yaml, ") for problem in caught.value.problems]


def only(text: str) -> Any:
    (step,) = loaded(text).steps
    return step


def write(path: str, text: str = XML) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_of_datnvt_cvat_cli_are_accepted_unchanged(path: Path) -> None:
    for task_id in (147, 150, 151):
        write(f"data/processed/task{task_id}_annotations.xml")
        write(f"data/processed/task{task_id}_annotations.json", "{}")
        write(f"data/processed/task{task_id}/annotations.xml")
    file = ac.load_run_file(path)
    assert file.warnings == ()
    for step in file.steps:
        if isinstance(step, DownloadStep):
            assert step.paths == {n: Path(f"data/raw/task{n}") for n in (147, 150, 151)}
            assert step.spec == ac.ExportSpec("CVAT for images 1.1", images=False)
            assert step.skip_existing
        else:
            assert isinstance(step, UploadStep)
            ids = [task_id for batch in step.batches for task_id in batch.task_ids]
            assert ids == [147, 150, 151]


def test_one_format_of_an_upload_is_one_batch() -> None:
    for task_id in (1, 2, 3):
        write(f"{task_id}.xml")
    write("4.json", "{}")
    step = only(
        "- task: upload\n"
        "  parameters:\n"
        "    dataset_format: CVAT 1.1\n"
        "    tasks:\n"
        "      - {task_id: 1, annotation_path: 1.xml}\n"
        "      - {task_id: 4, annotation_path: 4.json, dataset_format: COCO 1.0}\n"
        "      - {task_id: 2, annotation_path: 2.xml}\n"
    )
    first, second = step.batches
    assert (first.format, first.task_ids, first.among) == ("CVAT 1.1", (1, 2), None)
    assert (second.format, second.source) == ("COCO 1.0", {4: Path("4.json")})


def test_files_that_are_named_for_each_task_win_over_a_folder() -> None:
    write("1.xml")
    file = loaded(
        "- task: upload\n"
        "  parameters:\n"
        "    tasks: [{task_id: 1, annotation_path: 1.xml}]\n"
        "    task_ids: [2]\n"
        "    in_dir: gone\n"
    )
    (step,) = file.steps
    assert isinstance(step, UploadStep)
    assert step.batches[0].source == {1: Path("1.xml")}
    assert [warning.partition(": ")[0] for warning in file.warnings] == [
        "steps.yaml, line 4, column 5",
        "steps.yaml, line 5, column 5",
    ]


def test_the_folder_of_each_task_can_be_named_and_then_wins() -> None:
    file = loaded(
        "- task: download\n"
        "  parameters: {task_ids: [1, 2], out_dir: x, out_paths: [a, ~/b], folder_prefix: ''}\n"
    )
    (step,) = file.steps
    assert isinstance(step, DownloadStep)
    assert step.paths == {1: Path("a"), 2: Path("~/b").expanduser()}
    (warning,) = file.warnings
    assert warning.startswith("steps.yaml, line 2, column 34: 'out_dir': it has no effect")


def test_a_null_counts_as_absent_and_a_prefix_may_be_empty() -> None:
    step = only(
        "- task: download\n"
        "  server:\n"
        "  parameters:\n"
        "    task_ids: [7]\n"
        "    out_dir: x\n"
        "    out_paths: null\n"
        "    skip_existing: ~\n"
        "    folder_prefix: ''\n"
    )
    assert step.paths == {7: Path("x/7")}
    assert (step.server, step.skip_existing) == ({}, True)


def test_a_mirror_accepts_every_option_of_its_command() -> None:
    step = only(
        "- task: mirror\n"
        "  parameters:\n"
        "    dest: data\n"
        "    project_id: 5\n"
        "    task_id: [1, 2]\n"
        "    status: completed\n"
        "    subset: train\n"
        "    name: street\n"
        "    owner: ann\n"
        "    assignee: bob\n"
        "    updated_since: 2026-03-31\n"
        "    filter: {'==': [{var: dimension}, 3d]}\n"
        "    format: COCO 1.0\n"
        "    images: yes\n"
        "    folder_prefix: t_\n"
        "    keep_archive: true\n"
        "    concurrency: 3\n"
        "    transfers: 2\n"
        "    bwlimit: 10M\n"
        "    retries: 0\n"
        "    export_timeout: 1h30m\n"
        "    force: true\n"
        "    no_reuse: true\n"
        "    no_refresh: true\n"
        "    trust_receipts: true\n"
        "    prune: true\n"
        "    max_delete: 50%\n"
        "    adopt: true\n"
        "    no_fsync: true\n"
        "    break_lock: true\n"
    )
    assert isinstance(step, MirrorStep)
    assert step.dest == Path("data")
    assert (step.format, step.images) == ("COCO 1.0", True)
    assert step.selection == ac.Selection(
        project_ids=(5,),
        task_ids=(1, 2),
        status="completed",
        subset="train",
        name="street",
        owner="ann",
        assignee="bob",
        updated_since="2026-03-31T00:00:00Z",
        filter=json.dumps({"==": [{"var": "dimension"}, "3d"]}),
    )
    assert step.options == ac.MirrorOptions(
        folder_prefix="t_",
        keep_archive=True,
        concurrency=3,
        transfers=2,
        bandwidth=10 * 1024**2,
        retries=0,
        export_timeout=5400,
        force=True,
        reuse=False,
        refresh=False,
        trust_receipts=True,
        prune=True,
        max_delete="50%",
        adopt=True,
        durable=False,
        break_lock=True,
    )


def test_a_mirror_s_keys_are_the_names_of_its_options() -> None:
    application: Any = get_command(app)
    of_the_command = {
        option.opts[0].removeprefix("--").replace("-", "_")
        for option in application.commands["mirror"].params
        if option.opts[0].startswith("--")
    }
    shared = {option.opts[0].removeprefix("--").replace("-", "_") for option in application.params}
    elsewhere = {
        "help",
        "dry_run",
        "quiet",
        "json",
        "report_json",
        "log_json",
        "report",
        "failed_from",
    }
    assert set(PARAMETERS[MIRROR].keys) == of_the_command - elsewhere - shared | {"dest"}


def test_a_mirror_without_options_has_the_defaults_of_its_command() -> None:
    step = only("- {task: mirror, parameters: {dest: data}}\n")
    assert (step.selection, step.format, step.images) == (ac.Selection(), None, None)
    assert step.options == ac.MirrorOptions()


def test_projects_are_named_and_ids_may_be_ranges() -> None:
    step = only(
        "- task: mirror\n"
        "  parameters:\n"
        "    {dest: x, project: [Street, 5], task_id: [7, 1-3], exclude: 'a*', limit: 2}\n"
    )
    assert step.selection == ac.Selection(
        projects=["Street", 5], task_ids=(7, 1, 2, 3), exclude=["a*"], limit=2
    )
    assert required(step.selection.task_ids) == {7}
    (problem,) = told("- {task: mirror, parameters: {dest: x, task_id: 3-1}}\n")
    assert "'task_id': '3-1' ends before it begins. Write a range like 1-500." in problem


@pytest.mark.parametrize(
    "written", ["1-3,7", "[1-3, 7]", "'1-3, 7,'", "'@ids.txt'", "['@ids.txt']", "['1-2,3', 7]"]
)
@pytest.mark.parametrize("verb", ["mirror", "download", "upload", "restore"])
def test_ids_are_written_as_on_the_command_line(verb: str, written: str) -> None:
    write("ids.txt", "# for today\n1-3\n7\n")
    write("raw/task3/annotations.xml")
    write("raw/task7/annotations.xml")
    parameters = {
        "mirror": "dest: x, task_id: ",
        "download": "out_dir: x, task_ids: ",
        "upload": "in_dir: raw, task_ids: ",
        "restore": "src: raw, task_id: ",
    }
    keys = parameters[verb].replace(", ", "\n    ")
    step = only(f"- task: {verb}\n  parameters:\n    {keys}{written}\n")
    if verb == "download":
        ids = step.paths
    elif verb == "upload":
        ids = step.batches[0].task_ids
        assert step.gaps == {1, 2}
        assert tuple(step.present[0].task_ids) == (3, 7)
    else:
        ids = step.ids if verb == "restore" else step.selection.task_ids
    assert tuple(ids) == (1, 2, 3, 7)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("'1-3,x'", "'task_ids': 'x' is no id."),
        ("3-1", "ends before it begins"),
        ("'@gone.txt'", "'gone.txt' cannot be read: No such file or directory. Check the path."),
        ("'@empty.txt'", "'empty.txt' holds no id."),
        ("'@bytes.txt'", "'bytes.txt' is no text."),
        ("'@words.txt'", "'street' is no id."),
        ("[1-3, 1-3]", "1-3 is in 'task_ids' twice"),
        ("[7, 7]", "7 is in 'task_ids' twice"),
        ("{a: 1}", "must be a list like [147, 200-299]"),
        ("street", "must be a whole number from 1 like 147"),
    ],
)
def test_ids_that_cannot_be_read_are_one_problem_with_its_reason(written: str, says: str) -> None:
    write("empty.txt", "# none\n")
    write("words.txt", "1 street\n")
    Path("bytes.txt").write_bytes(b"\xff\xfe")
    (problem,) = told(f"- {{task: download, parameters: {{out_dir: x, task_ids: {written}}}}}\n")
    assert says in problem


def test_folders_are_named_one_by_one_for_tasks_that_are_so_too() -> None:
    step = "- {task: download, parameters: {task_ids: 1-2, out_paths: [a, b]}}\n"
    (problem,) = told(step)
    assert "of a range not every number is a task" in problem


def test_a_file_of_a_range_that_cannot_be_uploaded_is_reported_at_the_range() -> None:
    Path("raw/task2").mkdir(parents=True)
    (problem,) = told("- {task: upload, parameters: {in_dir: raw, task_ids: [7-9, 1-3]}}\n")
    assert problem.startswith("line 1, column 60: cannot upload 'raw/task2'")


@pytest.mark.parametrize("text", ['{"==": [{"var": "id"}, 1]}', "3"])
def test_a_filter_may_be_its_text(text: str) -> None:
    source = f"- task: mirror\n  parameters:\n    dest: x\n    filter: '{text}'\n"
    if text == "3":
        assert "filter '3' is no JSON logic." in told(source)[0]
    else:
        assert only(source).selection.filter == text


def test_anchors_and_merged_keys_are_understood() -> None:
    file = loaded(
        "- task: download\n"
        "  server: &lab {url: http://a, token: t}\n"
        "  parameters: &all {task_ids: [1], out_dir: x}\n"
        "- task: download\n"
        "  server: *lab\n"
        "  parameters: &more {<<: *all, out_dir: y}\n"
        "- {task: download, parameters: *more}\n"
    )
    first, second, third = file.steps
    assert isinstance(third, DownloadStep)
    assert third.paths == {1: Path("y/task1")}
    assert isinstance(second, DownloadStep)
    assert second.paths == {1: Path("y/task1")}
    assert {name: value.text for name, value in second.server.items()} == {
        "url": "http://a",
        "token": "t",
    }
    assert first.server.keys() == second.server.keys()


def test_the_settings_of_a_server_are_read_as_written() -> None:
    step = only(
        "- task: mirror\n"
        "  server: {url: http://a, username: 7, password: 0123, project_id: 0, insecure: false,\n"
        "           organization: ''}\n"
        "  parameters: {dest: x}\n"
    )
    assert {name: value.text for name, value in step.server.items()} == {
        "url": "http://a",
        "username": "7",
        "password": "0123",
        "insecure": "false",
    }
    assert "0123" not in repr(step)


def test_a_step_may_name_headers_a_certificate_and_a_proxy() -> None:
    step = only(
        "- task: mirror\n"
        "  server:\n"
        "    url: http://a\n"
        "    headers: {X-Api-Key: hidden-1, X-Number: 0123}\n"
        "    client_cert: ann.pem\n"
        "    client_key: ann.key\n"
        "    proxy: http://bob:hidden-2@proxy:3128\n"
        "  parameters: {dest: x}\n"
    )
    assert {name: value.text for name, value in step.server.items()} == {
        "url": "http://a",
        "headers": "X-Api-Key: hidden-1\nX-Number: 0123",
        "client_cert": "ann.pem",
        "client_key": "ann.key",
        "proxy": "http://bob:hidden-2@proxy:3128",
    }
    assert "hidden" not in repr(step)


def test_headers_that_are_no_mapping_are_a_problem_without_their_values() -> None:
    (problem,) = told(
        "- task: mirror\n  server: {url: http://a, headers: [hidden-1]}\n  parameters: {dest: x}\n"
    )
    assert "'headers' must hold headers like 'X-Api-Key: value'" in problem
    assert "hidden" not in problem


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o600])
def test_a_file_of_secrets_that_others_can_read_is_warned_of_once(mode: int) -> None:
    file = Path("steps.yaml")
    step = f"- task: mirror\n  server: {{url: http://a, token: {SECRET}}}\n"
    file.write_text(f"{step}  parameters: {{dest: x}}\n{step}  parameters: {{dest: y}}\n")
    file.chmod(mode)
    warnings = ac.load_run_file(file).warnings
    assert len(warnings) == (mode != 0o600)
    assert all("chmod 600 'steps.yaml'" in one and SECRET not in one for one in warnings)


def test_files_that_an_earlier_step_fetches_need_not_exist_yet() -> None:
    file = loaded(
        "- {task: download, parameters: {task_ids: [1], out_dir: raw}}\n"
        "- {task: mirror, parameters: {dest: data}}\n"
        "- {task: upload, parameters: {task_ids: [1], in_dir: raw}}\n"
        "- {task: upload, parameters: {task_ids: [5], in_dir: data/../data}}\n"
    )
    third, fourth = file.steps[2:]
    assert isinstance(third, UploadStep)
    assert isinstance(fourth, UploadStep)
    assert third.awaits == frozenset({1})
    assert fourth.awaits == frozenset({5})
    assert third.batches[0].without(third.awaits).task_ids == ()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("5", "'url' must be an address, not the number '5'"),
        ("ftp://cvat.example.com", "does not start with http"),
        ("[http://a]", "must be an address, not a list"),
        ("http://a/tasks/1", "has task 1 in it. Give http://a, and the id by itself."),
    ],
)
def test_a_bad_address_is_reported_with_its_position(url: str, why: str) -> None:
    (line,) = told(
        f"- task: download\n  server: {{url: {url}}}\n  parameters: {{task_ids: [1], out_dir: x}}\n"
    )
    assert "line 2, column 17" in line
    assert why in line


def test_every_problem_is_reported_at_once_with_its_position() -> None:
    lines = told(
        "- task: download_cvat_task\n"
        "- task: download\n"
        "  server: {url: http://a, usrname: x, password: [hunter2-and-more]}\n"
        "  parameters:\n"
        "    task_ids: [1, '2', 1, 0]\n"
        "    out_dir: 2026\n"
        "    skip_existing: maybe\n"
        "    out_dir: y\n"
        "- task: upload\n"
        "  parameters:\n"
        "    tasks:\n"
        "      - {task_id: 1, annotation_path: nope.xml}\n"
        "      - {task_id: 1, annotation_path: nope.xml}\n"
        "      - {task_id: 2, annotation_pth: nope.xml}\n"
        "      - 5\n"
        "- {task: upload, parameters: {in_dir: x}}\n"
        "- {task: mirror, parameters: {bwlimit: fast, export_timeout: [], filter: 7}}\n"
        "- {task: download, parameters: {task_ids: [], out_dir: x}}\n"
        "- {task: download, parameters: {task_ids: [1, 2], out_paths: [x]}}\n"
        "- {task: download, parameters: {task_ids: [1, 2], out_paths: [x, ./x]}}\n"
        "- {task: download, parameters: {task_ids: [1], out_dir: x, folder_prefix: ../}}\n"
        "- {task: mirror, parameters: {dest: x, folder_prefix: 7, status: done}}\n"
        "- {task: mirror, parameters: "
        "{dest: '', retries: -1, concurrency: 129, updated_since: lately}}\n"
        "- {parameters: {dest: x}}\n"
        "- {task: mirror}\n"
        "- {task: mirror, server: here, parameters: here}\n"
        "- foo\n"
        "- {task: mirror, parameters: {dest: x, name: '  '}}\n"
        f"- {{task: mirror, parameters: {{dest: 'https://ann:{SECRET}@cvat'}}}}\n"
    )
    assert not [line for line in lines if SECRET in line]
    expected = [
        (1, "did you mean 'download_cvat_tasks'?"),
        (3, "no key 'usrname' here; did you mean 'username'?"),
        (3, "'password' must be a single value"),
        (5, "whole number from 1 (write it without quotes), not the text '2'"),
        (5, "1 is in 'task_ids' twice: remove one of them"),
        (5, "whole number from 1 like 147, not the number '0'"),
        (7, "'skip_existing' must be true or false, not the text 'maybe'"),
        (8, "'out_dir' is there twice: remove one of them"),
        (12, "nope.xml': there is no such file or folder"),
        (13, "task 1 is named twice"),
        (14, "'annotation_path' is missing: The file"),
        (14, "did you mean 'annotation_path'?"),
        (15, "must hold keys like 'task_id': the number '5'"),
        (16, "'tasks' or 'task_ids' and 'in_dir' is missing"),
        (17, "'dest' is missing"),
        (17, "'bwlimit': the text 'fast' is no size. Write one like 800K"),
        (17, "'export_timeout' must be a text, in quotes, not an empty list"),
        (17, "'filter' must be JSON logic"),
        (18, "'task_ids' must be a list like [147, 200-299], not an empty list"),
        (19, "'out_paths' has 1 folders for 2 tasks"),
        (20, "tasks 1 and 2 have the same folder: 'x'"),
        (21, "the folder prefix '../' cannot be used"),
        (22, "'folder_prefix' must be a text (put it in quotes), not the number '7'"),
        (22, "'status' must be one of annotation, validation, completed, not 'done'"),
        (23, "'dest' must be a text, not an empty text"),
        (23, "'retries' must be a whole number from 0"),
        (23, "'concurrency' must be a whole number from 1 to 128 like 4"),
        (23, "'updated_since': the text 'lately' is neither a date nor an age."),
        (24, "'task' is missing: write one of download_cvat_tasks"),
        (25, "'parameters' is missing: mirror takes dest, project, project_id"),
        (26, "'server' must hold keys like 'url'"),
        (26, "'parameters' must hold keys like 'dest'"),
        (27, "a step must hold 'task' and 'parameters'"),
        (28, "'name' must be a text, not an empty text"),
        (29, "'dest' must be a path, not an address: write the server's address"),
    ]
    for line, words in expected:
        assert any(
            told_.startswith(f"line {line}, column ") and words in told_ for told_ in lines
        ), (line, words)
    assert len(lines) == len(expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is empty"),
        ("<html>Login</html>", "it is an HTML page"),
        ("<annotations", "cut short"),
        ("hello", "neither XML nor a JSON object nor a zip"),
    ],
)
def test_a_bad_annotation_file_is_reported_with_the_position_that_names_it(
    content: str, words: str
) -> None:
    write("one.xml", content)
    (line,) = told(
        "- task: upload\n"
        "  parameters:\n"
        "    tasks:\n"
        "      - {task_id: 1, annotation_path: one.xml}\n"
    )
    assert line.startswith("line 4, column 9: ")
    assert words in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column 1: it holds no steps: write `- task:"),
        ("[]", "line 1, column 1: it must be a list of steps, not an empty list"),
        ("task: mirror\n", "line 1, column 1: it must be a list of steps, not a mapping"),
        ("- {<<: 5, task: mirror}\n", "'<<' merges the keys of another mapping"),
        ("- ? [a]\n  : b\n", "there is no key '' here"),
        ("- task: mirror\n  parameters: {dest: x, filter: &a {k: *a}}\n", "JSON logic"),
        ("- task: mirror\n  parameters: {dest: x, filter: {[a]: 1}}\n", "JSON logic"),
    ],
)
def test_a_file_without_steps_is_reported(text: str, words: str) -> None:
    assert any(words in line for line in told(text))


def test_a_file_that_cannot_be_read_is_reported_without_its_content() -> None:
    with pytest.raises(ac.ConfigError, match=r"'absent.yaml' cannot be read: No such file"):
        ac.load_run_file("absent.yaml")
    for text in (f"- task: [\n  {SECRET}", "[" * 5000):
        with pytest.raises(ac.ConfigError, match="this is not YAML") as caught:
            loaded(text)
        assert SECRET not in str(caught.value)
        assert str(caught.value).startswith("steps.yaml")


def test_many_tasks_that_an_earlier_step_fetches_are_found_in_one_pass() -> None:
    # To compare each of them with each other one would take longer than a test may.
    last = 20_000
    steps: tuple[Any, ...] = loaded(
        f"- {{task: download, parameters: {{task_ids: 1-{last}, out_dir: raw}}}}\n"
        f"- {{task: upload, parameters: {{task_ids: 1-{last}, in_dir: raw}}}}\n"
    ).steps
    assert len(steps[1].awaits) == last

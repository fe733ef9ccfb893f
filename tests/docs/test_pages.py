"""The pages name every setting, option, error and promise that there is, and nothing else."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from collections.abc import Iterator
from typing import Any

import pytest
from pages import PAGES, ROOT, blocks, text
from typer.main import get_command

import asynccvat
from asynccvat import errors
from asynccvat.cli import app
from asynccvat.cli.exit_codes import MEANINGS, ExitCode
from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES
from asynccvat.settings import DEFAULT_FILES
from asynccvat.settings.values import FLAGS

README = text("README.md")
SETTINGS = text("docs/commands/settings.md")
OVERVIEW = text("docs/commands/index.md")
REFERENCE = text("docs/commands/reference.md")
ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130
    assert len(README.split()) <= 1200


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_is_wrapped_and_its_lists_are_lists(page: Any) -> None:
    prose = re.sub(
        r"^( *)```.*?^\1```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    before = ""
    for line in prose.splitlines():
        # Tables and pictures cannot be wrapped.
        assert len(line) <= 100 or line.startswith(("|", "![")), line
        if re.match(r"[-*] |\d+\. ", line) and before:
            # Markdown joins a list to the paragraph right before it.
            assert re.match(r"[-*] |\d+\. | ", before), line
        before = line


def test_every_place_of_settings_is_named() -> None:
    for name in (*VARIABLES.values(), CONFIG_VARIABLE, *DEFAULT_FILES, *FLAGS):
        assert f"`{name}`" in SETTINGS, f"the page of settings does not name {name}"


def commands(group: Any, *path: str) -> Iterator[tuple[str, set[str]]]:
    """The commands of a group, those of its groups too, each with all forms of its options."""
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), flags(command)
        yield from commands(command, *path, name)


def flags(command: Any) -> set[str]:
    given = {flag for item in command.params for flag in (*item.opts, *item.secondary_opts)}
    return {flag for flag in given if flag.startswith("-")} | {"--help", "-h"}


CLI = get_command(app)
COMMANDS = dict(commands(CLI))
SECTIONS = {
    heading: {flag for row in ROW.findall(section) for flag in re.findall(r"`(--?[\w-]+)", row[0])}
    for heading, section in re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL
    )
}
SHARED = SECTIONS["Options of every command"] | {"--help", "-h"}


def test_every_command_is_named_where_the_overview_says_what_it_does() -> None:
    assert {"mirror", "requests cancel"} <= COMMANDS.keys()
    for name in COMMANDS:
        assert f"`{name}" in OVERVIEW, f"the overview does not say what {name} does"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_named_and_no_other(name: str) -> None:
    shared = SHARED if "--url" in COMMANDS[name] else {"--help", "-h"}
    assert SECTIONS[name] == COMMANDS[name] - shared


GUIDES = {
    "mirror": "docs/commands/mirror.md",
    "download": "docs/commands/mirror.md",
    "upload": "docs/commands/upload.md",
    "verify": "docs/commands/verify.md",
    "restore": "docs/commands/restore.md",
    "create": "docs/commands/create.md",
    "import-dataset": "docs/commands/import-dataset.md",
    "copy": "docs/commands/copy.md",
    "delete": "docs/commands/delete.md",
    "export-to-cloud": "docs/commands/export-to-cloud.md",
    "run": "docs/commands/run-files.md",
}


@pytest.mark.parametrize("name", GUIDES)
def test_the_guide_of_a_command_names_its_options(name: str) -> None:
    guide = text(GUIDES[name])
    for flag in sorted(SECTIONS[name]):
        if flag.startswith("--"):
            assert flag in guide, f"{GUIDES[name]} does not explain {flag}"


def test_the_options_of_every_command_are_named() -> None:
    assert flags(CLI) == SHARED | SECTIONS["asynccvat"]
    assert COMMANDS["mirror"] >= SHARED
    others = {"asynccvat", "Options of every command", "Exit codes"}
    assert SECTIONS.keys() - others == COMMANDS.keys()


def test_the_reference_is_made_from_the_commands_as_they_are() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))
    assert made["page"]() == REFERENCE, "run docs/make_commands.py"


def test_every_exit_code_is_explained() -> None:
    explained = re.findall(r"^\| (\d+) \| (.*) \|$", OVERVIEW, re.MULTILINE)
    assert {int(code): text for code, text in explained} == MEANINGS
    assert sorted(MEANINGS) == sorted(ExitCode)


# What datnvt-cvat-cli 0.1.0 has.
ITS_COMMANDS = (
    *("download", "upload", "list-tasks", "list-projects", "task-info", "check-connection", "run"),
    *("--config", "--url", "--username", "--password", "--verbose", "--project-id"),
)
ITS_NAMES = (
    *("CVATClient", "ServerConfig", "DatasetFormat", "from_config"),
    *("check_connection", "check_project", "get_projects", "get_tasks", "get_task_ids"),
    *("get_task_info", "download_tasks", "download_annotations", "upload_tasks"),
    "upload_annotations",
)
MOVES = ROW.findall(text("docs/howto/from-datnvt-cvat-cli.md"))


def test_every_command_and_method_of_datnvt_cvat_cli_has_one_of_ours() -> None:
    theirs = " ".join(left for left, _ in MOVES)
    for name in (*ITS_COMMANDS, *ITS_NAMES):
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", theirs), f"{name} has no counterpart"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_name_of_ours_that_a_page_uses_exists(page: Any) -> None:
    content = page.read_text("utf-8")
    for name in re.findall(r"\bac\.(\w+)", content):
        assert hasattr(asynccvat, name), name
    for name in re.findall(r"\bawait client\.(\w+)", content):
        assert hasattr(asynccvat.CvatClient, name), name


def test_every_method_that_they_are_sent_to_exists() -> None:
    for _, ours in (*MOVES, *ROW.findall(text("docs/howto/from-cvat-cli.md"))):
        for name in re.findall(r"\bclient\.(\w+)", ours):
            assert hasattr(asynccvat.CvatClient, name), name


def test_the_commands_of_datnvt_cvat_cli_are_commands_of_ours() -> None:
    shown = {
        command for left, _ in MOVES for command in re.findall(r"`([a-z]+(?:-[a-z]+)*)\b", left)
    }
    assert {name for name in ITS_COMMANDS if not name.startswith("-")} <= shown & COMMANDS.keys()


def test_the_lines_that_set_everything_up_are_there() -> None:
    lines = [
        line
        for item in blocks("sh")
        if item.page == "README.md"
        for line in item.text.splitlines()
        if line.startswith("python3 -m venv .venv && ")
    ]
    demo, tests = lines
    assert demo.endswith("asynccvat demo")
    assert tests.endswith("-m pytest")


def test_the_check_runs_the_line_for_the_tests() -> None:
    pattern = re.search(r"sed -n 's/\^\\\((.*)\\\)\$/", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert pattern is not None
    assert re.search(rf"^{pattern[1]}$", README, re.MULTILINE)


def promises(page: str) -> list[str]:
    """The names of the numbered promises of a page."""
    return re.findall(r"^\d+\. \*\*(.+?)\.\*\* ", text(page), re.MULTILINE)


def test_each_promise_has_a_proof() -> None:
    proofs = text("docs/reliability.md").partition("## Last figures")[0]
    promised = " ".join(
        row.split("|")[2] for row in proofs.splitlines() if row.startswith("| ") and "tests/" in row
    )
    assert len(promises("README.md")) == 10
    for promise in promises("README.md"):
        assert promise.lower().removeprefix("a ") in promised, promise


def test_the_pages_make_the_same_promises() -> None:
    assert promises("docs/index.md") == promises("README.md")
    assert promises("docs/reliability.md") == promises("README.md")


def test_every_error_is_explained_and_no_other() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.AsyncCvatError)
    }
    explained = re.findall(r"^\| `(\w+Error)` \|", text("docs/troubleshooting.md"), re.MULTILINE)
    assert sorted(explained) == sorted(classes | {"TasksFailedError"})


def test_every_page_is_in_the_navigation() -> None:
    navigation = text("mkdocs.yml").partition("\nnav:")[2]
    for page in PAGES:
        if page.is_relative_to(ROOT / "docs"):
            assert page.relative_to(ROOT / "docs").as_posix() in navigation, page


ARCHITECTURE = text("docs/architecture.md")
WAYS = [
    re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| `([\w.]+)` \|$", table, re.MULTILINE)
    for table in re.split(r"An upload takes another way|A restore takes a third", ARCHITECTURE)
]


def test_the_ways_of_a_mirrored_an_uploaded_and_a_restored_task_are_short() -> None:
    assert all(5 < len(way) <= 12 for way in WAYS)


@pytest.mark.parametrize(("file", "function"), [step for way in WAYS for step in way])
def test_each_step_of_a_task_is_where_the_page_says(file: str, function: str) -> None:
    body = ast.parse(text(f"asynccvat/{file}")).body
    for name in function.split("."):
        named = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        (body,) = [item.body for item in body if isinstance(item, named) and item.name == name]


@pytest.mark.parametrize("module", [asynccvat, asynccvat.models], ids=lambda item: item.__name__)
def test_every_public_name_is_in_the_reference(module: Any) -> None:
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs/python").glob("*.md"))
    whole = {"errors", "events", "models", "progress", "__version__"}
    listed = set(re.findall(r"^(?:::: asynccvat(?:\.models)?\.| +- )(\w+)$", pages, re.MULTILINE))
    for name in {*getattr(module, "__all__", dir(module))} - whole - vars(errors).keys():
        assert name in listed or name == "Event", name


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent == ROOT], ids=lambda path: path.name
)
def test_every_link_leads_to_a_file(page: Any) -> None:
    """Links between pages of the site are checked when it is built, those to it here."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (ROOT / target).exists(), target


def test_each_term_is_defined_once() -> None:
    glossary = text("docs/glossary.md")
    terms = re.findall(r"^(\*\*.+)\n:   ", glossary, re.MULTILINE)
    assert len(terms) > 40
    assert sorted(set(terms)) == sorted(terms)
    assert len(terms) == len(re.findall(r"^\*\*", glossary, re.MULTILINE))

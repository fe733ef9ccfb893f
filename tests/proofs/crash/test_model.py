"""A mirror against a model of it, whatever happens on the server, on disk and to the process.

Hypothesis chooses what happens. Tasks are edited, renamed, added and deleted on the server. Files
are edited, renamed, added and deleted on disk, and folders renamed. The mirror runs, with another
prefix or format, with `prune`, and is killed at some effect. The model says what each folder has to
hold, what has to be in `kept/`, and which tasks a run may export. After a kill the model does not
know how far the run came: it reads which of the two whole versions each folder is, and continues
from there.
"""

from __future__ import annotations

import io
import json
import urllib.parse
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from memory_folders import in_memory
from mirror_processes import Tree, job, read_folders, read_receipts
from trials import MINE
from warm_parent import Ended, WarmParent, warm_parent

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Crash at every step")

FORMATS = ("COCO 1.0", "Datumaro 1.0")
MOST_TASKS = 3
PICK = st.integers(0, 11)
"""Which of those that there are; taken modulo their number."""
LAST_EFFECT = 130
"""A run with nothing to do has some twenty effects, and one task costs forty more."""

_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def archive(server: SimulatedServer, task_id: int, format_name: str) -> Tree:
    """What the server's own archive of a task holds, as Python's `zipfile` reads it."""

    def call(method: str, url: str) -> bytes:
        headers = {"Authorization": f"Token {server.token}", "Accept": "*/*"}
        request = urllib.request.Request(url, method=method, headers=headers)
        with _directly.open(request) as answer:
            content: bytes = answer.read()
        return content

    query = urllib.parse.urlencode(
        {"format": format_name, "save_images": "true", "location": "local"}
    )
    asked = call("POST", f"{server.url}/api/tasks/{task_id}/dataset/export?{query}")
    place = f"{server.url}/api/requests/{urllib.parse.quote(json.loads(asked)['rq_id'])}"
    while (found := json.loads(call("GET", place)))["status"] != "finished":
        assert found["status"] in ("queued", "started"), found
    with zipfile.ZipFile(io.BytesIO(call("GET", found["result_url"]))) as content:
        return {name: content.read(name) for name in content.namelist()}


@dataclass(frozen=True)
class Version:
    """What a task was at a moment, in a format."""

    format: str
    updated: str
    tree: tuple[tuple[str, bytes], ...]


@dataclass
class Folder:
    """A task's folder as the model knows it.

    Attributes:
        name: Its name.
        versions: Those of which it is one: two where their trees are equal, and a kill left open
            which of them was recorded.
        tree: What it holds, with what the user did to it.
        going: Whether its receipt is gone, so that the next run removes it in any case.
    """

    name: str
    versions: set[Version]
    tree: Tree
    going: bool = False

    def has_all_of(self, version: Version) -> bool:
        return version in self.versions and dict(version.tree).keys() <= self.tree.keys()

    def of_the_user(self, but_for: Tree | None = None) -> list[bytes]:
        """What is not as it came: edited, added, or under another name; unless it is elsewhere."""
        came = {item for version in self.versions for item in version.tree}
        there = (but_for or {}).items()
        return [item[1] for item in self.tree.items() if item not in came and item not in there]


@dataclass
class Wish:
    """How the mirror is run."""

    prefix: str = "task"
    format: str = FORMATS[0]
    prune: bool = False


@dataclass
class Expected:
    """Where a run has to come to, from where it began.

    Attributes:
        folders: By task.
        kept: What it puts aside.
        fetched: Tasks that it exports.
        perhaps: What becomes of tasks that it may export, if it does.
    """

    folders: dict[int, Folder]
    kept: Counter[bytes] = field(default_factory=Counter)
    fetched: set[int] = field(default_factory=set)
    perhaps: dict[int, Folder] = field(default_factory=dict)


class Mirrored(RuleBasedStateMachine):
    """The state machine. The test that runs it sets `parent`; `count` is how many there were."""

    parent: WarmParent
    count = 0

    def __init__(self) -> None:
        super().__init__()
        Mirrored.count += 1
        self._stack = ExitStack()
        self.dest = self._stack.enter_context(in_memory()) / "data"
        self.server = self._stack.enter_context(
            serve_in_thread(SimulatorOptions(tasks=2, frames=1))
        )
        self.folders: dict[int, Folder] = {}
        self.kept: Counter[bytes] = Counter()
        self.foreign: dict[str, Tree] = {"mine": {}}
        self.lost: set[int] = set()
        self.at_rest = True
        self.leaving: dict[str, Tree] = {}
        self._written = 0
        self._versions: dict[tuple[int, str, str], Version] = {}

    def teardown(self) -> None:
        self._stack.close()

    # --- at the server --------------------------------------------------------------------------

    def _tasks(self) -> list[int]:
        return sorted(self.server.tasks)

    @rule(pick=PICK)
    def edit_a_task(self, pick: int) -> None:
        self.server.edit_task(self._picked(pick))

    @rule(pick=PICK)
    def rename_a_task(self, pick: int) -> None:
        """Its folder is named after its id, so nothing moves; but its date does."""
        self.server.rename_task(self._picked(pick), f"renamed {self.server.world.version}")

    @precondition(lambda self: len(self._tasks()) < MOST_TASKS)
    @rule()
    def add_a_task(self) -> None:
        self.server.add_task(frames=1)

    @precondition(lambda self: len(self._tasks()) > 1)
    @rule(pick=PICK)
    def delete_a_task(self, pick: int) -> None:
        self.server.delete_task(self._picked(pick))

    def _picked(self, pick: int) -> int:
        return self._tasks()[pick % len(self._tasks())]

    # --- here -----------------------------------------------------------------------------------

    def _write(self, path: Path) -> bytes:
        self._written += 1
        content = MINE + b": %d" % self._written
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return content

    @rule(pick=PICK, which=PICK)
    def edit_a_file(self, pick: int, which: int) -> None:
        for folder, path in self._picked_file(pick, which):
            folder.tree[path] = self._write(self.dest / folder.name / path)

    @rule(pick=PICK, path=st.sampled_from(["mine.txt", "images/mine.txt", "mine/too.txt"]))
    def add_a_file(self, pick: int, path: str) -> None:
        for folder in self._picked_folder(pick):
            folder.tree[path] = self._write(self.dest / folder.name / path)

    @rule(pick=PICK, which=PICK)
    def delete_a_file(self, pick: int, which: int) -> None:
        for folder, path in self._picked_file(pick, which):
            (self.dest / folder.name / path).unlink()
            del folder.tree[path]

    @rule(pick=PICK, which=PICK, folder_too=st.sampled_from(["", "images/", "mine/"]))
    def rename_a_file(self, pick: int, which: int, folder_too: str) -> None:
        """What it was is missing then; what it is, though as it came, is the user's."""
        for folder, path in self._picked_file(pick, which):
            self._written += 1
            new = f"{folder_too}renamed {self._written}"
            here = self.dest / folder.name
            (here / new).parent.mkdir(exist_ok=True)
            (here / path).rename(here / new)
            folder.tree[new] = folder.tree.pop(path)

    @precondition(lambda self: self.at_rest)
    @rule(pick=PICK)
    def rename_a_folder(self, pick: int) -> None:
        """It is the user's from there on, and its task is not there.

        Not after a kill: in the midst of an exchange the one before is put back then.
        """
        for folder in self._picked_folder(pick):
            self._written += 1
            new = f"renamed {self._written}"
            (self.dest / folder.name).rename(self.dest / new)
            self.foreign[new] = folder.tree
            (task_id,) = [one for one, held in self.folders.items() if held is folder]
            del self.folders[task_id]
            self.lost.add(task_id)

    def _picked_folder(self, pick: int) -> list[Folder]:
        """One folder, if there is any: how many there are depends on how far a killed run came."""
        if not self.folders:
            return []
        return [self.folders[sorted(self.folders)[pick % len(self.folders)]]]

    def _picked_file(self, pick: int, which: int) -> list[tuple[Folder, str]]:
        return [
            (folder, sorted(folder.tree)[which % len(folder.tree)])
            for folder in self._picked_folder(pick)
            if folder.tree
        ]

    @rule()
    def write_beside_the_folders(self) -> None:
        self.foreign["mine"]["mine.txt"] = self._write(self.dest / "mine/mine.txt")

    # --- runs -----------------------------------------------------------------------------------

    @rule(
        wish=st.builds(
            Wish,
            prefix=st.sampled_from(["task", "task", "job"]),
            format=st.sampled_from([FORMATS[0], *FORMATS]),
            prune=st.booleans(),
        )
    )
    def run(self, wish: Wish) -> None:
        expected = self._expect(wish)
        since = len(self.server.calls)
        ended = self._start(wish)
        assert ended.report.get("ok"), ended.report
        asked = self._check_exports(expected, since)
        assert expected.fetched <= asked.keys()
        for task_id in expected.perhaps:
            expected.folders[task_id].versions = {self._version(task_id, wish.format)}
        self.folders = expected.folders
        self.leaving = {}
        self.at_rest = True
        self.lost -= self.folders.keys()
        self.kept += expected.kept
        held = {folder.name: folder.tree for folder in self.folders.values()}
        assert self._here() == held
        aside = [path for path in (self.dest / ".asynccvat/kept").rglob("*") if path.is_file()]
        assert Counter(path.read_bytes() for path in aside) == self.kept
        assert list((self.dest / ".asynccvat/staging").iterdir()) == []
        receipts = read_receipts(self.dest)
        assert {
            one: receipt.head.folder for one, receipt in receipts.items() if one not in self.lost
        } == {one: folder.name for one, folder in self.folders.items()}

    @rule(
        wish=st.builds(
            Wish,
            prefix=st.sampled_from(["task", "task", "job"]),
            format=st.sampled_from([FORMATS[0], *FORMATS]),
            prune=st.booleans(),
        ),
        number=st.integers(1, LAST_EFFECT),
        commits=st.booleans(),
    )
    def run_and_die(self, wish: Wish, number: int, commits: bool) -> None:
        """Be killed at an effect, half of the time at one of a commit or of a recovery."""
        expected = self._expect(wish)
        phases = ("commit", "recovery") if commits else ()
        since = len(self.server.calls)
        if commits:
            number = 1 + number // 3
        self._start(wish, die_at=number, phases=phases)
        self._check_exports(expected, since)
        self._look_how_far_it_came(expected)
        self.at_rest = False

    def _start(self, wish: Wish, **how: Any) -> Ended:
        options = {
            "folder_prefix": wish.prefix,
            "prune": wish.prune,
            "max_delete": "100%",
            "transfers": 1,
            "concurrency": 1,
        }
        wanted = job(self.server, self.dest, format=wish.format, options=options)
        return self.parent.run(replace(wanted, **how))

    # --- the model ------------------------------------------------------------------------------

    def _version(self, task_id: int, format_name: str) -> Version:
        updated = self.server.tasks[task_id].updated_date.isoformat()
        key = (task_id, format_name, updated)
        if key not in self._versions:
            tree = archive(self.server, task_id, format_name)
            self._versions[key] = Version(format_name, updated, tuple(sorted(tree.items())))
        return self._versions[key]

    def _expect(self, wish: Wish) -> Expected:
        expected = Expected({})
        for task_id in self._tasks():
            folder = self.folders.get(task_id)
            version = self._version(task_id, wish.format)
            name = f"{wish.prefix}{task_id}"
            fetched = Folder(name, {version}, dict(version.tree))
            if folder is None or folder.going or not folder.has_all_of(version):
                expected.fetched.add(task_id)
            elif len(folder.versions) > 1:
                expected.perhaps[task_id] = fetched
                expected.folders[task_id] = replace(folder, name=name, tree=dict(folder.tree))
                continue
            else:
                expected.folders[task_id] = replace(folder, name=name, tree=dict(folder.tree))
                continue
            expected.folders[task_id] = fetched
            if folder is not None:
                expected.kept.update(folder.of_the_user())
        for task_id, folder in self.folders.items():
            if task_id in self._tasks():
                continue
            if wish.prune or folder.going:
                expected.kept.update(folder.of_the_user())
            else:
                expected.folders[task_id] = folder
        return expected

    def _asked(self, since: int) -> Counter[int]:
        return Counter(
            call.task_id
            for call in self.server.calls[since:]
            if call.method == "POST" and call.path.endswith("/dataset/export") and call.task_id
        )

    def _check_exports(self, expected: Expected, since: int) -> Counter[int]:
        """Nothing is exported without need, or twice; what is tells how a kill before ended."""
        asked = self._asked(since)
        assert asked.keys() <= expected.fetched | expected.perhaps.keys()
        assert max(asked.values(), default=1) == 1
        for task_id in asked.keys() & expected.perhaps.keys():
            expected.kept.update(self.folders[task_id].of_the_user())
            expected.folders[task_id] = expected.perhaps[task_id]
        return asked

    def _here(self) -> dict[str, Tree]:
        """The folders of tasks; those that are none of the mirror's are as they were."""
        here = read_folders(self.dest)
        foreign = {name: here.pop(name, {}) for name in self.foreign}
        assert foreign == self.foreign
        return here

    def _look_how_far_it_came(self, expected: Expected) -> None:
        here = self._here()
        receipts = read_receipts(self.dest)
        now: dict[int, Folder] = {}
        for task_id in self.folders.keys() | expected.folders.keys():
            old, new = self.folders.get(task_id), expected.folders.get(task_id)
            fits = [one for one in (old, new) if one and here.get(one.name) == one.tree]
            if not fits:
                # Removed, or not there yet.
                assert old is None or new is None or old.going
                self._set_aside(old, {})
                continue
            chosen = fits[-1]
            if len(fits) == 2 and fits[0].name == fits[1].name:
                chosen = replace(fits[0], versions=fits[0].versions | fits[1].versions)
            if len(fits) == 2 and fits[0].name != fits[1].name:
                # The new one is in its place, under another name, and the old one yet to leave.
                self.leaving[fits[0].name] = fits[0].tree
            del here[chosen.name]
            self._set_aside(old, chosen.tree)
            intent = self.dest / f".asynccvat/staging/{task_id}/receipt.json"
            going = old in fits and task_id not in receipts and not intent.exists()
            now[task_id] = replace(chosen, tree=dict(chosen.tree), going=going)
        for name, tree in self.leaving.items():
            if here.get(name) == tree:
                del here[name]
        assert here == {}, "no folder holds anything but one complete version"
        self.folders = now

    def _set_aside(self, old: Folder | None, tree: Tree) -> None:
        """What is in a folder's place does not have all that the user had in it."""
        if old is not None:
            self.kept.update(old.of_the_user(but_for=tree))

    @invariant()
    def nothing_of_the_user_is_lost(self) -> None:
        known = [folder.tree for folder in self.folders.values()] + list(self.foreign.values())
        contents = Counter(content for tree in known for content in tree.values()) + self.kept
        here = [path for path in self.dest.rglob("*") if path.is_file()]
        assert not contents - Counter(path.read_bytes() for path in here)


def test_whatever_happens_the_mirror_is_what_the_model_says(
    count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    with warm_parent() as parent:
        Mirrored.parent = parent
        Mirrored.count = 0
        run_machine(
            Mirrored,
            settings=settings(
                max_examples=300 if thorough else 8,
                stateful_step_count=25 if thorough else 15,
                derandomize=not thorough,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                # What a kill leaves may differ from run to run, and then a failure cannot shrink.
                phases=(Phase.generate,),
            ),
        )
    count_cases(Mirrored.count)

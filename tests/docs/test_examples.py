"""Every file of `docs/examples` runs against a simulated server, and a page shows it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import pickle
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from example_service import service
from pages import DOCS, Block, blocks, text

import asynccvat as ac
from asynccvat.simulator import Fault, ServerProcess, SimulatorOptions

Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., int]

EXAMPLES = DOCS / "examples"
BATCHES, AIRFLOW, PREFECT = blocks("py")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a file of the examples."""
    monkeypatch.syspath_prepend(EXAMPLES)
    files = {path.stem for path in EXAMPLES.glob("*.py")}
    yield importlib.import_module
    for name in files & sys.modules.keys():
        del sys.modules[name]


@pytest.fixture
def environment(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.token)


@pytest.fixture(scope="module")
def coco(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror in COCO format."""
    dest = tmp_path_factory.mktemp("coco")

    async def mirror() -> None:
        async with ac.CvatClient(server.url, token=server.token) as client:
            spec = ac.ExportSpec("COCO 1.0", images=True)
            (await ac.mirror(client, dest, spec=spec)).raise_for_failures()

    asyncio.run(mirror())
    return dest


# --- the pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", [path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}]
)
def test_a_page_shows_each_example(file: str) -> None:
    pages = "\n".join(page.read_text("utf-8") for page in DOCS.rglob("*.md"))
    if file.endswith(".py"):
        assert f'\n```{{.python}}\n--8<-- "docs/examples/{file}"\n```\n' in pages
    else:
        assert f"(../examples/{file})" in pages


def test_the_page_of_the_notebook_shows_its_cells() -> None:
    page = "docs/howto/notebook.md"
    code = [item.text.rstrip("\n") for item in blocks("python") if item.page == page]
    assert code == ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]
    for cell in cells():
        if cell["cell_type"] == "markdown":
            assert "".join(cell["source"]).rpartition("\n\n")[2] in text(page)


def test_the_notebook_holds_no_output() -> None:
    """What a run showed once would grow old."""
    assert all(not cell.get("outputs") for cell in cells())


def cells() -> list[dict[str, Any]]:
    content: dict[str, list[dict[str, Any]]] = json.loads(text("docs/examples/mirror.ipynb"))
    return content["cells"]


# --- the dataset ----------------------------------------------------------------------------------


def test_a_dataset_has_an_image_and_its_boxes_for_each_index(
    example: Callable[[str], Any], coco: Path
) -> None:
    dataset = example("mirror_dataset").MirrorDataset(coco)
    samples = [dataset[index] for index in range(len(dataset))]
    images = [sample.image for sample in samples]
    assert sorted(images) == sorted(coco.glob("task*/images/*/*.jpg"))
    assert images[0].parts[-4] == "task1"
    assert dataset.labels == sorted(dataset.labels)

    (file,) = coco.glob("task1/annotations/instances_*.json")
    told = json.loads(file.read_text())
    names = {item["id"]: item["name"] for item in told["categories"]}
    of_image = {item["id"]: item["file_name"] for item in told["images"]}
    expected = {
        (of_image[box["image_id"]], *box["bbox"], names[box["category_id"]])
        for box in told["annotations"]
    }
    shown = {
        (sample.image.name, *box, dataset.labels[label])
        for sample in samples
        if sample.image.parts[-4] == "task1"
        for box, label in zip(sample.boxes, sample.labels, strict=True)
    }
    assert shown == expected
    assert expected


def coco_task(mirror: Path, number: int, labels: dict[int, str], label: int) -> None:
    """A task with one image, one box of a label, and an image without boxes."""
    annotations = mirror / f"task{number}" / "annotations"
    annotations.mkdir(parents=True)
    receipts = mirror / ".asynccvat" / "receipts"
    receipts.mkdir(parents=True, exist_ok=True)
    head = {"task_id": number, "folder": f"task{number}"}
    (receipts / f"{number}.json").write_text(json.dumps(head) + "\n")
    (annotations / "instances_train.json").write_text(
        json.dumps(
            {
                "categories": [{"id": key, "name": name} for key, name in labels.items()],
                "images": [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "a.jpg"}],
                "annotations": [{"image_id": 1, "category_id": label, "bbox": [1, 2, 3, 4]}],
            }
        )
    )


def test_labels_are_numbered_by_name_over_all_tasks(
    example: Callable[[str], Any], tmp_path: Path
) -> None:
    coco_task(tmp_path, 10, {1: "dog", 2: "cat"}, 1)
    coco_task(tmp_path, 9, {1: "cat", 2: "ant"}, 1)
    dataset = example("mirror_dataset").MirrorDataset(tmp_path)
    assert dataset.labels == ["ant", "cat", "dog"]
    assert [dataset[index].labels for index in range(4)] == [(), (1,), (), (2,)]
    assert dataset[1].image == tmp_path / "task9" / "images" / "train" / "b.jpg"


def test_a_folder_without_a_mirror_is_no_dataset(
    example: Callable[[str], Any], tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="no annotations in COCO format"):
        example("mirror_dataset").MirrorDataset(tmp_path)


def test_a_transform_makes_the_items_and_a_dataset_goes_to_another_process(
    example: Callable[[str], Any], coco: Path
) -> None:
    module = example("mirror_dataset")
    dataset = module.MirrorDataset(coco, transform=str)
    assert dataset[0] == str(module.MirrorDataset(coco)[0])
    assert pickle.loads(pickle.dumps(dataset))[0] == dataset[0]
    assert "torch" not in vars(module)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_torch_loads_a_dataset_in_batches(
    example: Callable[[str], Any],
    coco: Path,
    server: ServerProcess,
    run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = example("mirror_dataset")
    dataset = module.MirrorDataset(coco, transform=module.to_tensors)
    plain = module.MirrorDataset(coco)
    assert bytes(dataset[0]["image"].numpy()) == plain[0].image.read_bytes()
    assert dataset[0]["boxes"].dtype is torch.float32
    assert dataset[0]["boxes"].shape == (len(plain[0].boxes), 4)
    assert dataset[0]["labels"].tolist() == list(plain[0].labels)
    assert run(BATCHES.text.replace("data/", str(coco)), server, coco) == 0
    assert len(capsys.readouterr().out.splitlines()) == -(-len(dataset) // 2)


# --- the step of a workflow -----------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_a_step_mirrors_and_returns_json_and_a_second_one_keeps(
    example: Callable[[str], Any], tmp_path: Path
) -> None:
    mirror_project = example("mirror_task").mirror_project
    dest = str(tmp_path / "data")
    first = mirror_project(2, dest)
    assert first["counts"] == {"fetched": 3}
    assert first["changed"] == sorted(str(path) for path in Path(dest).glob("task*"))
    assert json.loads(json.dumps(first)) == first
    assert mirror_project(2, dest) == {"changed": [], "counts": {"kept": 3}}


def test_a_step_fails_if_a_task_fails_and_its_retry_fetches_the_rest(
    example: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror_project = example("mirror_task").mirror_project
    with ServerProcess(SimulatorOptions(tasks=3, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        own.add_faults(Fault(export="fail", task_id=2, message="no frames", times=None))
        with pytest.raises(ac.TasksFailedError, match="1 of 3"):
            mirror_project(1, str(tmp_path / "data"))
        own.clear_faults()
        again = mirror_project(1, str(tmp_path / "data"))
    assert again["counts"] == {"kept": 2, "fetched": 1}


def decorator(*given: Any, **_: Any) -> Any:
    """Stand in for a scheduler's decorator, with options or without: call the function at once."""
    return given[0] if given else (lambda function: function)


@pytest.fixture
def schedulers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules with the names that the page imports; neither scheduler is installed for tests."""
    for name in ("airflow", "airflow.sdk", "prefect"):
        module: Any = types.ModuleType(name)
        module.task = module.dag = module.flow = decorator
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("example", "schedulers")
@pytest.mark.parametrize("item", [AIRFLOW, PREFECT], ids=str)
def test_what_the_page_shows_for_a_scheduler_calls_the_step(
    item: Block,
    server: ServerProcess,
    tmp_path: Path,
    run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dest = tmp_path / "data"
    assert run(item.text.replace("/srv/cvat", str(dest)), server, tmp_path) == 0
    assert capsys.readouterr().out == f"{sorted(str(path) for path in dest.glob('task*'))}\n"
    assert len(list(dest.glob("task*"))) == 3


# --- the notebook ---------------------------------------------------------------------------------

EXECUTE = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_the_notebook_runs(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.token)
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    executed = tmp_path / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, EXAMPLES / "mirror.ipynb", executed],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = [
        cell["outputs"]
        for cell in json.loads(executed.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    assert {output.get("name") for cell in outputs for output in cell} == {"stdout"}
    shown = ["".join("".join(output["text"]) for output in cell) for cell in outputs]
    opened, listed, planned, mirrored, boxes, closed = shown
    assert opened.strip()
    assert len(listed.splitlines()) == mirrored.count("fetched") == 6
    assert "6" in planned
    assert "car " in boxes
    assert closed == ""
    assert len(list((tmp_path / "data").glob("task*/images"))) == 6


# --- the service ----------------------------------------------------------------------------------


def installed_for_the_service() -> Any:
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    return pytest.importorskip("httpx", reason="httpx is not installed")


def messages(client: Any, url: str) -> Iterator[dict[str, Any]]:
    """The server-sent events of a mirror."""
    with client.stream("GET", url) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            assert line in {"", "event: progress"} or line.startswith("data: ")
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def test_a_service_streams_the_progress_of_a_mirror(
    server: ServerProcess, tmp_path: Path, start: Start
) -> None:
    httpx = installed_for_the_service()
    with (
        service(start, server, tmp_path) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60) as client,
    ):
        assert "Project 2" in client.get("/mirrors/2").text
        # Nothing to watch yet, nothing to stop; what is no number is no project.
        assert client.get("/mirrors/2/events").status_code == 204
        assert client.delete("/mirrors/2").status_code == 409
        assert client.get("/mirrors/<b>").status_code == 422

        assert client.post("/mirrors/2").status_code == 202
        *before, last = messages(client, "/mirrors/2/events")
        assert all(progress["state"] == "running" for progress in before)
        assert (last["state"], last["error"], last["fraction"]) == ("done", "", 1.0)
        assert (last["done"], last["total"], last["failed"]) == (3, 3, 0)
        assert [task["action"] for task in last["tasks"]] == ["fetched"] * 3
        assert len(list((tmp_path / "data" / "project2").glob("task*"))) == 3
        # Who comes later sees how it ended.
        assert list(messages(client, "/mirrors/2/events")) == [last]

        # What keeps a mirror from beginning is shown, and the service goes on.
        assert client.post("/mirrors/99").status_code == 202
        *_, gone = messages(client, "/mirrors/99/events")
        assert gone["state"] == "failed"
        assert "99" in gone["error"]
        assert client.post("/mirrors/1").status_code == 202
        *_, last = messages(client, "/mirrors/1/events")
        assert last["state"] == "done"


def cancels(server: ServerProcess) -> int:
    return sum(call["path"].endswith("/cancel") for call in server.calls)


def test_a_service_stops_a_mirror_on_demand_and_at_its_end(tmp_path: Path, start: Start) -> None:
    httpx = installed_for_the_service()
    with (
        contextlib.ExitStack() as left_open,
        ServerProcess(SimulatorOptions(tasks=3, frames=1, export_workers=1)) as own,
    ):
        # No export ends: the first one runs, and the others wait.
        own.add_faults(Fault(export="stick", times=None))
        with service(start, own, tmp_path) as address:
            client = left_open.enter_context(
                httpx.Client(base_url=address, trust_env=False, timeout=60)
            )
            assert client.post("/mirrors/1").status_code == 202
            assert client.post("/mirrors/1").status_code == 409
            exports_are_requested(own, 3)
            assert client.delete("/mirrors/1").status_code == 202
            *_, last = messages(client, "/mirrors/1/events")
            assert last["state"] == "stopped"
            assert cancels(own) >= 2

            before = cancels(own)
            assert client.post("/mirrors/1").status_code == 202
            exports_are_requested(own, 5)
            # A browser that still watches does not keep the service from its end.
            watching = left_open.enter_context(client.stream("GET", "/mirrors/1/events"))
            assert watching.status_code == 200
        assert cancels(own) > before


def exports_are_requested(server: ServerProcess, count: int) -> None:
    """Wait until the server was asked for so many exports."""
    while sum("/export" in call["path"] for call in server.calls) < count:
        pass

"""Read a mirror in COCO format as a dataset of images and boxes, for PyTorch or without it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sample:
    """An image and its boxes.

    Attributes:
        image: The file of the image.
        boxes: Left, top, width and height of each box, in pixels.
        labels: For each box, the position of its label in `MirrorDataset.labels`.
    """

    image: Path
    boxes: tuple[tuple[float, float, float, float], ...]
    labels: tuple[int, ...]


class MirrorDataset:
    """The images of a mirror, in a fixed order: of tasks by number, of images by name.

    It has the two methods that a `torch.utils.data.DataLoader` needs, and needs no PyTorch itself.
    A mirror puts whole folders in place, so a dataset can be made while one runs.
    """

    def __init__(
        self, mirror: str | Path, transform: Callable[[Sample], Any] | None = None
    ) -> None:
        """Read the annotations of `asynccvat mirror --format coco --images`.

        Args:
            mirror: The folder of the mirror.
            transform: Makes an item of a sample. A function at the top of a module also works in
                the processes of a data loader.

        Raises:
            FileNotFoundError: The folder holds no annotations in COCO format.
        """
        # The first line of each receipt names a task and its folder.
        heads = []
        for receipt in Path(mirror).glob(".asynccvat/receipts/*.json"):
            with receipt.open(encoding="utf-8") as lines:
                heads.append(json.loads(lines.readline()))
        files = [
            file
            for head in sorted(heads, key=lambda head: int(head["task_id"]))
            for file in sorted(Path(mirror, head["folder"]).glob("annotations/instances_*.json"))
        ]
        if not files:
            raise FileNotFoundError(f"{mirror} holds no annotations in COCO format")
        contents = [json.loads(file.read_text("utf-8")) for file in files]
        # Tasks of several projects number their labels differently: the names decide.
        names = {category["name"] for coco in contents for category in coco["categories"]}
        self.labels = sorted(names)
        self.transform = transform
        self._samples = [
            sample
            for file, coco in zip(files, contents, strict=True)
            for sample in self._read(file, coco)
        ]

    def __len__(self) -> int:
        """Return the number of images, those without boxes too."""
        return len(self._samples)

    def __getitem__(self, index: int) -> Any:
        """Return a sample, or what `transform` makes of it."""
        sample = self._samples[index]
        return self.transform(sample) if self.transform else sample

    def _read(self, file: Path, coco: dict[str, Any]) -> list[Sample]:
        number_of = {name: number for number, name in enumerate(self.labels)}
        label_of = {item["id"]: number_of[item["name"]] for item in coco["categories"]}
        boxes_of = defaultdict(list)
        for box in coco["annotations"]:
            boxes_of[box["image_id"]].append((tuple(box["bbox"]), label_of[box["category_id"]]))
        # `annotations/instances_train.json` is about the images in `images/train`.
        subset = file.stem.removeprefix("instances_")
        images = file.parents[1] / "images" / subset
        return [
            Sample(
                image=images / image["file_name"],
                boxes=tuple(box for box, _ in boxes_of[image["id"]]),
                labels=tuple(label for _, label in boxes_of[image["id"]]),
            )
            for image in sorted(coco["images"], key=lambda image: image["file_name"])
        ]


def to_tensors(sample: Sample) -> dict[str, Any]:
    """Make tensors of a sample. `torchvision.io.decode_image` decodes the image."""
    import torch  # noqa: PLC0415 - only who asks for tensors needs PyTorch

    encoded = bytearray(sample.image.read_bytes())
    return {
        "image": torch.frombuffer(encoded, dtype=torch.uint8),
        "boxes": torch.tensor(sample.boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(sample.labels, dtype=torch.int64),
    }

"""Decide to which part of a data set an image belongs.

A hash decides, so that the same task or image is in the same part in every run. Tasks that come or
go move no other task.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asynccvat.core.merge.choices import SplitBy
from asynccvat.core.merge.values import MergeImage, not_mergeable
from asynccvat.errors import ConfigError

TRAIN: Final = "train"
"""The only part of a data set that is not split."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
# Ultralytics reads these keys of data.yaml as something else than parts.
_RESERVED: Final = frozenset({"path", "names", "nc", "channels", "download", "yaml_file"})
_SUBSETS: Final[Mapping[str, str]] = {
    "": TRAIN,
    "default": TRAIN,
    "training": TRAIN,
    "validation": "val",
    "valid": "val",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class Split:
    """How a data set is split.

    Attributes:
        parts: Name and share of each part. None for one part.
        by: Whether all images of a task stay together, or each is placed on its own, or CVAT's
            subsets are the parts.
    """

    parts: Sequence[tuple[str, float]] = ()
    by: SplitBy = SplitBy.TASK

    def part_of(self, task_id: int, image: MergeImage, *, is_video: bool) -> str:
        """Return the part of an image. All frames of a video are in one part.

        Raises:
            ConfigError: Its subset cannot be the name of a part.
        """
        if self.by is SplitBy.SUBSET:
            return subset_part(image.subset)
        if not self.parts:
            return TRAIN
        key = str(task_id)
        if self.by is SplitBy.IMAGE and not is_video:
            key += f"/{image.name}"
        return self._chosen(key)

    def _chosen(self, key: str) -> str:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        for name, share in self.parts[:-1]:
            point -= share
            if point < 0:
                return name
        return self.parts[-1][0]


def read_split(text: str | None, by: SplitBy) -> Split:
    """Read shares like `train=0.8,val=0.1,test=0.1`.

    Raises:
        ConfigError: They are not shares of 1, or none are wanted.
    """
    if by is SplitBy.SUBSET and text:
        raise ConfigError("a split by subset takes no shares. Leave --split out.")
    if by is SplitBy.IMAGE and not text:
        raise ConfigError("a split by image needs shares. Add --split train=0.8,val=0.2.")
    if not text:
        return Split((), by)
    parts = [_part(one) for one in text.split(",")]
    names = [name for name, _ in parts]
    if len(set(names)) < len(names):
        raise _wrong(text, "a name is there twice")
    if not math.isclose(math.fsum(share for _, share in parts), 1, abs_tol=1e-6):
        raise _wrong(text, "the shares must add up to 1")
    return Split(tuple(parts), by)


def subset_part(subset: str) -> str:
    """Return the part for a subset of CVAT: `Validation` is `val`, no subset is `train`.

    Raises:
        InexactConversionError: It cannot be the name of a part.
    """
    name = subset.lower()
    name = _SUBSETS.get(name, name)
    if not _is_part(name):
        raise not_mergeable(
            f"its subset {subset!r} cannot be a part of a data set. Split by task instead"
        )
    return name


def _part(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    name = name.strip()
    if not _is_part(name):
        raise _wrong(text, f"{name!r} cannot be the name of a part")
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise _wrong(text, f"{number!r} is no share between 0 and 1")
    return name, share


def _is_part(name: str) -> bool:
    return _NAME.match(name) is not None and name not in _RESERVED


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f"cannot split by {text!r}: {why}. Give --split train=0.8,val=0.1,test=0.1.")

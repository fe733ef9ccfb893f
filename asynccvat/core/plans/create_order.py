"""Put images into the order that a list names: CVAT's `predefined` order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asynccvat.core.media.kinds import shown
from asynccvat.errors import ConfigError


class FrameOrder:
    """The place of each image in the list of a user."""

    def __init__(self, paths: Iterable[str], said: str) -> None:
        """Read a list.

        Args:
            paths: The paths of images below the source, with `/`. `./` before them is cut off.
            said: What messages call the list.

        Raises:
            ConfigError: A path is named twice, or none is.
        """
        self._said = said
        self._places: dict[str, int] = {}
        for path in paths:
            name = path.removeprefix("./")
            if name in self._places:
                raise ConfigError(
                    f"cannot use {said}: it names {shown(name)} twice. Remove one of them."
                )
            self._places[name] = len(self._places)
        if not self._places:
            raise ConfigError(
                f"cannot use {said}: it names no images. Name each image of the source once."
            )

    def check(self, images: Iterable[str]) -> None:
        """Check that the source has all images that the list names.

        Raises:
            ConfigError: It lacks some.
        """
        lacking = self._places.keys() - set(images)
        if lacking:
            first, more = min(lacking, key=self._places.__getitem__), len(lacking) - 1
            also = f" (and {more:,} more)" if more else ""
            raise ConfigError(
                f"cannot use {self._said}: it names {shown(first)}{also}, which is no image of the "
                "source. Name paths below it, like 'cam1/0001.jpg'."
            )

    def problems(self, images: Sequence[str]) -> list[str]:
        """Return what is wrong with a task's images: each that the list does not name."""
        return [
            f"{shown(name)} is not named in the order"
            for name in images
            if name not in self._places
        ]

    def place(self, path: str) -> int:
        """Return the place of an image; one that is not named comes last."""
        return self._places.get(path, len(self._places))

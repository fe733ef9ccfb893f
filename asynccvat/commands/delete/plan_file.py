"""Read the plan that a dry run of a deletion wrote."""

from __future__ import annotations

from pathlib import Path

from asynccvat.core.plans.delete import DeletePlan
from asynccvat.errors import ConfigError


def read_plan(path: Path) -> DeletePlan:
    """Return the plan in a file. Blocks.

    Raises:
        ConfigError: It cannot be read, is no plan, or a newer version wrote it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the plan {str(path)!r}: {error.strerror}. A dry run writes "
            "it: `asynccvat delete --plan FILE` without `--yes`."
        ) from error
    return DeletePlan.read(content, repr(str(path)))

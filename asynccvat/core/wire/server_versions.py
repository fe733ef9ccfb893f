"""Which versions of CVAT work."""

from __future__ import annotations

import re

# CVAT 2.16 brought the calls that asynccvat needs: POST .../dataset/export and /api/requests. In
# 2.16, filters of requests and parallel exports did not work yet (CVAT's changelog, #8216).
OLDEST = (2, 17)
"""The oldest version that works, as major and minor number."""

_WITH_ACCESS_TOKENS = (2, 48)

_VERSION = re.compile(r"\D{0,3}(\d{1,6})\.(\d{1,6})")


def too_old(version: str) -> bool:
    """Whether a version of CVAT, as `/api/server/about` tells it, lacks calls that are needed.

    A version that cannot be read is not: a newer one may have been built.
    """
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) < OLDEST


def has_access_tokens(version: str) -> bool:
    """Whether a version of CVAT makes personal access tokens. One that cannot be read may not."""
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= _WITH_ACCESS_TOKENS


def version_problem(origin: str, version: str) -> str:
    """Return why a server cannot be used, and what to do; "" if it can.

    Args:
        origin: The server.
        version: Its version, as it tells it.
    """
    if not too_old(version):
        return ""
    return (
        f"{origin} is CVAT {version}, which asynccvat cannot use. Update the server to "
        f"{oldest_text()} or later."
    )


def oldest_text() -> str:
    """Return the oldest version as users read it."""
    return ".".join(map(str, OLDEST))

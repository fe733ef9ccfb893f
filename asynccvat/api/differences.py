"""Compare a mirror with its server: `diff`."""

from __future__ import annotations

from asynccvat.api.arguments import PathText, check_client, checked_path
from asynccvat.api.mirrors import plan_mirror
from asynccvat.client import CvatClient
from asynccvat.commands.inventory.opening import mirror_at
from asynccvat.core.inventory.difference import Difference
from asynccvat.core.options.mirror import MirrorOptions


async def diff(
    client: CvatClient, dest: PathText, *, options: MirrorOptions | None = None
) -> Difference:
    """Compare a mirror with its server: what a mirror would do now, and why.

    The plan is that of `plan_mirror`, from what the destination remembers. Nothing is changed, here
    or at the server.

    Args:
        client: The server.
        dest: The mirror.
        options: As for `plan_mirror`; `prune` also plans to remove what is gone.

    Raises:
        ConfigError: It is no mirror, or one of another server.
        StoreError: It cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the listing.
    """
    check_client(client)
    path = checked_path(dest)
    async with mirror_at(path, doing="compare"):
        pass
    return Difference.of(await plan_mirror(client, path, options=options))

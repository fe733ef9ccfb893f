"""Rules of conversion that an audit found wrong, and where: `distrusted-rules.json`.

`core.convert.audits` names the rules. After a difference, all tasks are exported again whose
receipts say that they were converted. `store.distrusted_rules` reads and writes the file.
"""

from __future__ import annotations

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import StoreError

DISTRUSTED_VERSION = 1


class DistrustedRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules by which no task is converted any more.

    Attributes:
        version: Version of the format.
        found: Where a conversion was found to differ from the export, by the rule of that run.
        pending: Whether tasks that were converted may still have to be exported again: by
            whatever rule, as an earlier run audited only a few.
    """

    version: int = DISTRUSTED_VERSION
    found: dict[str, str] = {}
    pending: bool = False

    def with_difference(self, rule: str, where: str) -> DistrustedRules:
        """Add a difference that was found in tasks of a rule."""
        return DistrustedRules(found={rule: where, **self.found}, pending=True)

    def settled(self) -> DistrustedRules:
        """Return this after all tasks were exported again. What was found stays."""
        return DistrustedRules(found=self.found)


def encode_distrusted(rules: DistrustedRules) -> bytes:
    """Encode the rules as they stand on disk."""
    return msgspec.json.encode(rules) + b"\n"


def decode_distrusted(content: bytes | None) -> DistrustedRules:
    """Read the rules.

    Args:
        content: None if there is no file.

    Raises:
        StoreError: They are damaged, or a newer version wrote them.
    """
    if content is None:
        return DistrustedRules()
    try:
        found = msgspec.json.decode(content, type=DistrustedRules)
    except UNREADABLE as error:
        raise StoreError(
            f"cannot read distrusted-rules.json: {error}. Remove the file, and run again with "
            "--force --with-exports, as conversions here may be wrong."
        ) from error
    if found.version > DISTRUSTED_VERSION:
        raise StoreError(
            f"cannot read distrusted-rules.json of version {found.version}: this asynccvat reads "
            f"version {DISTRUSTED_VERSION}. Upgrade asynccvat."
        )
    return found

"""What can go wrong when JSON is read that others wrote, or that was damaged."""

from __future__ import annotations

import msgspec

# Bytes that are no UTF-8 and depth without end are not told of by errors of msgspec's own.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that cannot be read."""

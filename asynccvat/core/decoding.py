"""The errors of reading JSON that others wrote, or that is damaged."""

from __future__ import annotations

import msgspec

# msgspec raises built-in errors for bytes that are not UTF-8, and for too deep nesting.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that cannot be read."""

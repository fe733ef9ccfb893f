"""The version of asynccvat, for `--version` and the User-Agent header."""

from __future__ import annotations

VERSION = "0.1.0"

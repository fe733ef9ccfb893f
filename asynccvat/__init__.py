"""asynccvat: a bulk-transfer engine for CVAT servers."""

from __future__ import annotations

__version__ = "0.1.0"

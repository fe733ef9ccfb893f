"""CVAT's REST API as typed coroutines."""

from asynccvat.client.client import CvatClient, internals

__all__ = ["CvatClient", "internals"]

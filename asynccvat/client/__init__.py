"""CVAT's REST API as typed coroutines."""

from asynccvat.client.client import CvatClient

__all__ = ["CvatClient"]

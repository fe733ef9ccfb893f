"""A keyring that holds its entries in memory, for the package `keyring`."""

from __future__ import annotations

import pytest

keyring = pytest.importorskip("keyring", reason="the optional package keyring is not installed")

from keyring.backend import KeyringBackend  # noqa: E402 - the package may be missing
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError  # noqa: E402 - the same


class MemoryKeyring(KeyringBackend):
    """A keyring that can be locked, or full."""

    priority = 5
    name = "memory"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False
        self.full = False

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("Failed to unlock the collection!")

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        if self.full:
            raise PasswordSetError("no room")
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if (service, username) not in self.entries:
            raise PasswordDeleteError("not found")
        del self.entries[service, username]


@pytest.fixture
def memory_keyring() -> object:
    """The keyring of the test's process: an empty one in memory."""
    before = keyring.get_keyring()
    own = MemoryKeyring()
    keyring.set_keyring(own)
    yield own
    keyring.set_keyring(before)

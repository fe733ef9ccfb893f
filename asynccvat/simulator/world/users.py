"""Users and organizations as values. Passwords and tokens are in `accounts`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class User:
    """A user, as owners and assignees are shown."""

    id: int
    username: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""


ADMIN: Final = User(1, "admin", email="admin@example.com")
"""The superuser of every simulated server."""


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization, which groups tasks and projects."""

    id: int
    slug: str
    name: str
    owner: User
    created: datetime

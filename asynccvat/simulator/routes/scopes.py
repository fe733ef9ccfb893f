"""Which organization a list call concerns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asynccvat.simulator.wire.responses import detail, messages
from asynccvat.simulator.world.users import Organization
from asynccvat.simulator.world.world import World


@dataclass(frozen=True, slots=True)
class AnyOrganization:
    """The call names no organization: everything visible counts."""


OrganizationScope = Organization | AnyOrganization | None
"""One organization, any, or (None) only the personal workspace."""


def find_scope(world: World, query: Mapping[str, str], header: str | None) -> OrganizationScope:
    """Return the organization of a call, by `org`, `org_id` or the X-Organization header.

    Raises:
        RefusedError: 404 for an unknown organization, 400 for contradictions.
    """
    slug, number = query.get("org"), query.get("org_id")
    if number is not None and (slug is not None or header is not None):
        raise messages(
            400,
            'You cannot specify "org_id" query parameter with "org" query parameter or '
            '"X-Organization" HTTP header at the same time.',
        )
    if slug is not None and header is not None and slug != header:
        raise messages(
            400,
            'You cannot specify "org" query parameter and "X-Organization" HTTP header with '
            "different values.",
        )
    if number is not None:
        return _find(world, number, lambda one: str(one.id) == number)
    wanted = slug if slug is not None else header
    if wanted is None:
        return AnyOrganization()
    if not wanted:
        return None
    return _find(world, wanted, lambda one: one.slug == wanted)


def _find(world: World, name: str, matches: Callable[[Organization], bool]) -> Organization:
    for organization in world.organizations.values():
        if matches(organization):
            return organization
    raise detail(404, f"{name} organization does not exist.")

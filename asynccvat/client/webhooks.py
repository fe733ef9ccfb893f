"""Webhooks of a server: list, make, delete and ping them.

`commands.watch` receives what they deliver.
"""

from __future__ import annotations

import msgspec

from asynccvat.core.decoding import ObjectDecoder, PageDecoder
from asynccvat.core.numbers import whole
from asynccvat.core.webhooks import Webhook, WebhookDelivery, webhook_fields
from asynccvat.errors import ConfigError, NotFoundError
from asynccvat.http import Call, HttpSession, Response
from asynccvat.http.paging import list_all

_PATH = "/api/webhooks"
_STEP = "webhook"
_PAGE = 500

_WEBHOOKS = PageDecoder(Webhook)
_WEBHOOK = ObjectDecoder(Webhook)
_DELIVERY = ObjectDecoder(WebhookDelivery)


class _Events(msgspec.Struct):
    events: tuple[str, ...]


_EVENTS = ObjectDecoder(_Events)


class Webhooks:
    """The webhooks of one server. `CvatClient.webhooks` hands it out."""

    def __init__(self, http: HttpSession) -> None:
        """Ask in a session."""
        self._http = http

    async def all(self) -> tuple[Webhook, ...]:
        """List the webhooks that the user may manage, in ascending order of id.

        Raises:
            AsyncCvatError: The server cannot be reached, or refuses the user.
        """
        listings = await list_all(self._http, _PATH, ({"sort": "id"},), _WEBHOOKS, page_size=_PAGE)
        found = {one.id: one for listing in listings for one in listing.items}
        return tuple(found[key] for key in sorted(found))

    async def register(
        self,
        target_url: str,
        *,
        secret: str,
        project_id: int | None = None,
        enable_ssl: bool = True,
    ) -> tuple[Webhook, bool]:
        """Make a webhook for a watch, or bring the one for the same address up to date.

        Args:
            target_url: The address of the watch, with `/webhook` at its end.
            secret: What the deliveries are signed with. The watch needs the same.
            project_id: The project whose changes are delivered. None for those of the client's
                organization.
            enable_ssl: Whether CVAT checks the certificate of the address.

        Returns:
            The webhook, and whether it was made.

        Raises:
            ConfigError: The address or the secret cannot be used, or there is neither a project
                nor an organization.
            NotFoundError: There is no such project, or the user may not see it.
            PermissionDeniedError: The user owns neither the project nor the organization.
        """
        if project_id is None and not self._http.organization:
            raise ConfigError(
                "a webhook belongs to a project or an organization. Give --project, or an "
                "organization with --org."
            )
        type_ = "organization" if project_id is None else "project"
        purpose = "read the events of webhooks"
        asked = await self._http.call(
            Call(
                method="GET",
                path=f"{_PATH}/events",
                step=_STEP,
                params={"type": type_},
                purpose=purpose,
            )
        )
        fields = webhook_fields(
            target_url,
            project_id=None if project_id is None else whole("project_id", project_id),
            known_events=self._http.decode(asked, _EVENTS).events,
            secret=secret,
            enable_ssl=enable_ssl,
        )
        for webhook in await self.all():
            same = (webhook.type, webhook.project_id) == (type_, project_id)
            if same and webhook.target_url == target_url:
                changed = Call(
                    method="PATCH",
                    path=f"{_PATH}/{webhook.id}",
                    step=_STEP,
                    json=fields,
                    purpose=f"change webhook {webhook.id}",
                )
                return self._http.decode(await self._http.call(changed), _WEBHOOK), False
        made = Call(
            method="POST",
            path=_PATH,
            step=_STEP,
            json=fields,
            expect=(201,),
            retry=False,
            purpose="make a webhook",
        )
        return self._http.decode(await self._http.call(made), _WEBHOOK), True

    async def delete(self, webhook_id: int) -> None:
        """Delete a webhook, and what CVAT remembers of its deliveries.

        Raises:
            NotFoundError: There is none of that id.
            PermissionDeniedError: It is another user's.
        """
        await self._of_one("DELETE", webhook_id, "delete", expect=204)

    async def ping(self, webhook_id: int) -> WebhookDelivery:
        """Let the server send a ping to the address of a webhook.

        Returns:
            The delivery, which says whether the address took it.

        Raises:
            NotFoundError: There is none of that id.
            PermissionDeniedError: It is another user's.
        """
        answer = await self._of_one("POST", webhook_id, "ping", expect=200, after="/ping")
        return self._http.decode(answer, _DELIVERY)

    async def _of_one(
        self, method: str, webhook_id: int, word: str, *, expect: int, after: str = ""
    ) -> Response:
        """Make a call about one webhook."""
        call = Call(
            method=method,
            path=f"{_PATH}/{whole('webhook_id', webhook_id)}{after}",
            step=_STEP,
            expect=(expect,),
            retry=False,
            purpose=f"{word} webhook {webhook_id}",
        )
        try:
            return await self._http.call(call)
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no webhook {webhook_id} at {self._http.server.address} for this user. "
                "List them with `asynccvat webhook list`.",
                status=error.status,
                detail=error.detail,
                step=_STEP,
            ) from None

"""`asynccvat webhook`: make, list, delete and ping the webhooks that wake a watch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from asynccvat.cli import output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import OutputForm, OutputOptions
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.listing import Column, ListForm, Listing, ListOptions
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable
from asynccvat.cli.typer_classes import Command, Group

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import Webhook, WebhookDelivery

_SECRET = "ASYNCCVAT_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable

WebhookId = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, help="Its id, as 'asynccvat webhook list' shows it."),
]

webhook = typer.Typer(name="webhook", cls=Group, invoke_without_command=True)


@command
def create(
    shared: SharedOptions,
    *,
    target_url: Annotated[
        str,
        typer.Option(
            "--target-url",
            metavar="URL",
            help="Where CVAT reaches the watch, with /webhook at its end.",
        ),
    ],
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            metavar="ID|NAME",
            help="The project whose changes are delivered. By default the organization's.",
        ),
    ] = None,
    verify_target: Annotated[
        bool,
        typer.Option(
            "--verify-target/--no-verify-target",
            help="Let CVAT check the certificate of the address.",
        ),
    ] = True,
    output_options: OutputOptions,
) -> int:
    """Make a webhook that wakes 'asynccvat watch --listen', or bring it up to date.

    The secret is in ASYNCCVAT_WEBHOOK_SECRET. One webhook is made for each address and project.

    For example:

    asynccvat webhook create --project 5 --target-url https://mirror.example.com/webhook
    """
    from asynccvat.client import internals  # noqa: PLC0415 - the start-up of `--help` stays light

    form = output_options.form()
    settings = shared.settings()
    secret = os.environ.get(_SECRET, "")
    if not secret:
        raise typer.BadParameter(
            "the secret of the webhook is missing. Set it, for example to the output of 'openssl "
            "rand -hex 32', and give the watch the same.",
            param_hint=_SECRET,
        )

    async def work(client: CvatClient) -> tuple[Webhook, bool]:
        found = None if project is None else await internals(client).find_project(project)
        return await client.webhooks.register(
            target_url,
            secret=secret,
            project_id=None if found is None else found.id,
            enable_ssl=verify_target,
        )

    made, is_new = queries.ask(settings, work)
    Listing(_columns(), ListForm(output=form)).write([made])
    if not urlsplit(target_url).path.rstrip("/").endswith("/webhook"):
        output.remark(
            f"warning: {target_url!r} does not end with /webhook, where a watch takes deliveries. "
            "That is right only if a proxy changes the path."
        )
    if form is OutputForm.TABLE:
        output.remark(
            f"{'Made' if is_new else 'Changed'} webhook {made.id}. Check that CVAT reaches the "
            f"address: asynccvat webhook ping {made.id}"
        )
    return ExitCode.DONE


@command
def list_webhooks(shared: SharedOptions, *, list_options: ListOptions) -> int:
    """List the webhooks that you may manage; they wake 'asynccvat watch'.

    For example:

    asynccvat webhook list --sort project --csv
    """
    listing = Listing(_columns(), list_options)
    listing.show(queries.ask(shared.settings(), lambda client: client.webhooks.all()), "webhook")
    return ExitCode.DONE


@command
def delete(shared: SharedOptions, *, webhook_id: WebhookId) -> int:
    """Delete a webhook. The watch goes on, and looks at its own times.

    For example:

    asynccvat webhook delete 7
    """
    queries.ask(shared.settings(), lambda client: client.webhooks.delete(webhook_id))
    output.remark(f"Deleted webhook {webhook_id}.")
    return ExitCode.DONE


@command
def ping(shared: SharedOptions, *, webhook_id: WebhookId, output_options: OutputOptions) -> int:
    """Let CVAT send a ping to a webhook's address, and show how it was answered.

    For example:

    asynccvat webhook ping 7
    """
    form = output_options.form()
    sent: WebhookDelivery = queries.ask(
        shared.settings(), lambda client: client.webhooks.ping(webhook_id)
    )
    queries.show(
        form,
        [sent],
        ("status", "answer"),
        [(sent.status_code, printable(sent.response))],
        numbers=("status",),
        wraps=("answer",),
    )
    if sent.arrived:
        return ExitCode.DONE
    if form is OutputForm.TABLE:
        output.remark(_why(sent))
    return ExitCode.SOME_FAILED


def _why(sent: WebhookDelivery) -> str:
    """Return the line for a ping that did not arrive."""
    if sent.status_code == 403:
        return (
            "The address refused it: the secrets differ. Run 'asynccvat webhook create' again with "
            "the secret of the watch."
        )
    if sent.status_code in (None, 502, 504):
        return (
            "CVAT does not reach the address. Check that the watch runs, that the address is "
            "right, and that the server may call it."
        )
    return (
        f"The address answered {sent.status_code}: it is not that of a watch, which ends with "
        "/webhook."
    )


def _columns() -> list[Column[Webhook]]:
    return [
        Column(title="id", value=lambda one: one.id, number=True),
        Column(title="type", value=lambda one: one.type),
        Column(title="project", value=lambda one: one.project_id, number=True),
        Column(title="address", value=lambda one: one.target_url, wraps=True),
        Column(title="active", value=lambda one: "yes" if one.is_active else "no"),
        Column(title="status", value=lambda one: one.last_status, number=True),
        Column(title="events", value=lambda one: one.events, wraps=True),
        Column(title="organization", value=lambda one: one.organization, number=True, extra=True),
        Column(title="delivered", value=lambda one: one.last_delivery_date, extra=True),
        Column(title="description", value=lambda one: one.description, wraps=True, extra=True),
    ]


webhook.callback()(list_webhooks)
webhook.command("create", cls=Command)(create)
webhook.command("list", cls=Command)(list_webhooks)
webhook.command("delete", cls=Command)(delete)
webhook.command("ping", cls=Command)(ping)

"""The commands by name. A command's module is imported when the command is called, or its help.

To import all modules and to make typer's objects of all commands takes 0.13 s of processor time.
That is more than most of a command's other start costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import getdoc
from typing import Any

import typer
from typer.main import get_command

from asynccvat.cli.typer_classes import Command, Group, first_paragraph

PANELS: Mapping[str, Mapping[str, str]] = {
    "Get from the server": {
        "mirror": "mirror.mirror",
        "watch": "watch.watch",
        "download": "download.download",
        "backup": "backup.backup",
        "export-to-cloud": "export_to_cloud.export_to_cloud",
        "convert": "convert.convert",
        "merge": "merge.merge",
    },
    "Put on the server": {
        "upload": "upload.upload",
        "restore": "restore.restore",
        "copy": "copy.copy",
        "create": "create.create",
        "import-dataset": "import_dataset.import_dataset",
        "delete": "delete.delete",
    },
    "Look": {
        "list-tasks": "lists.list_tasks",
        "list-projects": "lists.list_projects",
        "list-jobs": "lists.list_jobs",
        "task-info": "inspect.task_info",
        "formats": "inspect.formats",
        "cloud-storages": "export_to_cloud.cloud_storages",
        "backups": "backups.backups",
        "status": "status.status",
        "diff": "diff.diff",
        "verify": "verify.verify",
        "du": "du.du",
        "kept": "kept.kept",
        "stats": "stats.stats",
        "log": "log.log",
        "diff-annotations": "diff_annotations.diff_annotations",
        "report": "report.report",
        "requests": "requests.requests",
    },
    "Set up and serve": {
        "login": "login.login",
        "logout": "logout.logout",
        "whoami": "whoami.whoami",
        "init": "init.init",
        "check-connection": "whoami.check_connection",
        "run": "run.run",
        "help": "help.help_",
        "demo": "demo.demo",
        "simulate": "simulate.simulate",
        "webhook": "webhook.webhook",
    },
}
"""The commands by the panels of the help, each with its module in `commands` and its name there."""

_PLACES = {
    name: (panel, *place.split("."))
    for panel, named in PANELS.items()
    for name, place in named.items()
}


class _Commands(Mapping[str, Any]):
    """The commands as typer's objects, made when they are looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, *_PLACES[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


class AllCommands(Group):
    """The whole command line."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        del ctx
        return list(self.commands)

    def summaries(self, ctx: Any) -> Iterator[tuple[str, str, str]]:
        """Yield the name, the panel and the first paragraph of the help of each command.

        They are read from the functions: to make typer's objects would take most of the time.
        """
        del ctx
        for name, (panel, module, attribute) in _PLACES.items():
            found = _imported(module, attribute)
            text = self.commands[name].help if isinstance(found, typer.Typer) else getdoc(found)
            yield name, panel, first_paragraph(text)


def _imported(module: str, attribute: str) -> Any:
    return getattr(import_module(f"asynccvat.cli.commands.{module}"), attribute)


def _make(name: str, panel: str, module: str, attribute: str) -> Any:
    """Import a command, and make typer's object of it."""
    found = _imported(module, attribute)
    # typer makes a group of an application only if that has a callback.
    holder = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    holder.callback()(_nothing)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, rich_help_panel=panel)
    else:
        holder.command(name, cls=Command, rich_help_panel=panel)(found)
    made: Any = get_command(holder)
    return made.commands[name]


def _nothing() -> None:
    pass

"""Commands for typer that start quickly, refuse doubtful input, and show no Python types.

An empty value is probably a variable of the shell that is not set, and an option that is given
twice keeps only its last value. Both are refused.

typer converts the values of options with pydantic, defaults, plain texts and paths included. These
need no pydantic here, so a command without other values does not import it. That takes
`asynccvat mirror data/ --project-id 5` from 213 to 128 ms of processor time, measured until it
misses the server's address (medians of 15 runs, typer 0.29). `--help` gains nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from asynccvat.cli.help import page
from asynccvat.cli.pasted import refuse_as_path

# Some versions of typer contain a copy of click, so the base class of their usage errors has no
# public name that all versions share.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]

MAY_BE_EMPTY = frozenset({"--org", "--from-org", "--to-org", "--folder-prefix"})
"""The options whose empty value means something: the personal workspace, folders without prefix."""


_NOT_PLAIN = object()


class _PlainOption(TyperOption):
    """An option that takes its default, and a text that is to be a text, as they are."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        flag = str(self.opts[0])
        source = ctx.get_parameter_source(self.name or "")
        default = source is not None and source.name == "DEFAULT" and value is self.default
        if _is_empty(value) and not default and flag not in MAY_BE_EMPTY:
            raise typer.BadParameter(
                "it is empty. Give a value, or remove the option. Is a variable of the shell not "
                "set?",
                param_hint=flag,
            )
        _check_number(self, flag, value)
        _check_paths(self, flag, value)
        if default and value is None and self.multiple:
            value = ()
        plain = value if default else _plain(self, value)
        if self.required or plain is _NOT_PLAIN:
            return super().process_value(ctx, value)
        return plain if self.callback is None else self.callback(ctx, self, plain)

    def _get_number_range_help_str(self) -> str | None:
        """Show no range like `x>=1` in the help: the option's own sentence tells it."""
        return None


class _PlainArgument(TyperArgument):
    """An argument that takes a text that is to be a text as it is."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        if _is_empty(value):
            raise typer.BadParameter(
                "it is empty. Give a value. Is a variable of the shell not set?",
                param_hint=str(self.metavar),
            )
        _check_paths(self, str(self.metavar), value)
        plain = _plain(self, value)
        if self.callback is None and plain is not _NOT_PLAIN:
            return plain
        return super().process_value(ctx, value)

    def display_type_rich(self, ctx: Any) -> str | None:
        """Show no type in the help; the argument's name is enough."""
        del ctx
        return None


def _plain(parameter: TyperOption | TyperArgument, value: object) -> object:
    """Return the texts or paths that a parameter takes, `_NOT_PLAIN` where it takes others.

    Some versions of typer do not tell what a parameter takes.
    """
    wanted = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        if wanted == list[str]:
            return value
        if wanted == list[Path]:
            return [Path(text) for text in value]
    if isinstance(value, str) and wanted in (str, Path):
        return wanted(value)
    return _NOT_PLAIN


def _is_empty(value: object) -> bool:
    """Whether a value, or one of several, is a text without a letter or digit in it."""
    if isinstance(value, list | tuple):
        return any(_is_empty(item) for item in value)
    return isinstance(value, str) and not value.strip()


def _check_number(option: TyperOption, flag: str, value: object) -> None:
    """Refuse a text that is not a number in the option's range: typer would not name the value.

    Raises:
        typer.BadParameter: It is none.
    """
    kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
    # Older versions of typer keep the bounds at the type.
    bounds: Any = getattr(option, "type", option)
    if kind is None:
        kind = {"integer range": int, "float range": float}.get(getattr(bounds, "name", ""))
    if kind not in (int, float) or not isinstance(value, str):
        return
    least, most = getattr(bounds, "min", None), getattr(bounds, "max", None)
    try:
        number = kind(value)
    except ValueError:
        number = None
    if number is not None and (least is None or number >= least) and not (most and number > most):
        return
    wanted = "a whole number" if kind is int else "a number"
    if least is not None:
        wanted += f" from {least:g} to {most:g}" if most is not None else f" of {least:g} or more"
    raise typer.BadParameter(f"{value!r} is not accepted. Give {wanted}.", param_hint=flag)


def _check_paths(parameter: TyperOption | TyperArgument, name: str, value: object) -> None:
    """Refuse addresses, ids and a `~` where folders or files are expected.

    Raises:
        typer.BadParameter: One is an address or begins with `~`, or the destination is an id.
    """
    if name == "DEST" and isinstance(value, str) and value.isdigit():
        raise typer.BadParameter(
            f"{value!r} is a number, and a folder is expected. Name a folder, and task {value} "
            f"with -t {value}. For a folder of that name, write ./{value}.",
            param_hint=name,
        )
    wanted = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if name == "DEST" or wanted in (Path, list[Path]):
        for text in value if isinstance(value, list | tuple) else [value]:
            refuse_as_path(str(text), name)
            _refuse_unexpanded(str(text), name)


def _refuse_unexpanded(text: str, name: str) -> None:
    """Refuse a `~` that the shell left: a folder `~` would be made, which is a danger to remove.

    Raises:
        typer.BadParameter: The text is one.
    """
    if text == "~" or text.startswith("~/"):
        raise typer.BadParameter(
            f"{text!r} begins with a '~' that the shell did not replace, as in quotes or after a "
            f"'='. Write \"$HOME{text[1:]}\", or './{text}' if that is its name.",
            param_hint=name,
        )


class Command(TyperCommand):
    """A command that prepares its options and arguments in this way."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = _reflowed(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, prepared."""
        return _prepared(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help to stdout, as typer does, rather than to the formatter."""
        del formatter
        page.show(self, ctx)

    def make_parser(self, ctx: Any) -> Any:
        """Return a parser that refuses repeated options."""
        return _refusing_repetition(super().make_parser(ctx))


class Group(TyperGroup):
    """A group of commands that prepares its options and arguments in this way."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = _reflowed(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments, prepared."""
        return _prepared(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help to stdout, as typer does, rather than to the formatter."""
        del formatter
        page.show(self, ctx)

    def make_parser(self, ctx: Any) -> Any:
        """Return a parser that refuses repeated options."""
        return _refusing_repetition(super().make_parser(ctx))

    def summaries(self, ctx: Any) -> Iterator[tuple[str, str, str]]:
        """Yield the name, the panel and the first paragraph of the help of each command."""
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                yield name, command.rich_help_panel or "Commands", first_paragraph(command.help)


def first_paragraph(text: str | None) -> str:
    """Return the first paragraph of a help in one line."""
    return (_reflowed(text) or "").split("\n\n", maxsplit=1)[0]


def _refusing_repetition(parser: Any) -> Any:
    parse = parser.parse_args

    def parse_args(args: list[str]) -> Any:
        given = list(args)
        try:
            values, rest, order = parse(args=args)
            for option, times in Counter(order).items():
                # A shell that completes a command parses what is not finished.
                finished = not parser.ctx.resilient_parsing
                if times > 1 and finished and isinstance(option, TyperOption):
                    _check_repetition(option, times, given)
        except UsageError as error:
            # typer leaves it out for a missing value; the message names the command's help.
            error.ctx = parser.ctx  # type: ignore[attr-defined]  # all usage errors have it
            raise
        return values, rest, order

    parser.parse_args = parse_args
    return parser


def _check_repetition(option: TyperOption, times: int, given: Sequence[str]) -> None:
    """Refuse an option that is given several times, of which all but one would be ignored.

    Raises:
        typer.BadParameter: It takes one value, or was switched both on and off.
    """
    if option.multiple or option.count:
        return
    flag = str(option.opts[0])
    if option.is_flag:
        off = next((name for name in option.secondary_opts if name in given), None)
        on = next((name for name in option.opts if name in given), None)
        if on is not None and off is not None:
            raise typer.BadParameter(
                f"it is given together with {off}. Remove one of them.", param_hint=on
            )
        return
    raise typer.BadParameter(
        f"it is given {times} times, but takes one value. Remove all but one.", param_hint=flag
    )


def _reflowed(text: str | None) -> str | None:
    """Join the lines of each paragraph; typer would keep the line breaks of the source."""
    if text is None:
        return None
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _prepared(parameters: Iterable[Any]) -> list[Any]:
    found = list(parameters)
    for item in found:
        # typer offers no other way to choose the classes of its parameters.
        if type(item) is TyperOption:
            item.__class__ = _PlainOption
        elif type(item) is TyperArgument:
            item.__class__ = _PlainArgument
        number: Any = getattr(item, "type", None)
        if hasattr(number, "_describe_range"):
            # Older versions of typer ask the type for the range that the help shows.
            number._describe_range = str  # noqa: SLF001 - they offer no other way
        if isinstance(item, TyperOption) and item.metavar is None:
            item.metavar = _metavar(item)
    return found


def _metavar(option: Any) -> str:
    """What stands for an option's value in the help, instead of a Python type."""
    if option.is_flag or option.count:
        return ""
    # Older versions of typer keep the bounds at the type.
    bounds = getattr(option, "type", option)
    if getattr(bounds, "min", None) is not None or getattr(bounds, "max", None) is not None:
        return "N"
    return str(option.opts[0]).removeprefix("--").replace("-", "_").upper()

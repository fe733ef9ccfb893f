"""Word usage errors, typer's and those of the commands: what is wrong, why, and what to do.

`typer_classes` refuses empty values, repeated options and numbers out of range before typer does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from asynccvat.cli.text import ended, printable

_SECRETS = ("password", "token", "headers", "proxy")
# An option less like the mistyped one than this is another option, as `--prune` and `--profile`.
_LIKENESS = 0.72
# Commands that take their folder as an option, unlike `mirror`: the parameter, and the flag.
_FOLDERS = {"upload": ("in_dir", "-i"), "download": ("out_dir", "--out-dir")}

# What serves the same purpose where an option has no meaning: by the option, then the command.
_OTHERWISE = {
    "--since-last-run": {
        "backup": "A backup run fetches only what changed since the last one, and sees changes "
        "that move no date of a task.",
        "copy": "A copy takes only what changed since the last one.",
        "export-to-cloud": "With --record FILE, only what changed is exported again.",
        "upload": "With --all, only the edited files of a mirror are uploaded.",
        **dict.fromkeys(
            ("delete", "list-tasks", "list-projects", "list-jobs"),
            "Give --updated-since a date or an age, like 2d.",
        ),
    }
}

_TYPERS_WORDS = (
    (r"Option '([^']+)' requires an argument\.?", r"\1 has no value. Give one after it."),
    (r"Option '([^']+)' requires \d+ arguments\.?", r"\1 has no value. Give one after it."),
    (r"Option '([^']+)' does not take a value\.?", r"\1 takes no value. Remove what follows the ="),
    (r"No such command '([^']*)'\.?", r"there is no command '\1'."),
    (r"Missing command\.?", "a command is missing. Name one."),
    # What pydantic says of numbers, which typer repeats.
    (r"Input should be a valid integer.*", "give a whole number"),
    (r"Input should be a valid number.*", "give a number"),
    (r"Input should be greater than or equal to (\S+)", r"give \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"give \1 or less"),
)


def usage_message(error: Any) -> str:
    """Return a usage error in one line, with the help to read."""
    context = getattr(error, "ctx", None)
    command = "asynccvat" if context is None else context.command_path
    return f"{printable(_sentence(error, context))} See '{command} --help'."


def as_sentence(message: str) -> str:
    """Return the message of a usage error as one line, whether typer or a command worded it."""
    line = " ".join(message.split()).replace("Value error, ", "", 1)
    for pattern, words in _TYPERS_WORDS:
        line = re.sub(pattern, words, line)
    found = re.fullmatch(r"Invalid value for '?([^:']+)'?: (.*)", line)
    if found is not None:
        option, said = found[1].split(" / ")[0], found[2]
        if said.startswith("it "):
            line = f"{option} {said.removeprefix('it ')}"
        else:
            line = f"{option} {said}" if said.startswith("'") else f"{option}: {said}"
    listed = re.fullmatch(r"(.*'.*') is not one of ('.*')\.?", line)
    if listed is not None:
        choices: list[str] = re.findall(r"'([^']*)'", listed[2])
        line = f"{listed[1]} is not accepted. Give {', '.join(choices[:-1])} or {choices[-1]}."
    return ended(line)


def _sentence(error: Any, context: Any) -> str:
    name = getattr(error, "option_name", None)
    if name is not None and hasattr(error, "possibilities"):
        return f"there is no option {name}{_instead(name, error.possibilities or (), context)}"
    parameter = getattr(error, "param", None)
    if type(error).__name__ == "MissingParameter" and parameter is not None:
        shown = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar
        return f"{shown} is missing. Give {_begun(parameter.help or 'it.')}"
    message = error.format_message()
    extra = re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", message, re.DOTALL)
    if extra is not None:
        return _too_many(extra[1], context)
    return as_sentence(message)


def _instead(name: str, near: Any, context: Any) -> str:
    """Return the end of a sentence about an option that does not exist: what to use instead."""
    likely = difflib.get_close_matches(name, near, n=1, cutoff=_LIKENESS)
    if likely:
        return f". Did you mean {likely[0]}?"
    if context is None or (root := context.find_root()).command is context.command:
        return " before the command. Put the command's own options after it."
    otherwise = _OTHERWISE.get(name, {}).get(context.info_name)
    if otherwise is not None:
        return f" here. {otherwise}"
    having = sorted(
        path
        for path, command in _commands(root.command, root.info_name)
        if any(name in parameter.opts for parameter in command.params)
    )
    return f" here. It is an option of '{having[0]}'." if having else "."


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield f"{path} {name}", command
        yield from _commands(command, f"{path} {name}")


def _too_many(given: str, context: Any) -> str:
    """Say that arguments are left over. They may be the rest of a secret with a blank in it."""
    secret = context is not None and any(context.params.get(name) for name in _SECRETS)
    first = given.split(maxsplit=1)[0]
    which = "" if secret else f" from {first!r} on"
    if first.isdigit() and not secret:
        return f"there are too many arguments{which}. Write several ids as one list, like 1,2."
    folder, flag = ("", "") if context is None else _FOLDERS.get(context.info_name, ("", ""))
    if folder and context is not None and not context.params.get(folder):
        return (
            f"there are too many arguments{which}. Name the folder with {flag}, like {flag} data/."
        )
    return f"there are too many arguments{which}. Put a value with blanks in quotes."


def _begun(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]

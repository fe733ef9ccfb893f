"""Read settings from a YAML file: the texts as they were written, with their lines."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from asynccvat.core.environment import CONFIG_VARIABLE
from asynccvat.errors import ConfigError
from asynccvat.settings.values import FILES, FLAGS, MAY_BE_EMPTY, SECRETS, SettingValue

_KEYS = {**{name: name for name in FLAGS}, "access_token": "token"}


def read_settings(path: Path) -> dict[str, SettingValue]:
    """Read the settings of a file. Blocks while it reads.

    Raises:
        ConfigError: The file cannot be read, or has something other than settings. The message
            names the line, and repeats no secret.
    """
    root = _root(path)
    return {} if root is None else dict(_settings(root, path))


def exposure(path: Path, settings: Mapping[str, SettingValue]) -> str | None:
    """Return a warning if other users can read the secrets of a file, else None."""
    secret = next((settings[name] for name in sorted(SECRETS) if name in settings), None)
    proxy = settings.get("proxy")
    if secret is None and proxy is not None and "@" in proxy.text:
        secret = proxy  # it holds a user and a password
    if secret is None or os.name != "posix":
        return None
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return (
        f"{secret.place}: others can read this secret, because the file's mode is {mode:04o}. Run: "
        f"chmod 600 '{path}'"
    )


def compose(path: Path) -> yaml.Node | None:
    """Parse a YAML file into nodes that know their lines; None for an empty file.

    Raises:
        OSError: The file cannot be read.
        ConfigError: It is not YAML. The message names the line, and repeats nothing of the file.
    """
    try:
        return yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        message = f"{path}: this is not a text file in UTF-8"
    except RecursionError:
        message = f"{path}: this is not YAML that can be read: it nests too deep"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        problem = _plain(getattr(error, "problem", None) or "it holds characters that YAML forbids")
        message = f"{place}: this is not YAML: {problem}"
    # PyYAML's errors quote the lines around the mistake, which may hold secrets. Raised outside
    # the handlers, this error does not have them as its `__context__`.
    raise ConfigError(message)


_PLAINER = {
    "found character '\\t' that cannot start any token": "a tab indents it. Indent with blanks",
    "mapping values are not allowed here": (
        "a colon stands where no key can be. Check the indentation, and put a value with a colon "
        "into quotes"
    ),
    "expected the node content, but found '<stream end>'": (
        "a bracket or a quote is not closed. Close it"
    ),
}
"""What PyYAML says of the most frequent mistakes, in plain words."""


def _plain(problem: str) -> str:
    return _PLAINER.get(problem, problem)


def _root(path: Path) -> yaml.MappingNode | None:
    try:
        root = compose(path)
    except OSError as error:
        raise ConfigError(
            f"the settings file {str(path)!r} cannot be read: {error.strerror}. Check --config "
            f"and {CONFIG_VARIABLE}."
        ) from error
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            f"{path}, line {root.start_mark.line + 1}: this is not a setting. Write lines like "
            "`url: https://cvat.example.com`."
        )
    return root


def _settings(root: yaml.MappingNode, path: Path) -> Iterator[tuple[str, SettingValue]]:
    seen: set[str] = set()
    for key, node in root.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        name = _name(key, place)
        if name in seen:
            raise ConfigError(f"{place}: {key.value!r} is set already. Remove one of the two.")
        seen.add(name)
        if name == "headers":
            yield name, SettingValue(header_lines(node, place), place)
            continue
        if not isinstance(node, yaml.ScalarNode):
            raise ConfigError(
                f"{place}: {key.value!r} must be a single value. Write it after the colon."
            )
        # A key without a value, or null, is not set. All else stays the text that was written,
        # because a password of digits is not a number.
        if node.tag != "tag:yaml.org,2002:null":
            if not node.value and name not in MAY_BE_EMPTY:
                raise ConfigError(
                    f"{place}: {key.value!r} is empty. Give a value, or remove the line."
                )
            text = str(path.parent / Path(node.value).expanduser()) if name in FILES else node.value
            yield name, SettingValue(text, place)


def header_lines(node: yaml.Node, place: str) -> str:
    """Return the headers of a mapping from names to values, as lines like `Name: value`.

    Raises:
        ConfigError: It is no such mapping.
    """
    if not isinstance(node, yaml.MappingNode) or not all(
        isinstance(part, yaml.ScalarNode) for pair in node.value for part in pair
    ):
        raise ConfigError(
            f"{place}: 'headers' must hold names and values. Write `X-Api-Key: value` in a line "
            "below it."
        )
    return "\n".join(f"{name.value}: {value.value}" for name, value in node.value)


def _name(key: yaml.Node, place: str) -> str:
    text = key.value if isinstance(key, yaml.ScalarNode) else ""
    if text in _KEYS:
        return _KEYS[text]
    near = difflib.get_close_matches(text.lower(), _KEYS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"The settings are {', '.join(FLAGS)}."
    raise ConfigError(f"{place}: there is no setting {text!r}. {hint}")

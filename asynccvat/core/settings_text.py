"""Write a settings file with comments: what was chosen, and what else can be set. Pure functions.

`settings.yaml_file` reads such files.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z][\w./:@%-]*[\w/]")
_MEANT_OTHERWISE = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChoices:
    """What a settings file says. It holds no secret.

    Attributes:
        url: The server's address.
        organization: The organization's short name, "" for the personal workspace, None for all
            that the user may see.
        project_id: The project to mirror, None for all.
        project_name: Its name, for the comment.
        format: The format of the first mirror, for the comment. None for CVAT's own.
        images: Whether the first mirror fetches images, for the comment.
        layout: How the first mirror names its folders, for the comment. None for its default.
        insecure: Whether no certificate is checked.
        ca_bundle: The file of certificate authorities, None for those of the system.
        client_cert: The file of a client certificate, None for none.
        client_key: The file of its key, None for none.
    """

    url: str
    organization: str | None = None
    project_id: int | None = None
    project_name: str = ""
    format: str | None = None
    images: bool = False
    layout: str | None = None
    insecure: bool = False
    ca_bundle: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def mirror_command(self, folder: str) -> str:
        """Return the command of the first mirror into a folder."""
        words = ["asynccvat", "mirror", folder]
        if self.format is not None:
            words += ["--format", self.format]
        if self.images:
            words.append("--images")
        if self.layout is not None:
            words += ["--layout", self.layout]
        return shlex.join(words)


def settings_text(choices: SettingsChoices, folder: str) -> str:
    """Return the content of a settings file.

    Args:
        choices: What was chosen.
        folder: The folder that it is for, as the user names it.
    """
    return "\n".join(_lines(choices, folder)) + "\n"


def _lines(choices: SettingsChoices, folder: str) -> Iterator[str]:
    yield f"# Settings of asynccvat for {_one_line(folder)}."
    yield "# Commands that are given this folder read them. Options and the environment"
    yield "# win over them. They hold no secret: `asynccvat login` keeps the token."
    yield ""
    yield "# The server."
    yield f"url: {_scalar(choices.url)}"
    yield ""
    yield '# The organization\'s short name (slug), or "" for the personal workspace.'
    yield "# Without this line: everything that the user may see."
    yield _line("organization", choices.organization, "street-lab")
    yield ""
    yield "# The project to mirror, by its id, if no option selects tasks."
    yield "# Without this line: all."
    name = f"  # {_one_line(choices.project_name)}" if choices.project_name else ""
    project = None if choices.project_id is None else str(choices.project_id)
    yield (f"project_id: {project}" if project else "# project_id: 5") + name
    yield ""
    yield "# The file of certificate authorities to trust instead of the system's."
    yield _line("ca_bundle", choices.ca_bundle, "authorities.pem")
    if choices.insecure:
        yield ""
        yield "# No certificate is checked: anybody on the way can read what is sent."
        yield "insecure: true"
    yield ""
    yield "# A client certificate and its key (PEM), for a gateway that wants one."
    yield _line("client_cert", choices.client_cert, "ann.pem")
    yield _line("client_key", choices.client_key, "ann.key")
    yield ""
    yield "# The proxy to go through, instead of that of the environment. `asynccvat login`"
    yield "# keeps one that needs a password, and the headers that a gateway wants."
    yield "# proxy: http://proxy.example.com:3128"
    yield ""
    yield "# Format, images and layout are given to the first mirror. The folder remembers"
    yield "# them:"
    yield f"#   {_one_line(choices.mirror_command(folder))}"


def _line(key: str, value: str | None, example: str) -> str:
    return f"# {key}: {example}" if value is None else f"{key}: {_scalar(value)}"


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar that is read as this text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _MEANT_OTHERWISE:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    # YAML allows few control characters, and takes code points in this form.
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


def _one_line(text: str) -> str:
    """Return a text that cannot end a comment."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )

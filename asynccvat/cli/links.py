"""Decide whether a terminal shows links, which need the escape sequence OSC 8.

Terminals announce it in no common way. Their variables are those that the libraries
`supports-hyperlinks` of JavaScript and Rust look at, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_PROGRAMS = frozenset(
    {"Hyper", "WezTerm", "ghostty", "iTerm.app", "kitty", "terminology", "vscode"}
)
_TERMINALS = frozenset(
    {"alacritty", "alacritty-direct", "foot", "foot-extra", "xterm-ghostty", "xterm-kitty"}
)
_VARIABLES = ("DOMTERM", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "WT_SESSION")
_VTE_SINCE = 5000
_TMUX_SINCE = (3, 4)


class Link(NamedTuple):
    """A cell of a table that links to a web page."""

    text: str
    url: str

    def __str__(self) -> str:
        """Return the text alone."""
        return self.text


def shows_links(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal with these variables shows links.

    `NO_COLOR` and a dumb terminal turn them off. `FORCE_HYPERLINK` decides otherwise: 0 for none.
    """
    term = environment.get("TERM", "")
    if environment.get("NO_COLOR") or term in ("", "dumb"):
        return False
    forced = environment.get("FORCE_HYPERLINK")
    if forced is not None:
        return forced not in ("", "0", "false")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return _tmux_shows_links(environment)
    if environment.get("TERM_PROGRAM") in _PROGRAMS or term in _TERMINALS:
        return True
    if environment.get("COLORTERM") == "xfce4-terminal":
        return True
    if any(environment.get(name) for name in _VARIABLES):
        return True
    vte = environment.get("VTE_VERSION", "")
    return vte.isdecimal() and int(vte) >= _VTE_SINCE


def _tmux_shows_links(environment: Mapping[str, str]) -> bool:
    """Whether tmux passes links on, if its terminal has them; `screen` never does."""
    if environment.get("TERM_PROGRAM") != "tmux":
        return False
    first, _, rest = environment.get("TERM_PROGRAM_VERSION", "").partition(".")
    minor = "".join(character for character in rest if character.isdecimal())
    return first.isdecimal() and minor != "" and (int(first), int(minor)) >= _TMUX_SINCE

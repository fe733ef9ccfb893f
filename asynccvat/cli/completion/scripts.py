"""Mend the script of completion for zsh: typer's offers nothing at the first Tab of a terminal."""

from __future__ import annotations

from typer import _completion_shared

# zsh runs an installed script as a function when it completes the command for the first time.
# typer's script (0.15 to 0.29) then defines what completes, and offers nothing itself.
_OFFER_AT_ONCE = """
if [[ $funcstack[1] == _%(prog_name)s ]]; then
  %(complete_func)s
fi
"""


def mend() -> None:
    """Let the script for zsh complete at once. A script of a later typer may do so itself."""
    scripts: dict[str, str] = getattr(_completion_shared, "_completion_scripts", {})
    script = scripts.get("zsh", "")
    if script and "funcstack" not in script:
        scripts["zsh"] = f"{script.rstrip()}\n{_OFFER_AT_ONCE}"

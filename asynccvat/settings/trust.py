"""Refuse what a settings file that was only found could do to secrets of other places.

Such a file may come with a repository or a mirror that another person made.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from asynccvat.core.wire.urls import same_server
from asynccvat.errors import ConfigError
from asynccvat.settings.values import FLAGS, SECRETS, TRUST, Layer, boolean, combined


def check_trust(layers: Sequence[Layer], of_file: Layer, file: Path) -> str | None:
    """Refuse to mix a file that was only found with what the user gave for another server.

    Args:
        layers: The settings of all places, from the highest. The last one is a saved login's.
        of_file: Those of the file.
        file: The file.

    Returns:
        Why no secret may be asked for, None if it may: the file changes the check of certificates
        or the proxy, which the user who types a secret does not see.

    Raises:
        ConfigError: The file names the server for another place's secret. Or it changes the check
            of certificates or the proxy for a server that another place names, or for a secret of
            another place.
    """
    values = combined(layers)
    url = values.get("url")
    if url is None:
        return None
    by_file = url is of_file.get("url")
    same = "url" in of_file and same_server(of_file["url"].text, url.text)
    for name in sorted(SECRETS & values.keys()):
        value = values[name]
        if by_file and value not in (of_file.get(name), layers[-1].get(name)):
            raise ConfigError(
                f"refusing to send the {name} of {value.place} to {url.text!r}: only {url.place} "
                "names that server, and it may come from somebody else. If you trust it, give "
                f"--config {shlex.quote(str(file))}, or name the server with --url."
            )
    refusal = None
    for name in sorted(TRUST & of_file.keys()):
        value = of_file[name]
        together = {name} if name == "proxy" else TRUST - {"proxy"}
        deciding = next((layer for layer in layers if together & layer.keys()), None)
        weakens = name != "insecure" or boolean(value)
        if not weakens or deciding is not of_file:
            continue
        instead = f"Give {FLAGS[name]} instead, or --config {shlex.quote(str(file))}."
        if not same:
            raise ConfigError(
                f"{value.place}: `{name}` is for the server that this file names, not for that of "
                f"{url.place}. {instead}"
            )
        if name in layers[-1] and layers[-1][name].text == value.text:
            continue
        others = [key for key in sorted(SECRETS & values.keys()) if values[key] != of_file.get(key)]
        secret = f"the {others[0]} of {values[others[0]].place}" if others else "what is typed"
        refusal = (
            f"{value.place}: `{name}` would decide who can read {secret}, and this file may come "
            f"from somebody else. {instead}"
        )
        if others:
            raise ConfigError(refusal)
    return refusal

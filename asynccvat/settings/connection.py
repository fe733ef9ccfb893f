"""Read the settings of the way to a server: headers, client certificate and proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asynccvat.core.wire.headers import parse_headers
from asynccvat.core.wire.proxies import Proxy
from asynccvat.errors import ConfigError
from asynccvat.settings.values import SettingValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """How to get through gateways and proxies. Secrets stay out of `repr`.

    Attributes:
        headers: Names and values of headers for every call.
        client_cert: The file of a client certificate, None for none.
        client_key: The file of its key, None if the certificate's file holds it.
        proxy: The proxy to go through, None for that of the environment.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    client_cert: Path | None = None
    client_key: Path | None = None
    proxy: Proxy | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `CvatClient` for it."""
        return {
            "headers": dict(self.headers),
            "client_cert": self.client_cert,
            "client_key": self.client_key,
            "proxy": self.proxy,
        }


def read_connection(values: Mapping[str, SettingValue]) -> ConnectionSettings:
    """Read the settings of the way to a server.

    Raises:
        ConfigError: One cannot be used. The message says where it is, and repeats no secret.
    """
    headers, proxy = values.get("headers"), values.get("proxy")
    cert, key = values.get("client_cert"), values.get("client_key")
    if key is not None and cert is None:
        raise ConfigError(
            f"{key.place}: there is a client key, but no certificate. Give --client-cert, too."
        )
    return ConnectionSettings(
        headers=()
        if headers is None
        else tuple(parse_headers(headers.text.splitlines(), headers.place).items()),
        client_cert=None if cert is None else Path(cert.text),
        client_key=None if key is None else Path(key.text),
        proxy=None if proxy is None else Proxy.parse(proxy.text, proxy.place),
    )

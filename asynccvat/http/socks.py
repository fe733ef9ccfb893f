"""Connect through a SOCKS proxy, by the optional package `aiohttp-socks`."""

from __future__ import annotations

import ssl

import aiohttp

from asynccvat.core.proxies import Proxy
from asynccvat.errors import ConfigError

_DEFAULT_PORT = 1080


def socks_connector(
    proxy: Proxy, *, limit: int, ssl: ssl.SSLContext | bool
) -> aiohttp.BaseConnector:
    """Make a connector that goes through a SOCKS proxy, which also looks up the server's name.

    Raises:
        ConfigError: The package for SOCKS is not installed.
    """
    try:
        # An optional package: most users need no SOCKS.
        from aiohttp_socks import ProxyConnector, ProxyType  # noqa: PLC0415 - see above
    except ImportError:
        raise ConfigError(
            f"the proxy {proxy} speaks SOCKS, for which a package is missing. Run: pip install "
            "'asynccvat[socks]'."
        ) from None
    version = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    return ProxyConnector(
        host=proxy.host,
        port=proxy.port or _DEFAULT_PORT,
        proxy_type=version,
        username=proxy.username,
        password=proxy.password or None,
        rdns=True,
        ssl=ssl,
        limit=limit,
    )

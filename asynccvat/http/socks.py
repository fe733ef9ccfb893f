"""Connect through a SOCKS proxy, by the optional package `aiohttp-socks`.

`connection` imports this module only for such a proxy.
"""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
from aiohttp_socks import (
    ProxyConnectionError,
    ProxyConnector,
    ProxyError,
    ProxyTimeoutError,
    ProxyType,
)

from asynccvat.core.wire.proxies import Proxy

_DEFAULT_PORT = 1080


class SocksConnector(ProxyConnector):
    """A connector that goes through a SOCKS proxy, which also looks up the server's name.

    It raises aiohttp's own exceptions, so that `failures` can translate them.
    """

    def __init__(self, proxy: Proxy, *, limit: int, ssl: ssl.SSLContext | bool) -> None:
        socks4 = proxy.scheme.startswith("socks4")
        super().__init__(
            host=proxy.host,
            port=proxy.port or _DEFAULT_PORT,
            proxy_type=ProxyType.SOCKS4 if socks4 else ProxyType.SOCKS5,
            username=proxy.username,
            password=proxy.password or None,
            rdns=True,
            ssl=ssl,
            limit=limit,
        )

    async def _wrap_create_connection(
        self, *args: Any, req: aiohttp.ClientRequest, **more: Any
    ) -> Any:
        key = req.connection_key
        try:
            return await super()._wrap_create_connection(*args, req=req, **more)
        except ssl.SSLCertVerificationError as error:
            raise aiohttp.ClientConnectorCertificateError(key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(key, error) from error
        except (ProxyConnectionError, ProxyError, ProxyTimeoutError) as error:
            said = OSError(None, str(error))
            raise aiohttp.ClientProxyConnectionError(key, said) from error

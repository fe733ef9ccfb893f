"""Find the proxy that the environment names for a server, as curl and the official SDK do.

aiohttp could do it (`trust_env`). But it would also send the credentials that `~/.netrc` holds for
the server, which are not those that the user configured, as HTTP Basic.
"""

from __future__ import annotations

import os
import urllib.request
from urllib.parse import urlsplit

from asynccvat.core.wire.proxies import Proxy
from asynccvat.core.wire.urls import ServerUrl


def environment_proxy(server: ServerUrl) -> Proxy | None:
    """Return the proxy that the environment names for a server, None for none.

    Raises:
        ConfigError: The environment names a proxy that cannot be used. The message does not
            repeat its password.
    """
    scheme = urlsplit(server.origin).scheme
    proxies = urllib.request.getproxies()
    text = proxies.get(scheme) or proxies.get("all")
    if not text or urllib.request.proxy_bypass(server.host):
        return None
    variable = _variable(scheme if proxies.get(scheme) else "all")
    return Proxy.parse(text, variable, excludes=server.host)


def _variable(kind: str) -> str:
    """Return the variable that names the proxy for a scheme, as it is spelled."""
    # urllib prefers the lower-case spelling, too.
    for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
        if os.environ.get(name):
            return name
    return "the system's settings"

"""Find the proxy that the environment names for a server, as curl and the official SDK do.

aiohttp could do it (`trust_env`). But it would also send the credentials that `~/.netrc` holds for
the server, which are not those that the user configured, as HTTP Basic.
"""

from __future__ import annotations

import base64
import urllib.request
from urllib.parse import unquote, urlsplit

from yarl import URL

from asynccvat.core.urls import ServerUrl
from asynccvat.errors import ConfigError


def environment_proxy(server: ServerUrl) -> tuple[URL | None, dict[str, str] | None]:
    """Return the proxy for a server and the headers for the proxy; None for neither.

    Raises:
        ConfigError: The environment names a proxy that cannot be used. The message does not
            repeat its password.
    """
    scheme = urlsplit(server.origin).scheme
    proxies = urllib.request.getproxies()
    text = proxies.get(scheme) or proxies.get("all")
    if not text or urllib.request.proxy_bypass(server.host):
        return None, None
    remedy = f"Correct {scheme.upper()}_PROXY, or add {server.host} to NO_PROXY."
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"the proxy of the environment is not a URL. {remedy}") from None
    if not host:
        raise ConfigError(f"the proxy of the environment names no host. {remedy}")
    if parts.scheme not in ("http", "https"):
        raise ConfigError(
            f"the proxy of the environment has the scheme {parts.scheme!r}, but only 'http' and "
            f"'https' can be used. {remedy}"
        )
    headers = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return URL.build(scheme=parts.scheme, host=host, port=port), headers

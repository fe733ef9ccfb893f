"""Read the address of a proxy, and keep its user and password out of messages.

`http.proxy` finds the proxy that the environment names.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from asynccvat.errors import ConfigError

_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_SCHEMES = ("http", "https", *_SOCKS)
_EXAMPLE = "Write it like http://proxy.example.com:3128."


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy on the way to the server. User and password stay out of `repr`.

    Attributes:
        scheme: `http`, `https`, or a version of SOCKS.
        host: Its host, IPv6 addresses without brackets.
        port: Its port, None for the scheme's own.
        source: The option, variable or file that names it, for messages.
        excludes: The server's host if NO_PROXY can exclude it, as only the environment's proxies
            allow; else "".
        username: Its user, None if it needs none.
        password: The password of that user.
    """

    scheme: str
    host: str
    port: int | None
    source: str
    excludes: str = ""
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, source: str, *, excludes: str = "") -> Proxy:
        """Read a proxy's address; without a scheme it is `http`.

        Args:
            text: The address, which may hold user and password.
            source: The option, variable or file that names it.
            excludes: The server's host, if the environment names the proxy.

        Raises:
            ConfigError: It is no such address. The message does not repeat it.
        """
        remedy = _remedy(source, excludes) if excludes else _EXAMPLE
        stripped = text.strip()
        try:
            parts = urlsplit(stripped if "://" in stripped else f"http://{stripped}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigError(f"the proxy of {source} is not a URL. {remedy}") from None
        if not host:
            raise ConfigError(f"the proxy of {source} names no host. {remedy}")
        scheme = parts.scheme.lower()
        if scheme not in _SCHEMES:
            raise ConfigError(
                f"the proxy of {source} has the scheme {scheme!r}, which is none of "
                f"{', '.join(_SCHEMES)}. {remedy}"
            )
        username = None if parts.username is None else unquote(parts.username)
        return cls(scheme, host, port, source, excludes, username, unquote(parts.password or ""))

    @property
    def remedy(self) -> str:
        """What to do if it does not work."""
        return _remedy(self.source, self.excludes)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS instead of HTTP."""
        return self.scheme in _SOCKS

    @property
    def url(self) -> str:
        """Its address without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def address(self) -> str:
        """Its address with user and password, as `parse` reads it: a secret."""
        if self.username is None:
            return self.url
        account = ":".join(quote(part, safe="") for part in (self.username, self.password))
        return self.url.replace("://", f"://{account}@", 1)

    @property
    def headers(self) -> dict[str, str] | None:
        """The headers for it, None if it needs no user."""
        if self.username is None:
            return None
        pair = f"{self.username}:{self.password}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        if self.username is None or not self.password:
            return ()
        return (self.password, (self.headers or {})["Proxy-Authorization"].removeprefix("Basic "))

    def __str__(self) -> str:
        return f"{self.url} ({self.source})"


def _remedy(source: str, excludes: str) -> str:
    return f"Correct {source}" + (f", or add {excludes} to NO_PROXY." if excludes else ".")

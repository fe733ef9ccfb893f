"""Read the server's address, and keep every URL on it.

CVAT builds absolute links from Host and X-Forwarded-* headers, so behind a proxy their scheme, host
or path can be wrong. `ServerUrl.rebase` puts their path and query on the configured address. No
request goes to another origin. `http` connects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from asynccvat.errors import ConfigError, ProtocolError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "Give the server's address, like https://cvat.example.com."
# Characters that a request line cannot hold. All others are sent as the server wrote them.
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_IN_PATH = "/%:@!$&'()*+,;=~-._"
_PAGES = frozenset(
    {
        *("tasks", "projects", "jobs", "cloudstorages", "organization", "organizations"),
        *("requests", "models", "auth", "profile", "user", "users", "analytics", "invitations"),
        *("api", "admin", "static", "event-viewer", "quality-control", "annotation-guide"),
    }
)
"""What the paths of CVAT's own pages begin with. All before is part of the server's address."""


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A CVAT server's address: scheme, host and port, and the path under which it is served.

    Attributes:
        origin: Canonical: lower case, no default port, no trailing slash.
        host: The host alone, IPv6 addresses without brackets.
        prefix: The path under which CVAT is served, like `/cvat`; "" for the root of the host.
        assumed: Whether the scheme was not written.
    """

    origin: str
    host: str
    prefix: str = ""
    assumed: bool = field(default=False, compare=False)

    @property
    def address(self) -> str:
        """The canonical address: origin and prefix."""
        return self.origin + self.prefix

    @property
    def is_private(self) -> bool:
        """Whether no third party can read what is sent: encrypted, or on this machine only."""
        return self.origin.startswith("https:") or _is_loopback(self.host)

    @property
    def written(self) -> str:
        """The address, without a scheme if none was written."""
        return self.address.partition("://")[2] if self.assumed else self.address

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Read the address that a user configured.

        Raises:
            ConfigError: It is not the address of a server, or that of a task, project or job.
        """
        page = PageUrl.parse(text)
        if page.named is not None:
            raise ConfigError(
                f"the server URL has {page.named} in it. Give {page.server.address}, and the id "
                "by itself."
            )
        return page.server

    def path_of(self, link: str) -> str:
        """Return the path and query of a link in an answer, below the prefix.

        Raises:
            ProtocolError: The link has no absolute path.
        """
        return self.rebase(link).removeprefix(self.address)

    def rebase(self, link: str) -> str:
        """Put the path and query of a link in an answer on this address.

        CVAT may know the prefix or not: that depends on the proxy. So a path without it gets it.

        Raises:
            ProtocolError: The link has no absolute path.
        """
        try:
            parts = urlsplit(link)
        except ValueError:
            parts = urlsplit("")
        if not parts.path.startswith("/") or _UNSAFE.search(link):
            raise ProtocolError(
                f"cannot follow a link of the server: {link[:200]!r} has no usable path. Check "
                "whether a proxy changes links."
            )
        # Quoting repairs non-ASCII characters, and leaves quoted ones unchanged.
        path = quote(parts.path, safe=_IN_PATH)
        query = quote(parts.query, safe="%:@!$&'()*+,;=~-._/?")
        prefix = "" if path.startswith(f"{self.prefix}/") else self.prefix
        return f"{self.origin}{prefix}{path}" + (f"?{query}" if query else "")

    def redirect_target(self, base: str, location: str) -> str | None:
        """Return the target of a redirect, None if it is on another origin."""
        target = urljoin(base, location)
        if origin_of(target) != self.origin:
            return None
        return self.rebase(target)


@dataclass(frozen=True, slots=True)
class PageUrl:
    """An address as a user pastes it: a server, or one of CVAT's pages.

    Attributes:
        server: The server.
        task_id: The task of the page, None if it shows none.
        project_id: The project of the page, None if it shows none.
    """

    server: ServerUrl
    task_id: int | None = None
    project_id: int | None = None

    @property
    def named(self) -> str | None:
        """What the page shows, like `task 147`; None for a list or the server itself."""
        if self.task_id is not None:
            return f"task {self.task_id}"
        return None if self.project_id is None else f"project {self.project_id}"

    @classmethod
    def parse(cls, text: str) -> PageUrl:
        """Read the address of a server or of a page.

        Without a scheme it is `https`, for a loopback address `http`. What follows a `?` or `#`
        does not count, nor does the path of a page that shows no task or project.

        Raises:
            ConfigError: It is not an http or https URL of a server. The message repeats no user
                name or password of the URL.
        """
        stripped = text.strip()
        if not stripped:
            raise ConfigError(f"the server URL is empty. {_EXAMPLE}")
        assumed = re.match(r"[^/?#]*://", stripped) is None
        if assumed and re.match(r"https?:", stripped, re.IGNORECASE):
            scheme = stripped.partition(":")[0]
            shown = "" if "@" in stripped else f" {stripped!r}"
            raise ConfigError(
                f"the server URL{shown} lacks a slash. Write {scheme}:// before the host."
            )
        try:
            if assumed:
                stripped = f"{_assumed_scheme(stripped)}://{stripped}"
            parts = urlsplit(stripped)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            what = "port is no number up to 65535" if "ort" in str(error) else "host is malformed"
            raise ConfigError(f"the server URL cannot be read: its {what}. {_EXAMPLE}") from None
        if "@" in parts.netloc:
            raise ConfigError(
                "the server URL must not hold a user or password. Give them as username and "
                "password, or as a token."
            )
        if parts.scheme not in _DEFAULT_PORTS:
            raise ConfigError(
                f"the server URL {text.strip()!r} does not start with http:// or https://. "
                f"{_EXAMPLE}"
            )
        if not host or _UNSAFE.search(parts.netloc):
            raise ConfigError(f"the server URL {text.strip()!r} has no host. {_EXAMPLE}")
        shown = f"[{host}]" if ":" in host else host
        if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
            shown += f":{port}"
        prefix, page = _split_path(parts.path)
        server = ServerUrl(f"{parts.scheme}://{shown}", host, prefix, assumed)
        _refuse_other_pages(server, page)
        return cls(server, _id_of("tasks", page), _id_of("projects", page))


def same_server(one: str, other: str) -> bool:
    """Whether two addresses, in any spelling, are of one server; False for unreadable ones."""
    try:
        return PageUrl.parse(one).server == PageUrl.parse(other).server
    except ConfigError:
        return False


def origin_of(url: str) -> str | None:
    """Return the canonical origin of an absolute http or https URL, None for other texts."""
    try:
        parts = urlsplit(url)
        if not parts.netloc:
            return None
        return ServerUrl.parse(f"{parts.scheme}://{parts.netloc}").origin
    except (ConfigError, ValueError):
        return None


def _assumed_scheme(text: str) -> str:
    """Return the scheme of an address without one: credentials go over `http` only if it is typed.

    A loopback address is the exception: what is sent there leaves no machine.
    """
    host = urlsplit(f"//{text}").hostname or ""
    return "http" if _is_loopback(host) else "https"


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _split_path(path: str) -> tuple[str, list[str]]:
    """Split a path into the server's prefix, and the parts of a page's own path."""
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") or _UNSAFE.search(part) for part in parts):
        raise ConfigError(f"the server URL has a path that cannot be used. {_EXAMPLE}")
    first = next((place for place, part in enumerate(parts) if part in _PAGES), len(parts))
    prefix = "".join("/" + quote(part, safe=_IN_PATH) for part in parts[:first])
    page = parts[first:]
    # CVAT's own answers hold addresses of its API, such as that of a task.
    return prefix, page[1:] if page[:1] == ["api"] else page


def _refuse_other_pages(server: ServerUrl, page: list[str]) -> None:
    """Refuse the page of one thing that selects no tasks: it would select all of them."""
    kind, *rest = page or [""]
    if kind not in ("tasks", "projects", "jobs") or not rest or rest[0] == "create":
        return
    if kind == "jobs":
        raise ConfigError(
            f"the server URL shows a job, not its task. Give {server.address}, and the task's id."
        )
    if _id_of(kind, page) is None:
        raise ConfigError(
            f"the server URL shows none of the {kind}: {rest[0]!r} is not an id. Give "
            f"{server.address}, and the id by itself."
        )


def _id_of(kind: str, page: list[str]) -> int | None:
    if len(page) > 1 and page[0] == kind and re.fullmatch(r"[1-9][0-9]{0,9}", page[1]):
        return int(page[1])
    return None

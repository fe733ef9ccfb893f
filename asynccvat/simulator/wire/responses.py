"""Answers in the shapes that CVAT and the nginx before it give them.

JSON comes as `application/vnd.cvat+json`, without spaces, packed with gzip from 200 bytes on.
Errors have six shapes (see each function); which one a call gets is decided by its handler.
"""

from __future__ import annotations

import http
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

JSON_TYPE: Final = "application/vnd.cvat+json"
TEXT_TYPE: Final = "text/html; charset=utf-8"
PACK_FROM: Final = 200
"""Bytes from which Django's GZipMiddleware packs an answer."""

_encode = msgspec.json.Encoder().encode

_DJANGO_PAGE: Final = """
<!doctype html>
<html lang="en">
<head>
  <title>{title}</title>
</head>
<body>
  <h1>{title}</h1><p>{text}</p>
</body>
</html>
"""

_NGINX_PAGE: Final = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
    "<center><h1>{heading}</h1></center>\r\n{more}<hr><center>nginx</center>\r\n"
    "</body>\r\n</html>\r\n"
)


@dataclass(slots=True)
class ServerResponse:
    """One answer, before it is put on the wire.

    Attributes:
        status: HTTP status.
        body: The body, unpacked.
        content_type: Its type, or None where CVAT sends none.
        headers: Further headers.
        cookies: Whole `Set-Cookie` values.
        packed: The body packed with gzip, where it is at hand already.
        by_nginx: Whether nginx answered, without the application's headers.
        bare: Whether the application's Allow is missing, as on errors outside its views.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    packed: bytes | None = None
    by_nginx: bool = False
    bare: bool = False


class RefusedError(Exception):
    """A handler's way out: the call is answered with `answer`."""

    def __init__(self, answer: ServerResponse) -> None:
        """ServerResponse the call with `answer`."""
        super().__init__(answer.status)
        self.answer = answer


def encode(value: Any) -> bytes:
    """JSON without spaces, characters beyond ASCII as they are, as Django REST framework has it."""
    return _encode(value)


def pack(body: bytes) -> bytes:
    """The body as one gzip member, quickly rather than small."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def json_response(value: Any, status: int = 200) -> ServerResponse:
    """Any JSON value."""
    return ServerResponse(status, _encode(value))


def detail(status: int, text: str) -> RefusedError:
    """`{"detail": text}`: authentication, permission, not found, throttling."""
    return RefusedError(ServerResponse(status, _encode({"detail": text})))


def messages(status: int, text: str) -> RefusedError:
    """`["text"]`: most errors of validation."""
    return RefusedError(ServerResponse(status, _encode([text])))


def field_error(name: str, text: str, status: int = 400) -> RefusedError:
    """`{"name": ["text"]}`: an error of one field."""
    return RefusedError(ServerResponse(status, _encode({name: [text]})))


def json_string(status: int, text: str) -> RefusedError:
    """`"text"`: a bare JSON string, for expired results and a lost Redis."""
    return RefusedError(ServerResponse(status, _encode(text)))


def text(status: int, words: str) -> RefusedError:
    """Plain text that calls itself HTML: all 410, some 400 and 404."""
    return RefusedError(ServerResponse(status, words.encode(), TEXT_TYPE))


def not_found_page() -> RefusedError:
    """Django's page for a path it does not know."""
    page = _DJANGO_PAGE.format(
        title="Not Found", text="The requested resource was not found on this server."
    )
    return RefusedError(ServerResponse(404, page.encode(), TEXT_TYPE, bare=True))


def bad_request_page() -> RefusedError:
    """Django's page for a call that it will not read, as one with too large a body."""
    page = _DJANGO_PAGE.format(title="Bad Request (400)", text="")
    return RefusedError(ServerResponse(400, page.encode(), TEXT_TYPE, bare=True))


def server_error_page() -> RefusedError:
    """Django's page for an exception in a view."""
    page = _DJANGO_PAGE.format(title="Server Error (500)", text="")
    return RefusedError(ServerResponse(500, page.encode(), TEXT_TYPE, bare=True))


def forbidden() -> RefusedError:
    """403 of the permission policy."""
    return detail(403, "You do not have permission to perform this action.")


def no_such(model: str) -> RefusedError:
    """404 for an id that is not there."""
    return detail(404, f"No {model} matches the given query.")


_NGINX_TITLES: Final = {
    413: "413 Request Entity Too Large",
    414: "414 Request-URI Too Large",
    416: "416 Requested Range Not Satisfiable",
}


def nginx_page(status: int) -> ServerResponse:
    """The page that nginx itself makes for a status."""
    title = _NGINX_TITLES.get(status) or f"{status} {http.HTTPStatus(status).phrase}"
    body = _NGINX_PAGE.format(title=title, heading=title, more="")
    return ServerResponse(status, body.encode(), "text/html", by_nginx=True)


def header_too_large_page() -> ServerResponse:
    """What nginx answers to headers past its buffers."""
    words = "Request Header Or Cookie Too Large"
    body = _NGINX_PAGE.format(
        title=f"400 {words}", heading="400 Bad Request", more=f"<center>{words}</center>\r\n"
    )
    return ServerResponse(400, body.encode(), "text/html", by_nginx=True)

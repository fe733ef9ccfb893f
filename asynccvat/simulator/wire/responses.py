"""Responses in the forms of CVAT and of the nginx in front of it.

JSON is `application/vnd.cvat+json` without spaces, compressed with gzip from 200 bytes on. Errors
have six forms (see each function); the handler of a call decides which one it gets.
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
"""Bytes from which Django's GZipMiddleware compresses a response."""

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
    """One response, before it is put on the wire.

    Attributes:
        status: HTTP status.
        body: The body, not compressed.
        content_type: Its type, or None if CVAT sends none.
        headers: Further headers.
        cookies: Complete `Set-Cookie` values.
        packed: The body compressed with gzip, if that was done already.
        by_nginx: Whether nginx answers, without the application's headers.
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
    """Raised by handlers to refuse a call with `response`."""

    def __init__(self, response: ServerResponse) -> None:
        """Refuse the call with this response."""
        super().__init__(response.status)
        self.response = response


def encode(value: Any) -> bytes:
    """Encode JSON as Django REST framework does: no spaces, no escapes beyond ASCII."""
    return _encode(value)


def pack(body: bytes) -> bytes:
    """Compress a body as one gzip member, for speed and not for size."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def json_response(value: Any, status: int = 200) -> ServerResponse:
    """Return a response with a JSON value."""
    return ServerResponse(status, _encode(value))


def detail(status: int, text: str) -> RefusedError:
    """Refuse with `{"detail": text}`: authentication, permission, not found, throttling."""
    return RefusedError(ServerResponse(status, _encode({"detail": text})))


def messages(status: int, text: str) -> RefusedError:
    """Refuse with `["text"]`: most errors of validation."""
    return RefusedError(ServerResponse(status, _encode([text])))


def field_error(name: str, text: str, status: int = 400) -> RefusedError:
    """Refuse with `{"name": ["text"]}`: an error of one field."""
    return RefusedError(ServerResponse(status, _encode({name: [text]})))


def json_string(status: int, text: str) -> RefusedError:
    """Refuse with `"text"`, a bare JSON string: expired results and a lost Redis."""
    return RefusedError(ServerResponse(status, _encode(text)))


def plain_text(status: int, words: str) -> RefusedError:
    """Refuse with plain text, labelled as HTML: all 410, some 400 and 404."""
    return RefusedError(ServerResponse(status, words.encode(), TEXT_TYPE))


def not_found_page() -> RefusedError:
    """Refuse with Django's page for an unknown path."""
    page = _DJANGO_PAGE.format(
        title="Not Found", text="The requested resource was not found on this server."
    )
    return RefusedError(ServerResponse(404, page.encode(), TEXT_TYPE, bare=True))


def bad_request_page() -> RefusedError:
    """Refuse with Django's page for a body that it does not read."""
    page = _DJANGO_PAGE.format(title="Bad Request (400)", text="")
    return RefusedError(ServerResponse(400, page.encode(), TEXT_TYPE, bare=True))


def server_error_page() -> RefusedError:
    """Refuse with Django's page for an exception in a view."""
    page = _DJANGO_PAGE.format(title="Server Error (500)", text="")
    return RefusedError(ServerResponse(500, page.encode(), TEXT_TYPE, bare=True))


def forbidden() -> RefusedError:
    """Refuse with the 403 of the permission policy."""
    return detail(403, "You do not have permission to perform this action.")


def no_such(model: str) -> RefusedError:
    """Refuse with 404: there is no object of that id."""
    return detail(404, f"No {model} matches the given query.")


_NGINX_TITLES: Final = {
    413: "413 Request Entity Too Large",
    414: "414 Request-URI Too Large",
    416: "416 Requested Range Not Satisfiable",
}


def nginx_page(status: int) -> ServerResponse:
    """Return the page that nginx itself has for a status."""
    title = _NGINX_TITLES.get(status) or f"{status} {http.HTTPStatus(status).phrase}"
    body = _NGINX_PAGE.format(title=title, heading=title, more="")
    return ServerResponse(status, body.encode(), "text/html", by_nginx=True)


def header_too_large_page() -> ServerResponse:
    """Return the response of nginx to headers larger than its buffers."""
    words = "Request Header Or Cookie Too Large"
    body = _NGINX_PAGE.format(
        title=f"400 {words}", heading="400 Bad Request", more=f"<center>{words}</center>\r\n"
    )
    return ServerResponse(400, body.encode(), "text/html", by_nginx=True)

"""What a server records about each call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CallRecord:
    """The record of one call.

    Attributes:
        method: The method.
        path: The path, decoded.
        query: The query, as sent.
        started: When it arrived, in seconds since the server started.
        task_id: The task in the path or in the request's id.
        authorization: Whether the call has an Authorization header, valid or not.
        range: The Range header.
        status: The status; 0 until it is answered, and if the connection was dropped.
        seconds: How long it took until the last byte was sent; 0 until then.
        bytes_received: Bytes of the call's own body that have arrived; of a form those of its file.
        bytes_sent: Bytes of the response's body that were sent.
        scheme: How it authenticated: `token`, `bearer`, `session`, `basic` or `anonymous`.
    """

    method: str
    path: str
    query: str
    started: float
    task_id: int | None
    authorization: bool
    range: str | None
    status: int = 0
    seconds: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    scheme: str = "anonymous"

"""Talking HTTP to one server: session, origin rule, timeouts, errors, the Retry-After gate.

What the calls mean is left to `client`.
"""

from __future__ import annotations

from asynccvat.http.authorization import Credentials
from asynccvat.http.body_receiver import BodyReceiver
from asynccvat.http.calls import Call, FormFile, HttpOptions, Response, StreamedBody
from asynccvat.http.result_stream import ResultStream
from asynccvat.http.retry_budget import SharedBudget
from asynccvat.http.session import HttpSession

__all__ = [
    "BodyReceiver",
    "Call",
    "Credentials",
    "FormFile",
    "HttpOptions",
    "HttpSession",
    "Response",
    "ResultStream",
    "SharedBudget",
    "StreamedBody",
]

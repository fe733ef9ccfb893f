"""HTTP with one server: sessions, the origin rule, timeouts, retries and errors.

`client` knows CVAT's paths and what its responses mean.
"""

from __future__ import annotations

from asynccvat.http.authorization import Credentials
from asynccvat.http.body_receiver import BodyReceiver
from asynccvat.http.calls import (
    Call,
    FormFile,
    HeldBackError,
    HttpOptions,
    Response,
    StreamedBody,
)
from asynccvat.http.listeners import CallListener, giving_way, impatient, listening
from asynccvat.http.result_stream import ResultStream
from asynccvat.http.retry_budget import SharedBudget
from asynccvat.http.session import HttpSession

__all__ = [
    "BodyReceiver",
    "Call",
    "CallListener",
    "Credentials",
    "FormFile",
    "HeldBackError",
    "HttpOptions",
    "HttpSession",
    "Response",
    "ResultStream",
    "SharedBudget",
    "StreamedBody",
    "giving_way",
    "impatient",
    "listening",
]

"""Talking HTTP to one server: session, origin rule, timeouts, errors, the Retry-After gate.

What the calls mean is left to `client`.
"""

from __future__ import annotations

from asynccvat.http.auth import Credentials
from asynccvat.http.budget import SharedBudget
from asynccvat.http.calls import Answer, Call, FormFile, HttpOptions, Streamed
from asynccvat.http.intake import Intake
from asynccvat.http.session import HttpSession
from asynccvat.http.stream import ResultStream

__all__ = [
    "Answer",
    "Call",
    "Credentials",
    "FormFile",
    "HttpOptions",
    "HttpSession",
    "Intake",
    "ResultStream",
    "SharedBudget",
    "Streamed",
]

"""Numbers of a run while it goes on, from its events: for displays, services and reports.

`RunProgress` counts tasks and bytes, predicts the time left, names what is slow, and says what the
run waits for. It reads no clock: the caller hands each event over with its time.
"""

from asynccvat.progress.accounting import Cause, TimeSpent, cause_in_words
from asynccvat.progress.failures import FailureGroup, cause_key, group_failures
from asynccvat.progress.flights import Flight, Flights, Stage
from asynccvat.progress.run_progress import Outage, RunProgress
from asynccvat.progress.slowest import SlowTask

__all__ = [
    "Cause",
    "FailureGroup",
    "Flight",
    "Flights",
    "Outage",
    "RunProgress",
    "SlowTask",
    "Stage",
    "TimeSpent",
    "cause_in_words",
    "cause_key",
    "group_failures",
]

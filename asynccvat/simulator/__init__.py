"""A simulated CVAT server, for demonstrations, tests and benchmarks.

It answers as CVAT 2.54 was seen to answer; its content comes from a seed or from a folder of ready
archives, and changes by what its clients upload. It shares no code with the client, so that the two
cannot agree on a mistake.
"""

from asynccvat.simulator.faults import Fault, Faults
from asynccvat.simulator.options import ExportStart, SimulatorOptions, UserSpec
from asynccvat.simulator.processes import ServerProcess
from asynccvat.simulator.queues.requests import RequestSpan
from asynccvat.simulator.server import SimulatedServer, serve
from asynccvat.simulator.threads import serve_in_thread
from asynccvat.simulator.wire.records import CallRecord

__all__ = [
    "CallRecord",
    "ExportStart",
    "Fault",
    "Faults",
    "RequestSpan",
    "ServerProcess",
    "SimulatedServer",
    "SimulatorOptions",
    "UserSpec",
    "serve",
    "serve_in_thread",
]

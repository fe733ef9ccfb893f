"""A simulated CVAT server, for demonstrations, tests and benchmarks.

It answers as CVAT 2.54 was recorded to answer, with the backups, restores, dataset imports, new
tasks and cloud storages of 2.64. Its content comes from a seed or from a folder of ready archives,
and clients can change it. It shares no code with the client, so that the two cannot make the same
mistake.

`SimulatedServer` serves in the caller's event loop, `serve_in_thread` in another thread,
`ServerProcess` in another process. From the ground up: `world` is what the server holds, `formats`
the files inside archives, `queues` run requests, `wire` is HTTP, `routes` has the handlers, and
`application` serves calls.
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

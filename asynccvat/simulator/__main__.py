"""`python -m asynccvat.simulator --json '{...}'`: serve, and print the URL as JSON.

The options are those of `SimulatorOptions`. One line on standard output has `url`, `username`,
`password`, `token` and `pid`. The server stops when its standard input ends, so that it never
outlives the process that started it. SIGTERM, and SIGINT at a terminal, stop it, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer


async def _serve(options: SimulatorOptions) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        if sys.stdin.isatty():
            loop.add_signal_handler(signal.SIGINT, stopping.set)
        else:
            # Ctrl-C reaches the whole process group. The process that started the server may still
            # have requests to cancel; it stops the server by closing its standard input.
            loop.add_signal_handler(signal.SIGINT, lambda: None)

    def wait_for_end_of_input() -> None:
        sys.stdin.buffer.read()
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(stopping.set)

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    async with SimulatedServer(options) as server:
        access = {
            "url": server.url,
            "username": server.username,
            "password": server.password,
            "token": server.token,
            "pid": os.getpid(),
        }
        sys.stdout.write(json.dumps(access) + "\n")
        sys.stdout.flush()
        await stopping.wait()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m asynccvat.simulator")
    parser.add_argument("--json", default="{}", help="options, as a JSON object")
    arguments = parser.parse_args()
    try:
        options = SimulatorOptions.from_json(json.loads(arguments.json))
    except (TypeError, ValueError) as error:
        parser.error(f"the options are wrong: {error}")
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()

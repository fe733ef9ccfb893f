"""Serve mirrors of projects, each with a page that shows its progress."""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response, StreamingResponse

import asynccvat as ac
from asynccvat import events
from asynccvat.progress import RunProgress

SECONDS_BETWEEN_MESSAGES = 0.2
LAST_TASKS = 10

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Mirror of project PROJECT</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: auto; padding: 1rem }
  progress { width: 100% }
</style>
<h1>Project PROJECT</h1>
<p><button id="start">Mirror</button> <button id="stop">Stop</button></p>
<p id="state" role="status">no mirror yet</p>
<progress id="bar" max="1" value="0" aria-label="Progress"></progress>
<p id="numbers"></p>
<ul id="tasks"></ul>
<script>
  const here = location.pathname;
  const by = (id) => document.getElementById(id);

  function show(progress) {
    by("state").textContent = progress.error ? `failed: ${progress.error}` : progress.state;
    by("bar").value = progress.fraction;
    by("numbers").textContent =
      `${progress.done} of ${progress.total ?? "?"} tasks, ${progress.failed} failed`;
    by("tasks").replaceChildren(...progress.tasks.map((task) => {
      const item = document.createElement("li");
      item.textContent = `${task.name}: ${task.action}`;  // as text: users choose names
      return item;
    }));
  }

  function watch() {
    // The browser connects again by itself if the connection breaks.
    const source = new EventSource(`${here}/events`);
    source.addEventListener("progress", (message) => {
      const progress = JSON.parse(message.data);
      show(progress);
      by("start").disabled = progress.state === "running";
      if (progress.state !== "running") source.close();
    });
  }

  by("start").onclick = async () => {
    await fetch(here, { method: "POST" });
    watch();
  };
  by("stop").onclick = () => fetch(here, { method: "DELETE" });
  watch();
</script>
</html>
"""


class Mirror:
    """The last mirror of a project: its progress, its latest tasks, and how it ended."""

    def __init__(self) -> None:
        self.progress = RunProgress(time.monotonic())
        self.tasks: list[dict[str, str]] = []
        self.state = "running"
        self.error = ""
        self.watchers: set[asyncio.Event] = set()
        self.job: asyncio.Task[None] | None = None

    async def run(self, client: ac.CvatClient, project: int) -> None:
        """Mirror the project. A cancelled mirror cancels its exports on the server."""
        what = ac.Selection(project_ids=[project])
        state = "stopped"
        try:
            report = await ac.mirror(client, f"data/project{project}", what, on_event=self.on_event)
            state = "done" if report.ok else "failed"
            self.error = str(report.stopped_by or report.guard or "")
        except ac.AsyncCvatError as error:
            state, self.error = "failed", str(error)
        except Exception:
            state, self.error = "failed", "the service has an error, see its log"
            raise
        finally:
            self.state = state
            self.notify()

    def on_event(self, event: ac.Event) -> None:
        """Count an event, and notify those who watch."""
        self.progress.apply(event, time.monotonic())
        if isinstance(event, events.TaskDone):
            done = event.outcome
            self.tasks = [{"name": done.name, "action": done.action}, *self.tasks][:LAST_TASKS]
        self.notify()

    def notify(self) -> None:
        """Wake all watchers."""
        for changed in self.watchers:
            changed.set()

    def to_json(self) -> dict[str, object]:
        """Return what the page shows."""
        now = time.monotonic()
        return {
            "state": self.state,
            "error": self.error,
            "fraction": 1.0 if self.state == "done" else self.progress.fraction,
            "done": self.progress.done,
            "total": self.progress.total,
            "failed": self.progress.failed,
            "transferred": self.progress.transferred,
            "seconds_left": self.progress.seconds_left(now),
            "tasks": self.tasks,
        }

    async def messages(self) -> AsyncIterator[str]:
        """Yield server-sent events until the mirror ends, at most a few each second.

        A slow browser misses states in between, never the last one.
        """
        changed = asyncio.Event()
        self.watchers.add(changed)
        try:
            while True:
                changed.clear()
                progress = self.to_json()
                yield f"event: progress\ndata: {json.dumps(progress)}\n\n"
                if progress["state"] != "running":
                    return
                await changed.wait()
                await asyncio.sleep(SECONDS_BETWEEN_MESSAGES)
        finally:
            self.watchers.discard(changed)


MIRRORS: dict[int, Mirror] = {}


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open one client for all requests. At the end, stop the mirrors that still run."""
    async with ac.CvatClient.from_environment() as app.state.client:
        yield
        await stop_all()


async def stop_all() -> None:
    """Cancel the mirrors that run, and wait until they have ended."""
    jobs = [mirror.job for mirror in MIRRORS.values() if mirror.job]
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


app = FastAPI(title="Mirrors", lifespan=lifespan)


@app.get("/mirrors/{project}", response_class=HTMLResponse)
async def page(project: int) -> str:
    """Answer with the page of a project."""
    return PAGE.replace("PROJECT", str(project))


@app.post("/mirrors/{project}", status_code=202)
async def start(project: int) -> dict[str, object]:
    """Start a mirror, unless one runs."""
    if project in MIRRORS and MIRRORS[project].state == "running":
        raise HTTPException(409, f"a mirror of project {project} is running")
    mirror = MIRRORS[project] = Mirror()
    mirror.job = asyncio.create_task(mirror.run(app.state.client, project))
    return mirror.to_json()


@app.delete("/mirrors/{project}", status_code=202)
async def stop(project: int) -> dict[str, object]:
    """Cancel a mirror. The next one continues where it stopped."""
    mirror = MIRRORS.get(project)
    if mirror is None or mirror.job is None or mirror.state != "running":
        raise HTTPException(409, f"no mirror of project {project} is running")
    mirror.job.cancel()
    return mirror.to_json()


@app.get("/mirrors/{project}/events")
async def watch(project: int) -> Response:
    """Stream the progress of the last mirror until it ends."""
    if project not in MIRRORS:
        # Browsers take this status as the end, and do not connect again.
        return Response(status_code=204)
    return StreamingResponse(
        MIRRORS[project].messages(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )


class Server(uvicorn.Server):
    """A server that waits for open streams at its end: so it ends the mirrors first."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the mirrors, which ends their streams, and then the service."""
        await stop_all()
        await super().shutdown(sockets)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    config = uvicorn.Config(app, host="127.0.0.1", port=port, timeout_graceful_shutdown=5)
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run()

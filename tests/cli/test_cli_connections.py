"""Gateways and proxies on the command line: who refused is said, and no secret is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Shell

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

KEY = "gateway-key-1234567"
CHALLENGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


def test_a_header_is_sent_and_shown_nowhere(shell: Shell, simulated: SimulatedServer) -> None:
    ended = shell("check-connection", "-v", "--header", f"X-Api-Key: {KEY}")
    assert ended.code == 0
    assert f"{simulated.url}: CVAT" in ended.out
    assert "headers: from --header\n" in ended.err
    assert KEY not in ended.out + ended.err


def test_a_text_that_is_no_header_is_refused_without_it(shell: Shell) -> None:
    ended = shell("list-tasks", "--header", KEY)
    assert ended.code == 2
    assert "--header: this is not a header. Write it like 'X-Api-Key: value'." in ended.err
    assert KEY not in ended.err


def test_a_proxy_that_is_down_is_named_without_its_password(
    shell: Shell, simulated: SimulatedServer
) -> None:
    ended = shell("list-tasks", "-v", "--proxy", "http://bob:hunter2-hunter2@127.0.0.1:1")
    assert ended.code == 4
    assert (
        f"Error: no connection to the proxy http://127.0.0.1:1 (--proxy) on the way to "
        f"{simulated.url}: " in ended.err
    )
    assert "Correct --proxy." in ended.err
    assert "hunter2" not in ended.err


def test_client_certificates_that_cannot_be_used_are_named(shell: Shell) -> None:
    ended = shell("list-tasks", "--client-cert", "none.pem", "--client-key", "none.key")
    assert ended.code == 2
    assert "the client certificate 'none.pem' with the key 'none.key' cannot be used" in ended.err
    ended = shell("list-tasks", "--client-key", "none.key")
    assert ended.code == 2
    assert "--client-key: there is a client key, but no certificate. Give --client-c" in ended.err


def test_a_check_for_a_browser_ends_a_mirror_once(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=20, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        own.faults.add(
            Fault(path="/dataset/export", status=403, body=CHALLENGE, times=None,
                  headers={"cf-mitigated": "challenge"}),
        )  # fmt: skip
        ended = bare_shell("mirror", "data")
    assert ended.code == 3
    assert ended.err.count("with a check for a browser, which no program passes") == 1
    assert "Cloudflare before" in ended.err


def test_a_gateway_s_page_does_not_make_prune_remove_a_folder(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=10, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        assert bare_shell("mirror", "data").code == 0
        page = Fault(path="^/api/tasks/3$", status=404, content_type="text/plain", times=None)
        gone = Fault(path=r"^/api/tasks\?", delete_task=3)
        own.faults.add(gone, replace(page, body="404 page not found\n"))
        bare_shell("mirror", "data", "--prune")
        assert (tmp_path / "data" / "task3").is_dir()
        own.faults.clear()
        assert bare_shell("mirror", "data", "--prune").code == 0
        assert not (tmp_path / "data" / "task3").exists()

"""Gateways and proxies on the command line: who refused is said, and no secret is shown."""

from __future__ import annotations

import re
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


# check-connection


def test_check_connection_names_a_server_that_is_too_old(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, version="2.9.2")) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        ended = bare_shell("check-connection")
    assert ended.code == 2
    assert f"Error: {own.url} is CVAT 2.9.2, which asynccvat cannot use. Update the" in ended.err


def test_check_connection_names_the_proxy_and_what_names_it(
    shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server of its own stands in for the proxy: it is asked for absolute URLs.
    monkeypatch.setenv("CVAT_URL", "http://cvat.test")
    monkeypatch.setenv("HTTP_PROXY", simulated.url.replace("//", "//bob:hunter2-hunter2@"))
    ended = shell("check-connection")
    assert f"proxy: {simulated.url} (HTTP_PROXY)\n" in ended.err
    assert "hunter2" not in ended.err + ended.out


def test_check_connection_warns_of_an_address_that_is_not_encrypted(
    shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not encrypted" not in shell("check-connection").err  # this machine alone hears it
    monkeypatch.setenv("HTTP_PROXY", simulated.url)
    ended = shell("check-connection", "--url", "http://cvat.test")
    assert (
        "warning: http://cvat.test is not encrypted: anybody on the way can read the credentials. "
        "Give its https:// address if it has one.\n" in ended.err
    )


def test_check_connection_of_http_that_redirects_to_https_sends_no_credentials(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1)) as own:
        secure = own.url.replace("http:", "https:")
        own.faults.add(Fault(redirect=f"{secure}/api/server/about", times=None))
        monkeypatch.setenv("CVAT_URL", own.url)
        ended = shell("check-connection")
        assert [call.path for call in own.calls] == ["/api/server/about"]
    assert ended.code == 2
    assert f"If that is the CVAT server, give {secure} as its URL." in ended.err


def test_check_connection_warns_of_a_token_that_others_can_read(
    bare_shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"url: {simulated.url}\ntoken: {simulated.token}\n")
    file.chmod(0o644)
    ended = bare_shell("check-connection", "--config", file)
    assert ended.code == 0
    assert "line 2: others can read this secret" in ended.err


def test_a_query_that_waits_says_for_what(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        own.faults.add(Fault(path="^/api/projects", status=429, headers={"Retry-After": "1"}))
        ended = bare_shell("list-projects", "--json")
        assert (ended.code, ended.err) == (0, "the server asks for a pause of 1.0 s\n")
        own.faults.add(Fault(path="^/api/projects", status=503, headers={"Retry-After": "1"}))
        ended = bare_shell("list-projects", "--json")
        assert (ended.code, ended.err) == (0, "the server asks for a pause of 1.0 s\n")
        monkeypatch.setattr("asynccvat.cli.waits._LONG", 0.0)
        own.faults.add(Fault(path="^/api/projects", status=503))
        ended = bare_shell("list-projects", "--json")
        assert ended.code == 0
        assert re.search(r"^trying again in \d\.\d s: .* answered 503", ended.err, re.MULTILINE)


def test_a_plan_that_waits_says_for_what(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1, frames=1)) as own:
        monkeypatch.setenv("CVAT_URL", own.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", own.token)
        own.faults.add(Fault(path="^/api/tasks", status=429, headers={"Retry-After": "1"}))
        ended = bare_shell("mirror", str(tmp_path / "data"), "--dry-run")
        assert ended.code == 0
        assert "the server asks for a pause of 1.0 s\n" in ended.err

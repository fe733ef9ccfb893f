"""Certificates are checked as the options say, and the environment's proxies are used."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from scripted import Connect, FakeTime, ScriptedServer, raw_server, reply, scripted_server

from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import (
    ConfigError,
    ConnectError,
)
from asynccvat.http import scheme_probe

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
USER = b'{"id":1,"username":"alice"}'
ONCE = RetryPolicy(attempts=0)
BROKEN_CHUNKS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n'
)


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/vnd.cvat+json",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with scripted_server(context) as running:
        running["GET /api/users/self"] = reply(body=USER)
        yield running


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_a_certificate_of_an_unknown_authority_is_refused(
    secure: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    client = await connect(secure.url, token=TOKEN)
    with pytest.raises(ConnectError, match=r"TLS certificate of .* is refused: .*with --ca-bundle"):
        await client.user()
    assert fake_time.slept == []
    assert secure.asked == []


async def test_a_ca_bundle_makes_its_authority_trusted(
    secure: ScriptedServer, connect: Connect, bundle: Path
) -> None:
    client = await connect(secure.url, token=TOKEN, verify=bundle)
    assert (await client.user()).username == "alice"


async def test_insecure_checks_nothing(secure: ScriptedServer, connect: Connect) -> None:
    client = await connect(secure.url, token=TOKEN, verify=False)
    assert (await client.user()).username == "alice"


async def test_a_folder_of_certificates_is_a_bundle_too(
    secure: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    client = await connect(secure.url, token=TOKEN, verify=tmp_path)
    with pytest.raises(ConnectError, match="TLS certificate"):
        await client.user()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_ca_bundle_is_a_configuration_error(
    connect: Connect, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"the CA bundle '.*ca\.pem' cannot be used"):
        await connect("https://localhost:1", token=TOKEN, verify=path)


async def test_https_to_a_port_that_speaks_http_is_named(
    server: ScriptedServer, connect: Connect
) -> None:
    client = await connect(server.url.replace("http:", "https:"), token=TOKEN)
    with pytest.raises(ConnectError, match="no TLS connection to") as caught:
        await client.user()
    assert "the port does not speak https. If the server has no https, write" in str(caught.value)
    assert f"write {server.url}, and credentials are sent unencrypted." in str(caught.value)


async def test_http_to_a_port_that_speaks_https_is_named_at_once(
    secure: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    url = f"{secure.url}/cvat"
    plain = url.replace("https:", "http:")
    client = await connect(plain, token=TOKEN)
    with pytest.raises(ConnectError) as caught:
        await client.user()
    assert str(caught.value) == f"no answer from {plain}: its port speaks https. Write {url}."
    assert fake_time.slept == []


@pytest.mark.parametrize("written", ["https://127.0.0.1/cvat", "https://127.0.0.1:443/cvat"])
async def test_a_host_with_http_alone_is_named_before_credentials_are_sent(
    server: ScriptedServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    fake_time: FakeTime,
    written: str,
) -> None:
    monkeypatch.setattr(scheme_probe, "HTTP_PORT", int(server.url.rpartition(":")[2]))
    client = await connect(written, token=TOKEN)
    with pytest.raises(ConnectError) as caught:
        await client.user()
    assert str(caught.value) == (
        "no connection to https://127.0.0.1/cvat: only http answers at this host. If the server "
        "has no https, write http://127.0.0.1/cvat, and credentials are sent unencrypted."
    )
    assert server.asked == []
    assert fake_time.slept == []


async def test_a_server_that_drops_its_first_connections_is_still_retried(
    connect: Connect, fake_time: FakeTime
) -> None:
    # The second connection looks whether the port speaks https.
    async with raw_server(None, None, http(USER)) as url:
        client = await connect(url, token=TOKEN)
        assert (await client.user()).username == "alice"
    assert len(fake_time.slept) == 1


async def test_a_gateway_that_says_that_it_speaks_https_is_believed(
    server: ScriptedServer, connect: Connect
) -> None:
    page = "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"
    server["GET /api/users/self"] = reply(status=400, text=page, content_type="text/html")
    client = await connect(server.url, token=TOKEN)
    with pytest.raises(ConfigError, match=r"its port speaks https. Write https://127.0.0.1:\d+\.$"):
        await client.user()


# Proxies


async def test_the_environment_s_proxy_is_used(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server["GET http://cvat.test/api/users/self"] = reply(body=USER)
    server["GET /api/users/self"] = reply(body=USER)
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//bob:pr%40xy@"))
    client = await connect("http://cvat.test", token=TOKEN)
    assert (await client.user()).username == "alice"
    (asked,) = server.asked
    assert asked.headers["Host"] == "cvat.test"
    assert asked.headers["Proxy-Authorization"] == "Basic Ym9iOnByQHh5"


@pytest.mark.parametrize("variable", ["NO_PROXY", None])
async def test_proxies_of_the_environment_can_be_switched_off(
    server: ScriptedServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    if variable:
        monkeypatch.setenv(variable, "127.0.0.1")
    client = await connect(token=TOKEN, trust_environment=variable is not None)
    assert (await client.user()).username == "alice"


async def test_a_proxy_that_is_down_is_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "127.0.0.1:1")
    client = await connect("http://cvat.test", token=TOKEN)
    with pytest.raises(
        ConnectError,
        match=r"no connection to the proxy http://127.0.0.1:1 \(HTTP_PROXY\) on the way",
    ):
        await client.user()


async def test_a_proxy_that_refuses_is_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//bob:hunter2@"))
        client = await connect("https://cvat.test", token=TOKEN)
        with pytest.raises(
            ConnectError, match=r"the proxy http://127.* .HTTPS_PROXY. refuses its user"
        ) as caught:
            await client.user()
    assert not caught.value.retryable
    assert "hunter2" not in repr(caught.value.__cause__) + str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("ftp://user:hunter2@127.0.0.1:1", "of HTTP_PROXY has the scheme 'ftp', which is none of"),
        ("http://[bad", r"is not a URL\. Correct HTTP_PROXY, or add cvat\.test to NO_PROXY"),
        ("http://", "names no host"),
    ],
)
async def test_an_unusable_proxy_is_a_configuration_error(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match=message) as caught:
        await connect("http://cvat.test", token=TOKEN)
    assert "hunter2" not in str(caught.value)


# CA bundles of the environment


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_the_variables_of_other_programs_name_a_ca_bundle(
    secure: ScriptedServer,
    connect: Connect,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(bundle))
    client = await connect(secure.url, token=TOKEN)
    assert (await client.user()).username == "alice"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_a_ca_bundle_that_lacks_the_authority_is_named_with_its_variable(
    secure: ScriptedServer,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv(variable, str(other))
    client = await connect(secure.url, token=TOKEN)
    with pytest.raises(ConnectError, match=rf"other\.pem' \({variable}\) lacks its authority"):
        await client.user()


async def test_openssl_s_variable_wins_and_an_option_wins_over_all(
    secure: ScriptedServer,
    connect: Connect,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert (await (await connect(secure.url, token=TOKEN)).user()).username == "alice"
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    client = await connect(secure.url, token=TOKEN, verify=bundle)
    assert (await client.user()).username == "alice"
    client = await connect(secure.url, token=TOKEN, verify=bundle, trust_environment=False)
    assert (await client.user()).username == "alice"


async def test_a_variable_that_names_no_bundle_is_a_configuration_error(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(
        ConfigError, match=r"'/nowhere/ca\.pem' that REQUESTS_CA_BUNDLE names cannot be used"
    ):
        await connect("https://localhost:1", token=TOKEN)


async def test_a_certificate_for_another_host_names_the_remedy(
    secure: ScriptedServer, connect: Connect, bundle: Path
) -> None:
    url = secure.url.replace("localhost", "127.0.0.1")
    client = await connect(url, token=TOKEN, verify=bundle)
    with pytest.raises(ConnectError, match="Give the URL with the host that the certificate is"):
        await client.user()

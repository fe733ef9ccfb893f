"""A gateway that wants a client certificate is named at once, and gets the one that is given."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme
from scripted import Connect, FakeTime, ScriptedServer, reply, scripted_server

from asynccvat.client import CvatClient
from asynccvat.errors import ConfigError, ConnectError, TransportError

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
USER = b'{"id":1,"username":"alice"}'
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
async def strict(
    authority: trustme.CA, request: pytest.FixtureRequest
) -> AsyncIterator[ScriptedServer]:
    """A server that wants a certificate."""
    async with scripted_server(strict_context(authority, request.param)) as running:
        running["GET /api/users/self"] = reply(body=USER)
        yield running


@pytest.fixture(params=VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
def alerting(authority: trustme.CA, request: pytest.FixtureRequest) -> Iterator[str]:
    """A gateway that says why it ends the connection, as OpenSSL does; asyncio only resets it."""
    context = strict_context(authority, request.param)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the test is over
            tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            with contextlib.suppress(OSError):
                tls.do_handshake()
            with socket.socket(fileno=tls.detach()) as plain, contextlib.suppress(OSError):
                # Bytes that were not read would make the end a reset, which overtakes the alert.
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(4096):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://localhost:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def strict_context(authority: trustme.CA, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    return context


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def certificate(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    issued = authority.issue_cert("ann@example.com")
    cert, key = folder / "ann.pem", folder / "ann.key"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return cert, key


async def test_a_gateway_that_wants_a_certificate_says_so_at_once(
    alerting: str, connect: Connect, bundle: Path, fake_time: FakeTime
) -> None:
    client = await connect(alerting, token=TOKEN, verify=bundle)
    with pytest.raises(ConnectError) as caught:
        await client.user()
    assert "client certificate" in str(caught.value)
    assert "ive it with --client-cert and --client-key." in str(caught.value)
    assert fake_time.slept == []


async def test_a_connection_that_is_reset_may_want_a_certificate(
    strict: ScriptedServer, connect: Connect, bundle: Path
) -> None:
    client = await connect(strict.url, token=TOKEN, verify=bundle)
    with pytest.raises(TransportError, match="If a gateway before it wants a client certificate"):
        await client.user()


async def test_the_given_certificate_is_shown(
    strict: ScriptedServer, connect: Connect, authority: trustme.CA, bundle: Path, tmp_path: Path
) -> None:
    cert, key = certificate(authority, tmp_path)
    client = await connect(strict.url, token=TOKEN, verify=bundle, client_cert=cert, client_key=key)
    assert (await client.user()).username == "alice"


async def test_certificate_and_key_may_share_a_file(
    strict: ScriptedServer, connect: Connect, authority: trustme.CA, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    authority.issue_cert("ann@example.com").private_key_and_cert_chain_pem.write_to_path(str(both))
    client = await connect(strict.url, token=TOKEN, verify=False, client_cert=str(both))
    assert (await client.user()).username == "alice"


async def test_a_certificate_of_another_authority_is_refused_by_name(
    alerting: str, connect: Connect, bundle: Path, tmp_path: Path, fake_time: FakeTime
) -> None:
    cert, key = certificate(trustme.CA(), tmp_path)
    client = await connect(alerting, token=TOKEN, verify=bundle, client_cert=cert, client_key=key)
    with pytest.raises(ConnectError, match=r"does not accept the client certificate '.*ann\.pem'"):
        await client.user()
    assert fake_time.slept == []


async def test_files_that_cannot_be_used_are_named(
    connect: Connect, authority: trustme.CA, tmp_path: Path
) -> None:
    cert, key = certificate(authority, tmp_path)
    with pytest.raises(ConfigError, match=r"certificate '.*none\.pem' with its key cannot be used"):
        await connect("https://localhost:1", token=TOKEN, client_cert=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="Give files in PEM form that belong together"):
        await connect("https://localhost:1", token=TOKEN, client_cert=key, client_key=cert)
    with pytest.raises(ConfigError, match="a client key was given without a certificate"):
        CvatClient("https://localhost:1", token=TOKEN, client_key=key)


async def test_a_key_with_a_passphrase_does_not_ask_the_terminal(
    connect: Connect, authority: trustme.CA, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - trustme's own

    cert, key = certificate(authority, tmp_path)
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2-hunter2"),
        )
    )
    with pytest.raises(ConfigError, match=r"has a passphrase\. Write it to a private file without"):
        await connect("https://localhost:1", token=TOKEN, client_cert=cert, client_key=locked)

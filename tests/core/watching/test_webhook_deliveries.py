"""Check signatures and bodies of deliveries, against recorded ones, too."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from asynccvat.core.watching.addresses import Address, is_local
from asynccvat.core.watching.deliveries import Delivery, is_signed, read_delivery
from asynccvat.errors import ConfigError

BODY = b'{"event": "update:task", "task": {"id": 1}, "webhook_id": 3}'
SIGNED = "sha256=" + hmac.new(b"secret", BODY, hashlib.sha256).hexdigest()


def test_a_body_is_signed_by_its_secret_alone() -> None:
    assert is_signed(BODY, SIGNED, "secret")
    assert not is_signed(BODY, SIGNED, "other")
    assert not is_signed(BODY + b" ", SIGNED, "secret")


@pytest.mark.parametrize(
    "signature",
    [None, "", SIGNED.removeprefix("sha256="), SIGNED.upper(), SIGNED[:-1], "sha256=ü", "\udcff"],
)
def test_other_signatures_are_refused(signature: str | None) -> None:
    assert not is_signed(BODY, signature, "secret")


def test_a_delivery_tells_its_event() -> None:
    assert read_delivery(BODY) == Delivery("update:task", 3)
    assert read_delivery(b'{"event": "ping", "webhook": {"id": 3}}') == Delivery("ping")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"event": 5}', b"\xff", b'{"event": "\xff"}']
)
def test_other_bodies_are_none(body: bytes) -> None:
    assert read_delivery(body) is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        (" localhost:0 ", "localhost", 0),
        ("[::1]:9000", "::1", 9000),
    ],
)
def test_addresses_have_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = Address.parse(text, "--listen")
    assert (address.host, address.port) == (host, port)
    assert str(address) == text.strip()


@pytest.mark.parametrize("text", ["", "9000", ":9000", "a:b", "a:70000", "::1:9000", "http://a:1"])
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--listen .* is no address to listen on"):
        Address.parse(text, "--listen")


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_local(peer: str) -> None:
    assert is_local(peer, ["Host", "Accept"], "127.0.0.1:9000")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9000", "[::1]:9000", "[::1]", "a.localhost"]
)
def test_names_of_this_machine_are_local(host: str) -> None:
    assert is_local("127.0.0.1", [], host)


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example:9000", "10.0.0.1"])
def test_other_names_are_not(host: str) -> None:
    assert not is_local("127.0.0.1", [], host)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("10.0.0.1", []),
        ("::ffff:10.0.0.1", []),
        ("fe80::1%eth0", []),
        (None, []),
        ("", []),
        ("127.0.0.1", ["X-Forwarded-For"]),
        ("127.0.0.1", ["forwarded"]),
        ("127.0.0.1", ["X-Real-IP"]),
    ],
)
def test_other_machines_and_proxies_are_not(peer: str | None, headers: list[str]) -> None:
    assert not is_local(peer, headers, "localhost:9000")

"""The address of a proxy is read with its user and password, which no message repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.proxies import Proxy
from asynccvat.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "url", "is_socks"),
    [
        ("http://proxy:3128", "http://proxy:3128", False),
        ("proxy:3128", "http://proxy:3128", False),
        (" HTTPS://proxy ", "https://proxy", False),
        ("http://[::1]:3128/", "http://[::1]:3128", False),
        ("socks5h://proxy", "socks5h://proxy", True),
        ("socks4://proxy:9", "socks4://proxy:9", True),
    ],
)
def test_addresses_are_read(text: str, url: str, is_socks: bool) -> None:
    proxy = Proxy.parse(text, "--proxy")
    assert (proxy.url, proxy.is_socks) == (url, is_socks)
    assert str(proxy) == f"{url} (--proxy)"
    assert (proxy.headers, proxy.secrets) == (None, ())
    assert proxy.remedy == "Correct --proxy."


def test_a_proxy_of_the_environment_can_be_excluded() -> None:
    proxy = Proxy.parse("http://proxy:3128", "HTTPS_PROXY", excludes="cvat.test")
    assert proxy.remedy == "Correct HTTPS_PROXY, or add cvat.test to NO_PROXY."
    with pytest.raises(ConfigError, match=r"names no host\. Correct HTTPS_PROXY, or add cvat.test"):
        Proxy.parse("http://", "HTTPS_PROXY", excludes="cvat.test")


@given(st.text(), st.text())
def test_the_address_of_a_proxy_is_read_again_with_any_user_and_password(
    username: str, password: str
) -> None:
    for host, port in (("proxy", 3128), ("::1", None)):
        proxy = Proxy("http", host, port, "--proxy", username=username, password=password)
        assert Proxy.parse(proxy.address, "--proxy") == proxy
    plain = Proxy.parse("proxy:3128", "--proxy")
    assert Proxy.parse(plain.address, "--proxy") == plain


def test_user_and_password_are_for_the_proxy_alone() -> None:
    proxy = Proxy.parse("http://bob:pr%40xy-secret@proxy:3128/?x=hidden", "HTTPS_PROXY")
    assert (proxy.username, proxy.password) == ("bob", "pr@xy-secret")
    assert proxy.headers == {"Proxy-Authorization": "Basic Ym9iOnByQHh5LXNlY3JldA=="}
    assert proxy.secrets == ("pr@xy-secret", "Ym9iOnByQHh5LXNlY3JldA==")
    for shown in (str(proxy), repr(proxy), proxy.url):
        assert "secret" not in shown
        assert "hidden" not in shown
    assert Proxy.parse("http://bob@proxy", "x").secrets == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://bob:hidden@proxy", "the proxy of --proxy has the scheme 'ftp', which is none of"),
        ("http://", "the proxy of --proxy names no host. Write it like http://proxy.example.com"),
        ("http://bob:hidden@[bad", "the proxy of --proxy is not a URL. Write it like http://"),
        ("http://bob:hidden@proxy:port", "the proxy of --proxy is not a URL."),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Proxy.parse(text, "--proxy")
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)

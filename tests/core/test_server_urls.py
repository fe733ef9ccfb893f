"""Check server addresses, and that links in answers stay on the server's origin."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.urls import ServerUrl, origin_of
from asynccvat.errors import ConfigError, ProtocolError

SERVER = ServerUrl.parse("https://cvat.example.com")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://cvat.example.com", "https://cvat.example.com"),
        ("  https://CVAT.Example.com/ ", "https://cvat.example.com"),
        ("https://cvat.example.com:443/api/", "https://cvat.example.com"),
        ("http://localhost:8080/api", "http://localhost:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("HTTP://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_addresses_become_canonical_origins(text: str, origin: str) -> None:
    assert ServerUrl.parse(text).origin == origin


def test_the_host_has_no_brackets() -> None:
    assert ServerUrl.parse("http://[::1]:8080").host == "::1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the server URL is empty"),
        ("   ", "the server URL is empty"),
        ("cvat.example.com", "does not start with http:// or https://"),
        ("localhost:8080", "does not start with http"),
        ("ftp://cvat.example.com", "does not start with http"),
        ("https://", "has no host"),
        ("https://:8080", "has no host"),
        ("https://cvat example.com", "has no host"),
        ("https://cvat.example.com:port", "cannot be read"),
        ("https://cvat.example.com:99999", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://cvat.example.com/tasks/5", "more than a host. Remove '/tasks/5'."),
        ("https://cvat.example.com/tasks?page=1", "Remove '/tasks' and what follows."),
        ("https://cvat.example.com?page=1", "a host. Remove the '?' and what follows."),
        ("https://cvat.example.com/#tasks", "a host. Remove the '#' and what follows."),
    ],
)
def test_other_texts_than_a_server_address_are_refused_with_a_remedy(
    text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        ServerUrl.parse(text)
    assert message in str(caught.value)


def test_credentials_in_the_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        ServerUrl.parse("https://alice:hunter2@cvat.example.com")
    assert "must not hold a user or password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "rebased"),
    [
        ("https://cvat.example.com/api/tasks?page=2", "/api/tasks?page=2"),
        ("http://10.0.0.3:8080/api/tasks?page=2", "/api/tasks?page=2"),
        ("http://evil.example/api/tasks/1/dataset/download?rq_id=a%3Db%26c", None),
        ("/api/tasks?page=2#top", "/api/tasks?page=2"),
        ("//evil.example/api/x", "/api/x"),
        ("https://evil.example//deeper.example/x", "//deeper.example/x"),
        ("https://user:secret@evil.example/api/x", "/api/x"),
        ("/api/tasks/größe?name=ä", "/api/tasks/gr%C3%B6%C3%9Fe?name=%C3%A4"),
        ("/@evil.example/x", "/@evil.example/x"),
    ],
)
def test_links_keep_path_and_query_alone(link: str, rebased: str | None) -> None:
    path = rebased or "/api/tasks/1/dataset/download?rq_id=a%3Db%26c"
    assert SERVER.rebase(link) == f"https://cvat.example.com{path}"


@pytest.mark.parametrize(
    "link", ["", "api/x", "?a=b", "https://evil.example", "/a b", "/a\r\nX: y"]
)
def test_links_without_an_absolute_path_cannot_be_followed(link: str) -> None:
    with pytest.raises(ProtocolError, match="cannot follow a link"):
        SERVER.rebase(link)


def test_a_link_that_is_not_a_url_cannot_be_followed() -> None:
    with pytest.raises(ProtocolError, match="cannot follow a link"):
        SERVER.rebase("http://[evil/x")


@given(link=st.text(max_size=60) | st.from_regex(r"(https?:)?//[^/]{0,20}/.{0,30}", fullmatch=True))
def test_no_link_leads_away_from_the_origin(link: str) -> None:
    try:
        target = SERVER.rebase(link)
    except ProtocolError:
        return
    assert target.startswith("https://cvat.example.com/")
    assert target.isascii()
    assert urlsplit(target).hostname == "cvat.example.com"
    assert origin_of(target) == SERVER.origin


def test_redirects_are_told_apart_by_origin() -> None:
    base = "https://cvat.example.com/api/tasks"
    assert SERVER.redirect_target(base, "/api/x?y=1") == "https://cvat.example.com/api/x?y=1"
    assert SERVER.redirect_target(base, "other") == "https://cvat.example.com/api/other"
    assert SERVER.redirect_target(base, "https://cvat.example.com:443/x") is not None
    for elsewhere in ("http://cvat.example.com/x", "https://evil.example/x", "//evil.example/x"):
        assert SERVER.redirect_target(base, elsewhere) is None


@pytest.mark.parametrize("url", ["mailto:a@b", "", "/x", "http://[x", "https://a:b@c/"])
def test_other_texts_than_a_web_address_have_no_origin(url: str) -> None:
    assert origin_of(url) is None

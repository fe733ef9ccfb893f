"""Check server addresses, and that links in answers stay on the server's origin."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.urls import PageUrl, ServerUrl, origin_of, same_server
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


@pytest.mark.parametrize(
    ("text", "address", "task_id", "project_id"),
    [
        ("https://cvat.example.com/tasks/147", "https://cvat.example.com", 147, None),
        ("https://cvat.example.com/tasks/147/", "https://cvat.example.com", 147, None),
        (
            "https://cvat.example.com/tasks/147/jobs/9?frame=3",
            "https://cvat.example.com",
            147,
            None,
        ),
        ("https://cvat.example.com/projects/5?page=1#x", "https://cvat.example.com", None, 5),
        ("https://cvat.example.com/api/tasks/147", "https://cvat.example.com", 147, None),
        ("https://a.example/cvat/api/projects/5", "https://a.example/cvat", None, 5),
        ("https://cvat.example.com//projects//5//", "https://cvat.example.com", None, 5),
        ("https://cvat.example.com/tasks?page=1", "https://cvat.example.com", None, None),
        ("https://cvat.example.com/tasks/create", "https://cvat.example.com", None, None),
        ("https://cvat.example.com/jobs", "https://cvat.example.com", None, None),
        ("https://cvat.example.com/auth/login?next=/x", "https://cvat.example.com", None, None),
        ("https://cvat.example.com?page=1", "https://cvat.example.com", None, None),
        ("https://cvat.example.com/#tasks", "https://cvat.example.com", None, None),
        ("https://host/cvat", "https://host/cvat", None, None),
        ("https://host/lab/cvat/", "https://host/lab/cvat", None, None),
        ("https://host/cvat/api/swagger", "https://host/cvat", None, None),
        ("https://host/cvat/tasks/147/jobs/9", "https://host/cvat", 147, None),
        ("https://host/größe", "https://host/gr%C3%B6%C3%9Fe", None, None),
        ("cvat.example.com", "https://cvat.example.com", None, None),
        ("cvat.example.com:8443/tasks/147", "https://cvat.example.com:8443", 147, None),
        ("cvat/projects/5", "https://cvat", None, 5),
        ("localhost:8080/tasks/147", "http://localhost:8080", 147, None),
        ("cvat.localhost", "http://cvat.localhost", None, None),
        ("127.1.2.3", "http://127.1.2.3", None, None),
        ("[::1]:8080", "http://[::1]:8080", None, None),
        ("localhost.example.com", "https://localhost.example.com", None, None),
    ],
)
def test_a_pasted_address_is_understood(
    text: str, address: str, task_id: int | None, project_id: int | None
) -> None:
    page = PageUrl.parse(text)
    assert page.server.address == address
    assert (page.task_id, page.project_id) == (task_id, project_id)
    # It is the same server if it is read again.
    assert PageUrl.parse(page.server.written).server == page.server
    assert page.server.assumed == ("://" not in text)
    assert same_server(text, address)


@given(
    host=st.from_regex(r"[a-z0-9.-]{1,20}(:[0-9]{1,5})?", fullmatch=True), path=st.text(max_size=20)
)
def test_no_secret_goes_unencrypted_unless_http_is_typed(host: str, path: str) -> None:
    try:
        server = PageUrl.parse(f"{host}/{path}").server
    except ConfigError:
        return
    loopback = server.host.startswith("127.") or server.host.split(".")[-1] == "localhost"
    assert server.origin.startswith("http://" if loopback else "https://")


def test_unreadable_addresses_are_of_no_server() -> None:
    assert not same_server("ftp://x", "ftp://x")
    assert not same_server("https://host/cvat", "https://host/other")


PREFIXED = ServerUrl.parse("https://host/cvat")


@pytest.mark.parametrize(
    ("link", "path"),
    [
        # CVAT may know its prefix, or a proxy may have taken it away.
        ("https://host/cvat/api/tasks?page=2", "/api/tasks?page=2"),
        ("http://10.0.0.3:8080/api/tasks?page=2", "/api/tasks?page=2"),
        ("/api/tasks/1/annotations/abc", "/api/tasks/1/annotations/abc"),
        ("https://host/cvat-2/api/tasks", "/cvat-2/api/tasks"),
    ],
)
def test_links_get_the_prefix_once(link: str, path: str) -> None:
    assert PREFIXED.rebase(link) == f"https://host/cvat{path}"
    assert PREFIXED.path_of(link) == path
    assert PREFIXED.redirect_target("https://host/cvat/api/x", link) in (
        None,
        PREFIXED.rebase(link),
    )


def test_the_host_has_no_brackets() -> None:
    assert ServerUrl.parse("http://[::1]:8080").host == "::1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the server URL is empty"),
        ("https://h/jobs/9", "shows a job, not its task. Give https://h, and the task's id."),
        ("https://h/tasks/0", "shows none of the tasks: '0' is not an id. Give https://h, and"),
        ("https://h/projects/abc?page=1", "shows none of the projects: 'abc' is not an id."),
        ("   ", "the server URL is empty"),
        ("http:/cvat.example.com", "lacks a slash. Write http:// before the host."),
        ("https:cvat.example.com", "lacks a slash. Write https:// before the host."),
        ("https:/ann:hunter2@cvat.example.com", "the server URL lacks a slash. Write https://"),
        ("alice@cvat.example.com", "must not hold a user or password"),
        ("::1", "cannot be read"),
        ("[::1", "cannot be read"),
        ("https://cvat.example.com/../x", "has a path that cannot be used"),
        ("https://cvat.example.com/a b", "has a path that cannot be used"),
        ("ftp://cvat.example.com", "does not start with http"),
        ("https://", "has no host"),
        ("https://:8080", "has no host"),
        ("https://cvat example.com", "has no host"),
        ("https://cvat.example.com:port", "cannot be read"),
        ("https://cvat.example.com:99999", "cannot be read"),
        ("https://[::1", "cannot be read"),
        (
            "https://cvat.example.com/tasks/5",
            "has task 5 in it. Give https://cvat.example.com, and",
        ),
        ("https://cvat.example.com/projects/5?page=1", "has project 5 in it. Give https://cvat.ex"),
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


@pytest.mark.parametrize(
    "url", ["mailto:a@b", "", "/x", "cvat.example.com", "http://[x", "https://a:b@c/"]
)
def test_other_texts_than_a_web_address_have_no_origin(url: str) -> None:
    assert origin_of(url) is None


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("https://cvat.example.com", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost", True),
        ("http://cvat.localhost", True),
        ("http://cvat.example.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_what_others_on_the_way_can_read_is_known(url: str, is_private: bool) -> None:
    assert ServerUrl.parse(url).is_private is is_private

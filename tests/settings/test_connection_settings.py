"""Headers, client certificate and proxy come from options, environment and files."""

from __future__ import annotations

from pathlib import Path

import pytest
from settings_files import OTHER, URL, load, write

from asynccvat.errors import ConfigError


def test_headers_come_from_the_highest_place(tmp_path: Path) -> None:
    path = write(tmp_path, f"url: {URL}\ntoken: t\nheaders:\n  X-Of: file\n  X-Number: 0123\n")
    assert load(tmp_path).connection.headers == (("X-Of", "file"), ("X-Number", "0123"))
    environment = {"CVAT_HEADERS": "X-Of: environment\nCookie: a=b"}
    settings = load(tmp_path, config=path, environment=environment)
    assert settings.connection.headers == (("X-Of", "environment"), ("Cookie", "a=b"))
    settings = load(tmp_path, config=path, environment=environment, headers=["X-Of: option"])
    assert settings.connection.headers == (("X-Of", "option"),)
    assert ("headers", "--header") in settings.places
    assert load(tmp_path, config=path).client_arguments["headers"] == {
        "X-Of": "file",
        "X-Number": "0123",
    }


def test_certificates_and_proxies_come_from_every_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        f"url: {URL}\ntoken: t\nclient_cert: own/ann.pem\nclient_key: own/ann.key\n"
        "proxy: http://bob:hidden-1@proxy:3128\n",
    )
    connection = load(tmp_path).connection
    assert connection.client_cert == tmp_path / "own/ann.pem"
    assert connection.client_key == tmp_path / "own/ann.key"
    assert str(connection.proxy) == f"http://proxy:3128 ({tmp_path / 'server.yaml'}, line 5)"
    assert connection.proxy is not None
    assert connection.proxy.password == "hidden-1"
    connection = load(
        tmp_path,
        environment={"CVAT_CLIENT_CERT": "/ann.pem", "CVAT_CLIENT_KEY": "/ann.key"},
        proxy="socks5://proxy",
    ).connection
    assert (connection.client_cert, connection.client_key) == (Path("/ann.pem"), Path("/ann.key"))
    assert str(connection.proxy) == "socks5://proxy (--proxy)"
    connection = load(tmp_path, client_cert=Path("x.pem"), client_key=Path("x.key")).connection
    assert (connection.client_cert, connection.client_key) == (Path("x.pem"), Path("x.key"))


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    settings = load(
        tmp_path, url=URL, headers=["X-Key: hidden-1"], proxy="http://bob:hidden-2@proxy"
    )
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("headers: [a]", "line 2: 'headers' must hold names and values. Write `X-Api-Key: value`"),
        ("headers: {X-A: [1]}", "line 2: 'headers' must hold names and values"),
        ("headers: 'X-A: hidden'", "line 2: 'headers' must hold names and values"),
        ("headers: {Host: hidden}", "line 2: the header 'Host' is set by asynccvat itself"),
        ("headers: {X-A: ''}", "line 2: the header 'X-A' has no value"),
        ("client_key: a.key", "line 2: there is a client key, but no certificate. Give --client-"),
        ("proxy: 'ftp://hidden@x'", "the proxy of {p}, line 2 has the scheme 'ftp'"),
        ("proxy: ''", "line 2: 'proxy' is empty"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path, f"url: {URL}\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert message.format(p=path) in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_empty_proxy_is_an_unset_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--proxy is empty"):
        load(tmp_path, url=URL, proxy="")


def test_a_file_that_was_only_found_gets_no_headers_of_another_place(tmp_path: Path) -> None:
    path = write(tmp_path, f"url: {OTHER}\ntoken: t\n")
    environment = {"CVAT_HEADERS": "X-Key: hidden-1"}
    with pytest.raises(ConfigError, match="refusing to send the headers of the environment's CVA"):
        load(tmp_path, environment=environment)
    assert load(tmp_path, environment=environment, config=path).url == OTHER


def test_a_file_that_was_only_found_names_no_proxy_for_another_server(tmp_path: Path) -> None:
    path = write(tmp_path, "proxy: http://elsewhere\ninsecure: no\n")
    with pytest.raises(ConfigError, match=r"`proxy` is for the server that this file names, not"):
        load(tmp_path, url=URL, token="t")
    assert load(tmp_path, url=URL, token="t", config=path).connection.proxy is not None
    # One that the user names wins, and the file's own is not used.
    found = load(tmp_path, url=URL, token="t", proxy="http://mine").connection.proxy
    assert found is not None
    assert found.host == "mine"


@pytest.mark.parametrize("line", ["headers: {X-Key: hidden-1}", "proxy: http://bob:hidden-1@proxy"])
def test_a_file_of_secrets_that_others_can_read_is_warned_of(tmp_path: Path, line: str) -> None:
    write(tmp_path, f"url: {URL}\n{line}\n").chmod(0o644)
    (warning,) = load(tmp_path).warnings
    assert "line 2: others can read this secret" in warning
    assert "hidden" not in warning

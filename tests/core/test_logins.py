"""What is known of saved logins: names, defaults, expiries, and the documents of files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asynccvat.core.logins import (
    SavedLogin,
    SavedLogins,
    TokenStore,
    check_name,
    decode,
    default_name,
    encode,
    fingerprint,
    token_name,
)
from asynccvat.core.models import AccessToken
from asynccvat.errors import ConfigError

URL = "https://cvat.example.com"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TOKEN = "12345678." + "0" * 32


def saved(name: str = "lab", **fields: Any) -> SavedLogin:
    given: dict[str, Any] = {
        "name": name,
        "url": URL,
        "username": "ann",
        "store": TokenStore.FILE,
        "fingerprint": fingerprint(TOKEN),
        "saved": NOW,
    }
    return SavedLogin(**given | fields)


def with_expiry(expiry: datetime | None, *, made: bool = False) -> SavedLogin:
    return saved(token=AccessToken(id=7, name="mine", expiry_date=expiry), made=made)


def test_logins_are_read_as_they_were_written() -> None:
    logins = SavedLogins().with_login(with_expiry(NOW)).with_login(saved("plant"))
    content = encode(logins)
    assert decode(content, "logins.json") == logins
    assert TOKEN.encode() not in content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the list of logins 'logins.json' cannot be read: it is damaged. Remove it, and"),
        (b"[]", "it is damaged"),
        (b'{"version": 1, "logins": [{"name": "lab"}]}', "it is damaged"),
        (b'{"version": 2}', "'logins.json' has version 2, but this asynccvat reads version 1"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decode(content, "'logins.json'")


def test_the_latest_login_is_the_default_until_it_ends() -> None:
    logins = SavedLogins().with_login(saved("lab")).with_login(saved("plant"))
    assert logins.default == "plant"
    assert logins.without("lab").default == "plant"
    left = logins.without("plant")
    assert (left.default, left.logins) == ("lab", (saved("lab"),))
    assert left.without("lab") == SavedLogins()


def test_a_login_replaces_the_one_of_its_name() -> None:
    logins = SavedLogins().with_login(saved(username="ann")).with_login(saved(username="bob"))
    assert [login.username for login in logins.logins] == ["bob"]


def test_a_login_is_found_by_name_server_or_as_the_default() -> None:
    logins = SavedLogins().with_login(saved("lab")).with_login(saved("plant", url="http://other"))
    assert logins.chosen().name == "plant"
    assert logins.chosen("lab").name == "lab"
    assert logins.chosen("https://CVAT.example.com:443/").name == "lab"
    with pytest.raises(ConfigError, match=r"no saved login 'x'\. Choose from 'lab', 'plant'\."):
        logins.chosen("x")
    with pytest.raises(ConfigError, match=r"several saved logins .*Choose from 'lab', 'field'"):
        logins.with_login(saved("field")).chosen(URL)
    with pytest.raises(ConfigError, match=r"there is no saved login. Save one with `asynccvat log"):
        SavedLogins().chosen()
    with pytest.raises(ConfigError, match=r"no saved login 'lab'. Save one"):
        SavedLogins().chosen("lab")


def test_the_latest_login_of_a_user_at_a_server_is_found() -> None:
    logins = SavedLogins().with_login(saved("a")).with_login(saved("b")).with_login(saved("c"))
    found = logins.with_login(saved("c", username="bob")).of_user(f"{URL}/", "ann")
    assert found is not None
    assert found.name == "b"
    assert logins.of_user("https://other.example.com", "ann") is None


def test_a_token_s_expiry_is_told_in_time() -> None:
    assert saved().warning(NOW) is None
    assert with_expiry(None).warning(NOW) is None
    assert with_expiry(NOW + timedelta(days=8)).warning(NOW) is None
    soon = with_expiry(NOW + timedelta(days=3))
    assert not soon.is_expired(NOW)
    assert soon.warning(NOW) == (
        "the access token of the login 'lab' expires on 2026-12-03. Run: "
        "asynccvat login https://cvat.example.com --name lab"
    )
    over = with_expiry(NOW)
    assert over.is_expired(NOW)
    assert "expired on 2026-11-30" in str(over.warning(NOW))


def test_the_command_that_renews_a_login_has_all_that_it_was_made_with() -> None:
    assert saved("cvat.example.com").command == "asynccvat login https://cvat.example.com"
    login = saved(
        organization="street-lab",
        ca_bundle="/own ca.pem",
        client_cert="/ann.pem",
        client_key="/ann.key",
        insecure=True,
        headers=("X-A", "X-B"),
        proxy="http://proxy:3128",
    )
    assert login.command == (
        "asynccvat login https://cvat.example.com --name lab --org street-lab "
        "--ca-bundle '/own ca.pem' --client-cert /ann.pem --client-key /ann.key --insecure "
        "--header 'X-A: ...' --header 'X-B: ...' --proxy http://proxy:3128"
    )
    assert saved("cvat.example.com", organization="").command.endswith(" --org ''")


def test_only_a_token_that_the_login_made_is_to_be_revoked() -> None:
    assert with_expiry(None).made_token is None
    made = with_expiry(None, made=True)
    assert made.made_token is made.token


def test_a_login_knows_its_token_again() -> None:
    assert saved().is_of(TOKEN)
    assert not saved().is_of(TOKEN[::-1])


@pytest.mark.parametrize(
    ("address", "taken", "name"),
    [
        (URL, (), "cvat.example.com"),
        (URL, ("cvat.example.com", "cvat.example.com-2"), "cvat.example.com-3"),
        ("http://localhost:8080", (), "localhost-8080"),
        ("https://example.com/cvat", (), "example.com-cvat"),
        ("http://[::1]:8080", (), "1-8080"),
        (f"https://{'a' * 80}.example.com", (), "a" * 46),
    ],
)
def test_a_login_is_called_after_its_host(address: str, taken: tuple[str, ...], name: str) -> None:
    found = default_name(address, taken)
    assert found == name
    check_name(found)


@pytest.mark.parametrize("name", ["lab", "ann@lab", "Labor 2", "büro", "n" * 50])
def test_names_that_may_be_used(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", " lab", "a/b", "a\\b", "a\nb", "n" * 51, "lab.yaml", "x.yml"])
def test_names_that_other_options_take_for_files_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="the login cannot be called"):
        check_name(name)


def test_a_token_s_name_tells_machine_and_user_and_fits() -> None:
    assert token_name("lab7", "ann") == "asynccvat, ann at lab7"
    assert token_name("", "") == "asynccvat, a user at a machine"
    assert len(token_name("h" * 80, "ann")) == 50

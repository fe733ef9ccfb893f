"""The secrets of logins: in an entry of a keyring, and in the document of CVAT's own tools."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.login_secrets import (
    NO_GATEWAY,
    Gateway,
    LoginSecrets,
    as_entry,
    from_entry,
    gateway_of,
    with_profile,
    without_profile,
)

URL = "https://cvat.example.com"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TOKEN = "12345678." + "0" * 32
SECRETS = LoginSecrets(TOKEN)
GATEWAY = Gateway(headers={"X-Api-Key": "hidden-1"}, proxy="http://bob:hidden-2@proxy:3128")


def test_an_entry_without_a_gateway_is_the_token() -> None:
    assert as_entry(SECRETS) == TOKEN
    assert from_entry(TOKEN) == SECRETS


@given(st.dictionaries(st.text(), st.text()), st.none() | st.text())
def test_an_entry_is_read_as_it_was_written(headers: dict[str, str], proxy: str | None) -> None:
    secrets = LoginSecrets(TOKEN, Gateway(headers=headers, proxy=proxy))
    assert from_entry(as_entry(secrets)) == secrets


@pytest.mark.parametrize("text", ["{", "{}", '{"token": 1}', '{"token": "x", "gateway": []}'])
def test_a_damaged_entry_is_none(text: str) -> None:
    assert from_entry(text) is None


def test_secrets_stay_out_of_repr() -> None:
    shown = repr(LoginSecrets(TOKEN, GATEWAY)) + repr(GATEWAY)
    assert TOKEN not in shown
    assert "hidden" not in shown


def test_other_profiles_stay_and_the_first_one_is_the_default() -> None:
    first = with_profile({}, "lab", server=URL, secrets=SECRETS, created=NOW)
    assert first == {
        "version": 1,
        "default_profile": "lab",
        "profiles": {
            "lab": {"server": URL, "token": TOKEN, "created_date": "2026-11-30T12:00:00+00:00"}
        },
    }
    more = {**first, "default_server": "https://other", "of_a_later_version": [1]}
    second = with_profile(more, "plant", server="https://b", secrets=SECRETS, created=NOW)
    assert second["default_profile"] == "lab"
    assert second["of_a_later_version"] == [1]
    assert set(second["profiles"]) == {"lab", "plant"}
    left = without_profile(second, "lab")
    assert set(left["profiles"]) == {"plant"}
    assert "default_profile" not in left
    assert without_profile(first, "other") == first


def test_the_key_of_a_login_is_no_default_of_cvat_s_own_tools() -> None:
    document = with_profile({}, "lab", server=URL, secrets=LoginSecrets("0" * 40), created=NOW)
    assert "default_profile" not in document


def test_a_profile_holds_what_a_gateway_wants() -> None:
    document = with_profile({}, "lab", server=URL, secrets=LoginSecrets("x", GATEWAY), created=NOW)
    assert gateway_of(document["profiles"]["lab"]) == GATEWAY
    assert gateway_of({"server": URL, "token": "x"}) == NO_GATEWAY


@pytest.mark.parametrize("own", [1, None, {"headers": ["X-Api-Key"]}, {"proxy": 3128}])
def test_a_damaged_gateway_of_a_profile_is_none(own: Any) -> None:
    assert gateway_of({"asynccvat": own}) is None

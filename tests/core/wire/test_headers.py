"""Headers for gateways: what can be sent is kept, what cannot is refused without its value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.headers import checked_headers, parse_headers, secrets_of
from asynccvat.errors import ConfigError


def test_lines_become_headers() -> None:
    lines = ["X-Api-Key:  abc:def ", "Cookie: a=b; c=d"]
    assert parse_headers(lines, "--header") == {"X-Api-Key": "abc:def", "Cookie": "a=b; c=d"}
    assert parse_headers([], "--header") == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hidden-secret", "--header: this is not a header. Write it like 'X-Api-Key: value'."),
        (": hidden-secret", "--header: this is not a header. Write it like 'X-Api-Key: value'."),
        ("X Y: hidden-secret", "--header: a header has a name that HTTP does not allow."),
        ("X-Api-Key:", "--header: the header 'X-Api-Key' has no value, or one that HTTP does not"),
        ("X-Api-Key: hidden\x00secret", "'X-Api-Key' has no value, or one that HTTP does not"),
        ("X-Api-Key: gehéim", "'X-Api-Key' has no value, or one that HTTP does not"),
        ("authorization: Basic hidden", "is set by asynccvat itself. Give the token as --token"),
        ("X-Organization: lab", "is set by asynccvat itself. Give the organization as --org"),
        ("Proxy-Authorization: x", "Give user and password in the proxy's address."),
        ("Host: evil.example.com", "the header 'Host' is set by asynccvat itself. Remove it."),
    ],
)
def test_what_is_no_header_is_refused_without_its_value(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_headers([line], "--header")
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_header_is_given_once() -> None:
    with pytest.raises(ConfigError, match=r"--header: the header 'X-A' is given twice. Remove one"):
        parse_headers(["X-A: 1", "X-A: 2"], "--header")
    with pytest.raises(ConfigError, match="the header 'x-a' is given twice"):
        checked_headers({"X-A": "1", "x-a": "2"})


def test_headers_of_another_type_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="headers must map names to values, not list"):
        checked_headers(["X-A: 1"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="both of them strings"):
        checked_headers({"X-A": 1})  # type: ignore[dict-item]


@given(name=st.text(max_size=8), value=st.text(max_size=12))
def test_what_is_accepted_can_stand_in_a_request(name: str, value: str) -> None:
    try:
        kept = checked_headers({name: value})
    except ConfigError:
        return
    ((sent_name, sent),) = kept.items()
    assert sent == value.strip()
    assert (sent_name + sent).isascii()
    assert not {"\r", "\n", "\0", ":"} & set(sent_name)
    assert not {"\r", "\n", "\0"} & set(sent)


def test_parts_of_values_are_secrets_too() -> None:
    found = secrets_of({"Cookie": "session=abcdefgh; n=1", "X-Flag": "true"})
    assert found == ("session=abcdefgh; n=1", "abcdefgh", "session")

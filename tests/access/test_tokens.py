"""Tokens say exactly what was signed, and nothing else passes for one."""

from __future__ import annotations

import base64
import string

from hypothesis import given
from hypothesis import strategies as st

from lingting.access.tokens import TokenClaims, decode, encode

KEY = bytes(range(32))
claims = st.builds(
    TokenClaims,
    app_id=st.binary(min_size=8, max_size=8).map(lambda raw: "cli_" + raw.hex()),
    secret_version=st.integers(0, 2**32 - 1),
    issued_at=st.integers(0, 2**32 - 1),
)


@given(claims)
def test_a_token_gives_back_what_was_signed(said: TokenClaims) -> None:
    token = encode(said, KEY)
    assert decode(token, KEY) == said
    assert encode(said, KEY) == token


@given(claims)
def test_a_token_is_the_prefix_and_44_url_safe_characters(said: TokenClaims) -> None:
    token = encode(said, KEY)
    assert token.startswith("t-")
    assert len(token) == 46
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


@given(claims, st.binary(min_size=32, max_size=32).filter(lambda key: key != KEY))
def test_a_token_of_another_key_is_none(said: TokenClaims, other: bytes) -> None:
    assert decode(encode(said, other), KEY) is None


@given(claims, st.integers(0, 33 * 8 - 1))
def test_no_bit_of_a_token_can_be_changed(said: TokenClaims, bit: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(encode(said, KEY)[2:]))
    raw[bit // 8] ^= 1 << bit % 8
    assert decode("t-" + base64.urlsafe_b64encode(raw).decode(), KEY) is None


@given(claims, st.integers(0, 45), st.characters())
def test_no_character_of_a_token_can_be_replaced(said: TokenClaims, place: int, character: str) -> None:
    token = encode(said, KEY)
    other = token[:place] + character + token[place + 1 :]
    assert (decode(other, KEY) is None) == (other != token)


@given(st.text())
def test_any_other_text_is_no_token(text: str) -> None:
    assert decode(text, KEY) is None
    assert decode("t-" + text, KEY) is None


@given(claims, st.text(min_size=1))
def test_nothing_can_be_added_to_a_token(said: TokenClaims, more: str) -> None:
    assert decode(encode(said, KEY) + more, KEY) is None
    assert decode(more + encode(said, KEY), KEY) is None

"""For every field and every value: it is taken exactly when its rule says so, and otherwise named."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from lingting.api.feishu.errors import InvalidParam
from lingting.api.feishu.parameters import parse_file, parse_packet
from lingting.api.flash.parameters import FORMATS, FlashError, FlashParameters
from lingting.api.flash.parameters import parse as parse_flash
from tests.api.serving import file_body, packet_body

ID = "asd1234567890ddd"
SECONDS = 0.01
LIMIT = 320

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)
names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=15, max_size=17) | st.from_regex(
    r"[A-Za-z0-9_]{15,17}"
)


def refused(body: Any, *, file: bool) -> list[str]:
    """The fields that are named as wrong; none when the body is taken."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        (parse_file if file else parse_packet)(data, SECONDS)
    except InvalidParam as error:
        assert error.violations
        for violation in error.violations:
            assert set(violation) == {"field", "value", "description"}
            assert violation["description"]
            assert len(violation["value"]) <= 64
            if violation["field"].startswith("speech"):
                assert violation["value"] == ""
        return [violation["field"] for violation in error.violations]
    return []


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_the_parser(body: bytes, file: bool) -> None:
    assert refused(body, file=file)


@given(values, st.booleans())
def test_no_json_breaks_the_parser(body: Any, file: bool) -> None:
    assert refused(body, file=file)


@given(values, st.sampled_from(["speech", "config"]), st.booleans())
def test_no_json_in_an_object_breaks_the_parser(value: Any, name: str, file: bool) -> None:
    body = file_body(b"ab") if file else packet_body(ID, 0, 1, b"ab")
    found = refused(body | {name: value}, file=file)
    assert all(field == name or field.startswith(name + ".") for field in found)


@given(values, st.sampled_from(["file_id", "format", "engine_type"]))
def test_any_value_of_a_file_field_is_taken_or_named(value: Any, name: str) -> None:
    body = file_body(b"ab")
    body["config"][name] = value
    rules = {"file_id": r"[A-Za-z0-9_]{16}", "format": "pcm", "engine_type": "16k_auto"}
    fine = isinstance(value, str) and re.fullmatch(rules[name], value)
    assert refused(body, file=True) == ([] if fine else [f"config.{name}"])


@given(names, st.booleans())
def test_ids_follow_their_rule(name: str, file: bool) -> None:
    body = file_body(b"ab", file_id=name) if file else packet_body(name, 0, 1)
    fine = re.fullmatch(r"[A-Za-z0-9_]{16}", name) is not None
    assert refused(body, file=file) == ([] if fine else ["config.file_id" if file else "config.stream_id"])


@given(values, st.sampled_from(["stream_id", "sequence_id", "action", "format", "engine_type"]))
def test_any_value_of_a_packet_field_is_taken_or_named(value: Any, name: str) -> None:
    body = packet_body(ID, 0, 1, b"ab")
    body["config"][name] = value
    whole = isinstance(value, int) and not isinstance(value, bool)
    fine = {
        "stream_id": isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_]{16}", value) is not None,
        "sequence_id": whole and 0 <= value < 10**18,
        "action": whole and value in (0, 1, 2, 3),
        "format": value == "pcm",
        "engine_type": value == "16k_auto",
    }[name]
    assert refused(body, file=False) == ([] if fine else [f"config.{name}"])


@given(st.binary(max_size=LIMIT + 8))
def test_audio_of_a_file_comes_out_as_it_went_in(audio: bytes) -> None:
    body = file_body(audio)
    if audio and len(audio) % 2 == 0 and len(audio) <= LIMIT:
        assert parse_file(json.dumps(body).encode(), SECONDS).pcm == audio
    else:
        assert refused(body, file=True) == ["speech.speech"]


@given(st.binary(max_size=LIMIT + 8), st.integers(0, 10**17), st.sampled_from([0, 1, 2, 3]))
def test_a_packet_comes_out_as_it_went_in(audio: bytes, number: int, action: int) -> None:
    body = packet_body(ID, number, action, audio)
    if len(audio) > LIMIT:
        assert refused(body, file=False) == ["speech.speech"]
        return
    packet = parse_packet(json.dumps(body).encode(), SECONDS)
    assert (packet.stream_id, packet.sequence_id, packet.action, packet.audio) == (ID, number, action, audio)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_base64_with_one_character_changed_is_refused_or_means_other_audio(audio: bytes, data: st.DataObject) -> None:
    text = base64.b64encode(audio).decode()
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = text[:at] + data.draw(st.sampled_from("-_ \n.é=*")) + text[at + 1 :]
    body = packet_body(ID, 0, 1) | {"speech": {"speech": wrong}}
    if wrong != text:
        assert (
            refused(body, file=False) == ["speech.speech"]
            or parse_packet(json.dumps(body).encode(), SECONDS).audio != audio
        )


def flash(headers: dict[str, str], query: str = "") -> FlashParameters:
    """The parameters of a request with these headers."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return parse_flash(Request({"type": "http", "headers": raw, "query_string": query.encode()}))


@given(st.sampled_from(["sample_rate", "max_sentence_silence"]), st.text(st.characters(max_codepoint=255), min_size=1))
def test_any_text_for_a_number_is_taken_or_named(name: str, value: str) -> None:
    low, high = {"sample_rate": (4000, 192_000), "max_sentence_silence": (100, 60_000)}[name]
    text = value.strip()
    try:
        found = flash({name: value})
    except FlashError as error:
        assert (error.status, error.param) == (400, name)
        assert not (re.fullmatch("[0-9]+", text) and low <= int(text) <= high)
    else:
        assert not text or low <= int(text) <= high
        assert found.sample_rate == (int(text) if text and name == "sample_rate" else 16_000)


@given(st.integers(-10, 10**12), st.sampled_from(["headers", "query"]))
def test_numbers_are_taken_within_their_bounds(number: int, way: str) -> None:
    headers, query = ({"sample_rate": str(number)}, "") if way == "headers" else ({}, f"sample_rate={number}")
    if 4000 <= number <= 192_000:
        assert flash(headers, query).sample_rate == number
    else:
        with pytest.raises(FlashError):
            flash(headers, query)


@given(st.text(st.characters(max_codepoint=255), max_size=12))
def test_any_format_is_known_or_415(value: str) -> None:
    name = value.strip().lower().lstrip(".")
    if not value.strip() or name in FORMATS:
        assert flash({"format": value}).format == (name or "wav")
        return
    with pytest.raises(FlashError) as error:
        flash({"format": value})
    assert (error.value.status, error.value.param) == (415, "format")


@given(st.lists(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=64), max_size=30))
def test_hot_words_come_out_as_they_went_in(words: list[str]) -> None:
    for separator in (",", "%2C", "，"):
        encoded = (quote(separator) if separator == "，" else separator).join(quote(word) for word in words)
        assert flash({"hot_words": encoded}).hot_words == tuple(dict.fromkeys(words))


@given(st.text(st.characters(max_codepoint=255)), st.sampled_from(["hot_words", "convert_numbers", "model"]))
def test_no_text_breaks_a_flash_parameter(value: str, name: str) -> None:
    try:
        flash({name: value})
    except FlashError as error:
        assert (error.status, error.param) == (400, name)
        assert len(str(error)) < 200

"""Decoding of messages: whatever comes is a message or the documented error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.sessions.events import Done
from voiceplane_orchestrator.transports import messages
from voiceplane_orchestrator.transports.websocket import protocol
from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

TYPES = ["hello", "select", "say", "text", "interrupt", "pause", "resume", "playout"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["version", "sample_rate_hz", "client_id", "model", "speed", "text", "end", "utterance", "media_time_samples", "x"]
)
ALMOST = st.fixed_dictionaries({"type": st.sampled_from(TYPES)}).flatmap(
    lambda message: st.dictionaries(FIELDS, JSON, max_size=4).map(lambda fields: message | fields)
)


def refusal(text: str) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        messages.decode(text)
    return caught.value


@given(text=st.text() | JSON.map(json.dumps) | ALMOST.map(json.dumps) | st.binary().map(lambda b: b.decode("latin-1")))
def test_whatever_comes_is_a_message_or_an_invalid_message(text: str) -> None:
    error: VoiceplaneError | None = None
    try:
        message = messages.decode(text)
    except VoiceplaneError as refused:
        error = refused
    if error is None:
        assert message.type in TYPES
    else:
        assert error.reason == "INVALID_MESSAGE"
        assert error.message


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"type": "text"}, "text"),
        ({"type": "text", "text": 3}, "text"),
        ({"type": "text", "text": "a", "end": "yes"}, "end"),
        ({"type": "text", "text": "a", "typo": 1}, "typo"),
        ({"type": "say", "text": "a", "end": True}, "end"),
        ({"type": "playout", "utterance": -1, "media_time_samples": 0}, "utterance"),
        ({"type": "playout", "utterance": 2**32, "media_time_samples": 0}, "utterance"),
        ({"type": "playout", "utterance": 1, "media_time_samples": 1.5}, "media_time_samples"),
        ({"type": "hello", "version": "1"}, "version"),
        ({"type": "hello", "version": 1, "client_id": "../etc"}, "client_id"),
        ({"type": "hello", "version": 1, "client_id": ""}, "client_id"),
        ({"type": "hello", "version": 1, "client_id": "a" * 65}, "client_id"),
        ({"type": "select", "speed": 4.5}, "speed"),
        ({"type": "select", "segmentation": "word"}, "segmentation"),
        ({"type": "unknown"}, "type"),
        ({"text": "a"}, "type"),
    ],
)
def test_an_error_names_its_field(message: dict[str, Any], field: str) -> None:
    error = refusal(json.dumps(message))
    assert error.field == field
    assert field in error.message


def test_an_error_repeats_nothing_of_what_was_said() -> None:
    for message in ({"type": "say", "text": ["aardvark"]}, {"type": "say", "text": "x", "typo": "aardvark"}):
        assert "aardvark" not in refusal(json.dumps(message)).message


@pytest.mark.parametrize(
    ("rate_hz", "microphone", "version", "reason"),
    [
        (16_000, True, 1, ""),
        (24_000, True, 1, ""),
        (48_000, True, 1, ""),
        (None, False, 1, ""),
        (None, True, 1, "INVALID_ARGUMENT"),
        (44_100, True, 1, "INVALID_ARGUMENT"),
        (16_000, False, 1, "INVALID_ARGUMENT"),
        (16_000, True, 2, "UNSUPPORTED_VERSION"),
    ],
)
def test_a_hello_is_checked_for_its_endpoint(rate_hz: int | None, microphone: bool, version: int, reason: str) -> None:
    hello = messages.Hello(type="hello", version=version, sample_rate_hz=rate_hz)
    if not reason:
        assert protocol.check_hello(hello, microphone=microphone) == (rate_hz or 0)
        return
    with pytest.raises(VoiceplaneError) as caught:
        protocol.check_hello(hello, microphone=microphone)
    assert caught.value.reason == reason


def test_a_frame_has_the_documented_header() -> None:
    frame = SpeechFrame(
        pcm=bytes(range(256)) * 7 + bytes(128),
        sequence=1,
        media_time_samples=0x0102030405060708,
        utterance_id="9",
        epoch=0x0A0B0C0D,
        valid_samples=480,
        end=True,
        text_start=0,
        text_end=1,
    )
    header = "010101000d0c0b0a090000000807060504030201e0010000"
    assert protocol.encode_frame(frame) == bytes.fromhex(header) + frame.pcm


def test_an_event_is_json_with_its_type() -> None:
    event = Done(utterance=1, epoch=2, result="complete", samples=3)
    expected = {"type": "done", "utterance": 1, "epoch": 2, "result": "complete", "samples": 3, "compute_ms": None}
    assert json.loads(messages.encode_event(event)) == expected

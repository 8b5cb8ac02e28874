"""The WebSocket protocol of docs/reference/websocket.md: audio frames, close codes, the check of the hello message."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from voiceplane_orchestrator.transports.messages import Hello
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

VERSION = 1
SUBPROTOCOL = "voiceplane.v1"
MAX_MESSAGE_BYTES = 64 * 1024
MICROPHONE_RATES_HZ = (16_000, 24_000, 48_000)

CLOSE_PROTOCOL = 4400
CLOSE_TIMEOUT = 4408
CLOSE_SLOW = 4409

_HEADER = struct.Struct("<BBHIIQHH")
_KIND_REPLY = 1
_FLAG_END = 1


def encode_frame(frame: SpeechFrame) -> bytes:
    """Encode a frame as its header and the PCM."""
    header = _HEADER.pack(
        VERSION,
        _KIND_REPLY,
        _FLAG_END if frame.end else 0,
        frame.epoch,
        int(frame.utterance_id),
        frame.media_time_samples,
        frame.valid_samples,
        0,
    )
    return header + frame.pcm


def check_hello(hello: Hello, *, microphone: bool) -> int:
    """Check a hello; returns the microphone's sample rate in Hz, or 0 without a microphone.

    Raises:
        VoiceplaneError: The version, the rate or the pacing is not accepted.
    """
    if hello.version != VERSION:
        raise invalid("version", f"version must be {VERSION}, not {hello.version}", reason="UNSUPPORTED_VERSION")
    if microphone and hello.pacing is not None:
        raise invalid("pacing", "pacing is for /v1/speak: a conversation is always at the pace of speech")
    rate = hello.sample_rate_hz
    if not microphone:
        if rate is not None:
            raise invalid("sample_rate_hz", "sample_rate_hz is for /v1/talk: /v1/speak takes no audio")
        return 0
    if rate not in MICROPHONE_RATES_HZ:
        rates = ", ".join(str(accepted) for accepted in MICROPHONE_RATES_HZ)
        raise invalid("sample_rate_hz", f"sample_rate_hz must be one of {rates}, not {rate}")
    return rate

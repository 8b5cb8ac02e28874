"""Messages and frames of docs/reference/websocket.md: pure encoding and decoding."""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

VERSION = 1
SUBPROTOCOL = "voiceplane.v1"
KEY_SUBPROTOCOL = "voiceplane.key."
MAX_MESSAGE_BYTES = 64 * 1024
MAX_NAME_CHARS = 64
MICROPHONE_RATES_HZ = (16_000, 24_000, 48_000)

CLOSE_PROTOCOL = 4400
CLOSE_TIMEOUT = 4408
CLOSE_SLOW = 4409

_HEADER = struct.Struct("<BBHIIQHH")
_KIND_REPLY = 1
_FLAG_END = 1


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Choices(_Message):
    """What can be selected."""

    model: str | None = Field(default=None, max_length=256)
    voice: str | None = Field(default=None, max_length=256)
    language: str | None = Field(default=None, max_length=35)
    speed: float | None = Field(default=None, ge=0.5, le=2.0)
    segmentation: Literal["", "clause", "sentence"] | None = None

    def chosen(self) -> dict[str, object]:
        """Each choice by its name; None for what is left as it is."""
        return {name: getattr(self, name) for name in Choices.model_fields}


class Hello(Choices):
    """The first message."""

    type: Literal["hello"]
    version: int
    sample_rate_hz: int | None = None
    client_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")


class Select(Choices):
    """Another voice."""

    type: Literal["select"]


class Say(_Message):
    """Speak this."""

    type: Literal["say"]
    text: str


class Text(_Message):
    """A piece of text."""

    type: Literal["text"]
    text: str
    end: bool = False


class Interrupt(_Message):
    """Stop the present speech."""

    type: Literal["interrupt"]


class PauseSpeech(_Message):
    """Hold the speech."""

    type: Literal["pause"]


class ResumeSpeech(_Message):
    """Go on."""

    type: Literal["resume"]


class Playout(_Message):
    """What was heard."""

    type: Literal["playout"]
    utterance: int = Field(ge=0, lt=2**32)
    media_time_samples: int = Field(ge=0, lt=2**63)


Message = Hello | Select | Say | Text | Interrupt | PauseSpeech | ResumeSpeech | Playout
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def decode(text: str) -> Message:
    """A control message.

    Raises:
        VoiceplaneError: INVALID_MESSAGE: it is none; names the field and what is accepted.
    """
    try:
        return _MESSAGES.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    kind = problem["type"]
    # The first part of the location is the message's type; after it, the field.
    name = ".".join(str(part) for part in problem["loc"][1:]) or "type"
    if kind == "json_invalid":
        name, message = "", 'a text message must be JSON, such as {"type":"interrupt"}'
    elif kind in {"model_attributes_type", "dict_type", "union_tag_not_found"}:
        message = 'a message must be a JSON object with a type, such as {"type":"interrupt"}'
    elif kind == "union_tag_invalid":  # what was sent may be long, and hold anything
        message = f"type must be one of {problem['ctx']['expected_tags']}"
    elif kind == "extra_forbidden":
        name = name[:MAX_NAME_CHARS]
        message = f"unknown field {name!r}: remove it or correct its name"
    else:
        message = f"{name}: {problem['msg']}"
    raise invalid(name, message, reason="INVALID_MESSAGE")


def encode_event(event: SessionEvent) -> str:
    """An event as JSON."""
    return json.dumps({"type": event.type, **dataclasses.asdict(event)}, ensure_ascii=False, separators=(",", ":"))


def encode_frame(frame: SpeechFrame) -> bytes:
    """A frame with its header."""
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
    """The microphone's rate in Hz; 0 without a microphone.

    Raises:
        VoiceplaneError: The version or the rate is not accepted.
    """
    if hello.version != VERSION:
        raise invalid("version", f"version must be {VERSION}, not {hello.version}", reason="UNSUPPORTED_VERSION")
    rate = hello.sample_rate_hz
    if not microphone:
        if rate is not None:
            raise invalid("sample_rate_hz", "sample_rate_hz belongs to /v1/talk: /v1/speak takes no audio")
        return 0
    if rate not in MICROPHONE_RATES_HZ:
        rates = ", ".join(str(accepted) for accepted in MICROPHONE_RATES_HZ)
        raise invalid("sample_rate_hz", f"sample_rate_hz must be one of {rates}, not {rate}")
    return rate

"""A session's JSON messages (docs/reference/websocket.md), which the WebSocket and LiveKit rooms share."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from voiceplane_orchestrator.sessions.events import SessionEvent

MAX_NAME_CHARS = 64
"""A field's name in an error message is cut to this length, since the client may send any name."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VoiceChoice(_Message):
    """The voice that a client chooses; None leaves a field as it is."""

    model: str | None = Field(default=None, max_length=256)
    voice: str | None = Field(default=None, max_length=256)
    language: str | None = Field(default=None, max_length=35)
    speed: float | None = Field(default=None, ge=0.25, le=4.0)
    segmentation: Literal["", "clause", "sentence"] | None = None
    markup: Literal["", "strip", "speak", "ssml"] | None = None
    emoji: Literal["", "drop", "name"] | None = None
    normalise: Literal["", "full", "none"] | None = None

    def chosen(self) -> dict[str, object]:
        """Each field by its name; None for what does not change."""
        return {name: getattr(self, name) for name in VoiceChoice.model_fields}


class Hello(VoiceChoice):
    """The first message of a WebSocket."""

    type: Literal["hello"]
    version: int
    sample_rate_hz: int | None = None
    pacing: Literal["realtime", "unpaced"] | None = None
    client_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")


class Select(VoiceChoice):
    """Change the voice."""

    type: Literal["select"]


class Say(_Message):
    """Speak a text now."""

    type: Literal["say"]
    text: str


class Text(_Message):
    """The next chunk of an utterance's text."""

    type: Literal["text"]
    text: str
    end: bool = False


class Interrupt(_Message):
    """Stop the current speech."""

    type: Literal["interrupt"]


class PauseCommand(_Message):
    """Pause the speech."""

    type: Literal["pause"]


class ResumeCommand(_Message):
    """Continue paused speech."""

    type: Literal["resume"]


class Playout(_Message):
    """How far the client has played an utterance."""

    type: Literal["playout"]
    utterance: int = Field(ge=0, lt=2**32)
    media_time_samples: int = Field(ge=0, lt=2**63)


ClientMessage = Hello | Select | Say | Text | Interrupt | PauseCommand | ResumeCommand | Playout
_MESSAGES: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def decode(text: str) -> ClientMessage:
    """Decode a control message.

    Raises:
        VoiceplaneError: INVALID_MESSAGE: the text is no message; the error names the field and what it accepts.
    """
    try:
        return _MESSAGES.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    kind = problem["type"]
    # The location starts with the message's type; the field follows.
    name = ".".join(str(part) for part in problem["loc"][1:]) or "type"
    if kind == "json_invalid":
        name, message = "", 'a text message must be JSON, such as {"type":"interrupt"}'
    elif kind in {"model_attributes_type", "dict_type", "union_tag_not_found"}:
        message = 'a message must be a JSON object with a type, such as {"type":"interrupt"}'
    elif kind == "union_tag_invalid":  # without the value: it may be long and hold anything
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

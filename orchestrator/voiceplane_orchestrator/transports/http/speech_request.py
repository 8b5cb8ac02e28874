"""The body of POST /v1/audio/speech, as OpenAI documents it, with extensions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common.errors import invalid

from voiceplane_orchestrator.transports.http.audio_formats import FORMATS, AudioFormat, FormatName


class VoiceId(BaseModel):
    """A voice as an object, in which OpenAI names custom voices."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(max_length=256)


class SpeechRequest(BaseModel):
    """The body of POST /v1/audio/speech; fields that are not here are ignored, since clients send those of others."""

    model_config = ConfigDict(frozen=True)

    input: str
    model: str = Field(default="", max_length=256)
    voice: str | VoiceId = ""
    instructions: str = ""
    response_format: FormatName = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
    language: str = Field(default="", max_length=35)
    sample_rate: int | None = None
    channels: int = Field(default=1, ge=1, le=2)

    @property
    def voice_name(self) -> str:
        """The voice's name, in whichever form it was sent."""
        return self.voice if isinstance(self.voice, str) else self.voice.id

    @property
    def format(self) -> AudioFormat:
        """The format of the file."""
        return FORMATS[self.response_format]

    @property
    def sample_rate_hz(self) -> int:
        """The sample rate of the file."""
        return self.sample_rate or self.format.sample_rate_hz


def parse_speech_request(body: bytes) -> SpeechRequest:
    """Read a request.

    Raises:
        VoiceplaneError: INVALID_MESSAGE: a field is missing or wrong. INVALID_ARGUMENT: the format has no such rate.
    """
    try:
        request = SpeechRequest.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        raise invalid(name, f"{name or 'body'}: {problem['msg']}", reason="INVALID_MESSAGE") from None
    request.format.check_sample_rate(request.sample_rate_hz)
    return request

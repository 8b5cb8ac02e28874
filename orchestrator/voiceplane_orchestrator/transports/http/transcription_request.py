"""The form of POST /v1/audio/transcriptions and /v1/audio/translations, as OpenAI documents it, with extensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import grpc
from aiohttp import BodyPartReader, hdrs
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common.errors import VoiceplaneError, invalid
from voiceplane_speech_input.asr.file_process import RawFormat

from voiceplane_orchestrator.transports.http.transcript_formats import (  # noqa: TC001  # pydantic reads annotations
    Granularity,
    TranscriptFormat,
)

if TYPE_CHECKING:
    from aiohttp import web

MAX_FIELD_BYTES = 64 * 1024
LISTS = frozenset({"timestamp_granularities"})


class TranscriptionRequest(BaseModel):
    """The fields besides the file; others are ignored, since clients send those of others."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(default="", max_length=256)
    language: str = Field(default="", max_length=35)
    prompt: str = ""
    response_format: TranscriptFormat = "json"
    temperature: float = Field(default=0.0, ge=0.0, le=1.0)
    stream: bool = False
    timestamp_granularities: tuple[Granularity, ...] = ()
    input_format: Literal["", "pcm", "mulaw", "alaw"] = ""
    sample_rate: int | None = Field(default=None, ge=8_000, le=192_000)
    channels: int = Field(default=1, ge=1, le=2)

    @property
    def raw_format(self) -> RawFormat | None:
        """The format of a file without a header; None for one that says so itself.

        Raises:
            VoiceplaneError: INVALID_MESSAGE: its rate is missing.
        """
        if not self.input_format:
            return None
        rate_hz = self.sample_rate or (None if self.input_format == "pcm" else 8_000)
        if rate_hz is None:
            raise invalid(
                "sample_rate",
                "audio without a header needs its rate: send sample_rate, such as 16000",
                reason="INVALID_MESSAGE",
            )
        return RawFormat(encoding=self.input_format, sample_rate_hz=rate_hz, channels=self.channels)


@dataclass(frozen=True, slots=True)
class Upload:
    """A form that was read."""

    request: TranscriptionRequest
    file: bytes


async def read_upload(request: web.Request, *, max_bytes: int) -> Upload:
    """Read the form.

    Args:
        request: Its body is not read yet.
        max_bytes: Of the file.

    Raises:
        VoiceplaneError: INVALID_MESSAGE: it is no form, or a field is missing or wrong. BODY_TOO_LARGE.
    """
    if (request.content_length or 0) > max_bytes + MAX_FIELD_BYTES:
        raise too_large(max_bytes)
    if request.content_type != "multipart/form-data":
        raise invalid("", "the body must be multipart/form-data with a file", reason="INVALID_MESSAGE")
    fields: dict[str, list[str]] = {}
    file: bytes | None = None
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise invalid("", "the form has a nested part: send fields and a file", reason="INVALID_MESSAGE")
            if part.name == "file":
                file = await _read(part, max_bytes)
            else:
                text = await _read(part, MAX_FIELD_BYTES)
                fields.setdefault((part.name or "").removesuffix("[]"), []).append(text.decode())
    except ValueError as error:
        raise invalid("", f"the form can't be read: {error}", reason="INVALID_MESSAGE") from None
    if not file:
        raise invalid("file", "file: there is no recording in the form: send one", reason="INVALID_MESSAGE")
    return Upload(_validated(fields), file)


def too_large(max_bytes: int) -> VoiceplaneError:
    """The error of a form that is too large."""
    message = f"the file has more than {max_bytes} bytes (transcription.max_upload_bytes): compress or split it"
    return VoiceplaneError(grpc.StatusCode.INVALID_ARGUMENT, "BODY_TOO_LARGE", message, field="file")


async def _read(part: BodyPartReader, max_bytes: int) -> bytes:
    if part.headers.get(hdrs.CONTENT_ENCODING) or part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary") not in {
        "binary",
        "8bit",
        "7bit",
    }:
        raise invalid(part.name or "", "the parts of the form must not be encoded", reason="INVALID_MESSAGE")
    data = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        data += chunk
        if len(data) > max_bytes:
            raise too_large(max_bytes)
    return bytes(data)


def _validated(fields: dict[str, list[str]]) -> TranscriptionRequest:
    values = {name: found if name in LISTS else found[-1] for name, found in fields.items()}
    try:
        return TranscriptionRequest.model_validate({name: value for name, value in values.items() if value != ""})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        raise invalid(name, f"{name}: {problem['msg']}", reason="INVALID_MESSAGE") from None

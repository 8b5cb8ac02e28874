"""POST /v1/audio/speech: text to speech as one audio file, sent while it is synthesized."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import struct
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, invalid
from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_orchestrator.sessions.text_stream import check_text_length, single_chunk
from voiceplane_orchestrator.transports.send_buffer import limit_unsent_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission
    from voiceplane_orchestrator.tts.base import TtsState
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

_WAV_UNKNOWN_SIZE = 0xFFFF_FFFF


class SpeechRequest(BaseModel):
    """The body of POST /v1/audio/speech."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    model: str = ""
    voice: str = ""
    response_format: Literal["wav", "pcm"] = "wav"
    speed: float = Field(default=1.0, ge=0.5, le=2.0)


class SpeechEndpoint:
    """Serves /v1/audio/speech."""

    def __init__(self, factory: SessionFactory, *, admission: SessionAdmission) -> None:
        self._factory = factory
        self._admission = admission

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/speech."""
        try:
            wanted = SpeechRequest.model_validate_json(await request.read())
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in problem["loc"])
            raise invalid(name, f"{name or 'body'}: {problem['msg']}", reason="INVALID_MESSAGE") from None
        check_text_length(wanted.input, max_chars=self._factory.settings.limits.max_text_chars, field="input")
        selection = await self._factory.selection("", model=wanted.model, voice=wanted.voice, speed=wanted.speed)
        with self._admission.admit("file") as session_id, tracing.new_trace("file", session_id=session_id):
            speaking: list[TtsState] = []
            tts = self._factory.tts(session_id=session_id, selection=selection, on_state=speaking.append)
            speech = tts.speak(single_chunk(wanted.input), utterance_id="1", epoch=1)
            try:
                async with contextlib.aclosing(speech) as frames:
                    wav = wanted.response_format == "wav"
                    headers = functools.partial(_who_speaks, speaking, wanted=wanted.model)
                    return await self._stream(request, frames, wav=wav, headers=headers)
            finally:
                await tts.close()

    async def _stream(
        self,
        request: web.Request,
        frames: AsyncIterator[SpeechFrame],
        *,
        wav: bool,
        headers: Callable[[], dict[str, str]],
    ) -> web.StreamResponse:
        """Send audio as it comes. An error before the first audio is still an HTTP status."""
        async for first in frames:
            if first.valid_samples:
                break
        else:
            raise invalid("input", "input has nothing that can be spoken: send words", reason="NOTHING_TO_SPEAK")
        content_type = {hdrs.CONTENT_TYPE: "audio/wav" if wav else "audio/pcm"}
        response = web.StreamResponse(headers=content_type | headers())
        await response.prepare(request)
        limit_unsent_bytes(request)
        try:
            await self._write(response, (_wav_header() if wav else b"") + _pcm(first))
            async for frame in frames:
                await self._write(response, _pcm(frame))
            await response.write_eof()
        except (VoiceplaneError, TimeoutError, ConnectionError) as error:
            # The status has been sent. The client detects the failure because the final chunk is missing.
            self._factory.metrics.error_told(getattr(error, "reason", "SLOW_READER"))
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._factory.settings.limits.write_timeout_ms / 1000):
            await response.write(data)


def _who_speaks(states: Sequence[TtsState], *, wanted: str) -> dict[str, str]:
    """Headers with the model that speaks, percent-encoded; an explicit one if it is not the one that was asked for."""
    state = next((state for state in reversed(states) if state.kind in {"ready", "fallback"}), None)
    if state is None:
        return {}
    headers = {"X-Voiceplane-Model": quote(state.model_id), "X-Voiceplane-Voice": quote(state.voice)}
    if state.kind == "fallback":
        headers["X-Voiceplane-Fallback"] = quote(wanted) or "default"
    return headers


def _pcm(frame: SpeechFrame) -> bytes:
    """The frame's speech, without its padding."""
    return frame.pcm[: 2 * frame.valid_samples]


def _wav_header() -> bytes:
    """The header of a WAV file whose size is not known yet."""
    rate, channels, width = SAMPLE_RATE_HZ, 1, 2
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * width, channels * width, 16)
    riff = struct.pack("<4sI4s", b"RIFF", _WAV_UNKNOWN_SIZE, b"WAVE")
    return riff + body + struct.pack("<4sI", b"data", _WAV_UNKNOWN_SIZE)

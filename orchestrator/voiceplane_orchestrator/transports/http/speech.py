"""POST /v1/audio/speech: text to speech as one audio file, encoded and sent while it is synthesized."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import hdrs, web
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError, internal, invalid
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.sessions.text_stream import check_text_length, single_chunk
from voiceplane_orchestrator.transports.http.audio_formats import AudioEncoder, wav_header
from voiceplane_orchestrator.transports.http.errors import error_body
from voiceplane_orchestrator.transports.http.event_stream import EVENT_STREAM_HEADERS, event
from voiceplane_orchestrator.transports.http.speech_request import parse_speech_request
from voiceplane_orchestrator.transports.http.speech_usage import speech_usage
from voiceplane_orchestrator.transports.send_buffer import limit_unsent_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission
    from voiceplane_orchestrator.transports.http.speech_request import SpeechRequest
    from voiceplane_orchestrator.transports.http.voice_names import VoiceNames
    from voiceplane_orchestrator.tts.base import TtsState
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

BACKLOG_FRAMES = 250
"""Five seconds of speech may wait for the encoder and the client; more makes the worker wait."""
WAV_COMPLETE_S = 0.2
"""So long a WAV file waits for its end after the first audio, so that its header has the right length: most texts of
a few sentences end within it. A longer file is streamed, and its header has the largest length."""

_log = get_logger("speech")


@dataclass(slots=True)
class _Speaking:
    """What speaks a file, and how much of it there is so far."""

    model: str = ""
    voice: str = ""
    is_fallback: bool = False
    samples: int = 0

    def changed(self, state: TtsState) -> None:
        """Note what serves the session."""
        if state.model_id:
            self.model, self.voice = state.model_id, state.voice
        if state.kind in {"ready", "fallback"}:
            self.is_fallback = state.kind == "fallback"


class SpeechEndpoint:
    """Serves /v1/audio/speech."""

    def __init__(self, factory: SessionFactory, *, admission: SessionAdmission, names: VoiceNames) -> None:
        self._factory = factory
        self._admission = admission
        self._names = names

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/speech."""
        wanted = parse_speech_request(await request.read())
        check_text_length(wanted.input, max_chars=self._factory.settings.limits.max_text_chars, field="input")
        model_id = self._names.model_id(wanted.model)
        selection = await self._factory.selection(
            "",
            model=model_id,
            voice=self._names.voice(wanted.voice_name, model_id=model_id),
            language=wanted.language,
            speed=wanted.speed,
        )
        speaking = _Speaking()
        with self._admission.admit("file") as session_id, tracing.new_trace("file", session_id=session_id):
            tts = self._factory.tts(
                session_id=session_id, selection=selection, on_state=speaking.changed, pacing="unpaced"
            )
            speech = tts.speak(single_chunk(wanted.input), utterance_id="1", epoch=1)
            try:
                async with contextlib.aclosing(speech) as frames, contextlib.aclosing(_batches(frames)) as batches:
                    return await self._send(request, wanted, batches, speaking)
            finally:
                await tts.close()

    async def _send(
        self, request: web.Request, wanted: SpeechRequest, batches: AsyncIterator[bytes], speaking: _Speaking
    ) -> web.StreamResponse:
        """Send the file as it is made. An error before the first audio is still an HTTP status."""
        first = await anext(batches, b"")
        if not first:
            raise invalid("input", "input has nothing that can be spoken: send words", reason="NOTHING_TO_SPEAK")
        encoded = _encoded(wanted, first, batches, speaking)
        async with contextlib.aclosing(encoded) as chunks:
            if wanted.stream_format == "sse":
                return await self._send_events(request, wanted, chunks, speaking)
            headers = _headers(wanted, speaking) | {hdrs.CONTENT_TYPE: wanted.format.content_type}
            if wanted.response_format == "wav":
                start, following = await _collect(chunks, timeout_s=WAV_COMPLETE_S)
                size = {} if following else {"data_bytes": len(start)}
                header = wav_header(sample_rate_hz=wanted.sample_rate_hz, channels=wanted.channels, **size)
                if following is None:
                    return web.Response(body=header + start, headers=headers)
                async with contextlib.aclosing(_resume(header + start, following, chunks)) as file:
                    return await self._send_file(request, headers, file)
            return await self._send_file(request, headers, chunks)

    async def _send_file(
        self, request: web.Request, headers: dict[str, str], chunks: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        limit_unsent_bytes(request)
        try:
            async for chunk in chunks:
                await self._write(response, chunk)
            await response.write_eof()
        except Exception as error:
            # The status has been sent. The client detects the failure because the final chunk is missing.
            self._note(error)
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _send_events(
        self, request: web.Request, wanted: SpeechRequest, chunks: AsyncIterator[bytes], speaking: _Speaking
    ) -> web.StreamResponse:
        """Send server-sent events, as OpenAI names them."""
        response = web.StreamResponse(headers=_headers(wanted, speaking) | EVENT_STREAM_HEADERS)
        await response.prepare(request)
        limit_unsent_bytes(request)
        try:
            try:
                async for chunk in chunks:
                    await self._write(response, event("speech.audio.delta", audio=base64.b64encode(chunk).decode()))
                usage = speech_usage(text=wanted.input, samples=speaking.samples)
                await self._write(response, event("speech.audio.done", usage=usage))
            except (TimeoutError, ConnectionError):
                raise
            except Exception as error:
                self._note(error)
                known = error if isinstance(error, VoiceplaneError) else internal()
                await self._write(response, event("error", **error_body(known)))
            await response.write_eof()
        except (TimeoutError, ConnectionError) as error:
            self._note(error)
            if request.transport is not None:
                request.transport.abort()
        return response

    def _note(self, error: Exception) -> None:
        if not isinstance(error, (VoiceplaneError, TimeoutError, ConnectionError)):
            _log.error("speech file failed", exc_info=error)
        self._factory.metrics.error_told(getattr(error, "reason", "SLOW_READER"))

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._factory.settings.limits.write_timeout_ms / 1000):
            await response.write(data)


_Item = bytes | Exception | None
"""Speech, the error that ended it, or None at its end."""


async def _batches(frames: AsyncIterator[SpeechFrame]) -> AsyncGenerator[bytes]:
    """The speech of the frames, without padding, as much at a time as there is.

    The frames are read ahead, so that the worker computes while the encoder works and the client reads.
    """
    queue: asyncio.Queue[_Item] = asyncio.Queue(BACKLOG_FRAMES)
    reading = asyncio.create_task(_read_ahead(frames, queue), name="speech-read")
    try:
        while True:
            batch, following = await _next_batch(queue)
            if batch:
                yield batch
            if isinstance(following, Exception):
                raise following
            if following is None:
                return
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read_ahead(frames: AsyncIterator[SpeechFrame], queue: asyncio.Queue[_Item]) -> None:
    try:
        async for frame in frames:
            if frame.valid_samples:
                await queue.put(frame.pcm[: 2 * frame.valid_samples])
        await queue.put(None)
    except Exception as error:
        await queue.put(error)


async def _next_batch(queue: asyncio.Queue[_Item]) -> tuple[bytes, _Item]:
    """All speech in the queue, at least one frame unless it has ended, and the last item that was taken."""
    batch = bytearray()
    item = await queue.get()
    while isinstance(item, bytes):
        batch += item
        if queue.empty():
            break
        item = queue.get_nowait()
    return bytes(batch), item


async def _encoded(
    wanted: SpeechRequest, first: bytes, batches: AsyncIterator[bytes], speaking: _Speaking
) -> AsyncGenerator[bytes]:
    """The file's bytes; it is encoded on a thread."""
    encoder = await asyncio.to_thread(
        AudioEncoder, wanted.format, sample_rate_hz=wanted.sample_rate_hz, channels=wanted.channels
    )
    async with contextlib.aclosing(_chain(first, batches)) as speech:
        async for pcm in speech:
            speaking.samples += len(pcm) // 2
            if data := await asyncio.to_thread(encoder.encode, pcm):
                yield data
    if data := await asyncio.to_thread(encoder.finish):
        yield data


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for each in rest:
        yield each


async def _collect(chunks: AsyncIterator[bytes], *, timeout_s: float) -> tuple[bytes, asyncio.Future[bytes] | None]:
    """What there is of a file after a time, and the chunk that follows; None if that is all of it."""
    collected = bytearray()
    loop = asyncio.get_running_loop()
    until_s = loop.time() + timeout_s
    while True:
        following = asyncio.ensure_future(anext(chunks))
        try:
            done, _ = await asyncio.wait([following], timeout=max(0.0, until_s - loop.time()))
        except asyncio.CancelledError:
            following.cancel()
            raise
        if not done:
            return bytes(collected), following
        try:
            collected += following.result()
        except StopAsyncIteration:
            return bytes(collected), None


async def _resume(start: bytes, following: asyncio.Future[bytes], rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The whole of a file of which _collect has read the start."""
    try:
        yield start
        try:
            yield await following
        except StopAsyncIteration:
            return
        async for each in rest:
            yield each
    finally:
        following.cancel()
        await asyncio.wait([following])


def _headers(wanted: SpeechRequest, speaking: _Speaking) -> dict[str, str]:
    headers = {
        "Voiceplane-Model": speaking.model,
        "Voiceplane-Voice": speaking.voice,
        "Voiceplane-Sample-Rate": str(wanted.sample_rate_hz),
        "Voiceplane-Channels": str(wanted.channels),
    }
    if speaking.is_fallback:
        headers["Voiceplane-Fallback"] = quote(wanted.model) or "default"
    if wanted.instructions:  # no family takes them yet: its pack says how a voice speaks
        headers["Voiceplane-Ignored"] = "instructions"
    return headers

"""POST /v1/audio/transcriptions and /v1/audio/translations: what a recording says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Literal

from aiohttp import web
from voiceplane_common.errors import VoiceplaneError, internal, invalid, not_found
from voiceplane_common.logs import get_logger
from voiceplane_speech_input.asr.file_process import FileRequest
from voiceplane_speech_input.asr.file_transcriber import FileTranscript
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ
from voiceplane_speech_input.turns.words import base_language

from voiceplane_orchestrator.transports.http.errors import error_body
from voiceplane_orchestrator.transports.http.event_stream import EVENT_STREAM_HEADERS, event
from voiceplane_orchestrator.transports.http.transcript_formats import (
    CONTENT_TYPES,
    joined,
    to_json,
    to_srt,
    to_verbose_json,
    to_vtt,
)
from voiceplane_orchestrator.transports.http.transcription_request import read_upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from voiceplane_speech_input.asr.file_process import TranscriptSegment
    from voiceplane_speech_input.asr.file_transcriber import FileRecognizer

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.settings import OrchestratorSettings
    from voiceplane_orchestrator.transports.http.transcription_request import TranscriptionRequest

Task = Literal["transcribe", "translate"]

_log = get_logger("transcription")


class TranscriptionEndpoints:
    """Serves /v1/audio/transcriptions and /v1/audio/translations."""

    def __init__(self, recognizer: FileRecognizer, *, settings: OrchestratorSettings, metrics: Metrics) -> None:
        self._recognizer = recognizer
        self._settings = settings
        self._metrics = metrics

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/transcriptions."""
        return await self._answer(request, task="transcribe")

    async def translations(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/translations: the same in English."""
        return await self._answer(request, task="translate")

    async def _answer(self, request: web.Request, *, task: Task) -> web.StreamResponse:
        with self._recognizer.admit():
            upload = await read_upload(request, max_bytes=self._settings.transcription.max_upload_bytes)
            wanted = upload.request
            self._check(wanted)
            samples = await self._recognizer.decode(upload.file, raw=wanted.raw_format)
            transcript = FileTranscript(duration_s=samples.size / USER_SAMPLE_RATE_HZ)
            file_request = FileRequest(
                task=task,
                language=base_language(wanted.language) if wanted.language else "",
                prompt=wanted.prompt,
                temperature=wanted.temperature,
                words="word" in wanted.timestamp_granularities,
            )
            segments = self._recognizer.segments(samples, file_request, transcript)
            async with contextlib.aclosing(segments):
                if wanted.stream:
                    return await self._send_events(request, segments)
                return _response(wanted, [segment async for segment in segments], transcript, task)

    def _check(self, wanted: TranscriptionRequest) -> None:
        models = self._settings.transcription.models
        if wanted.model and wanted.model not in models:
            message = f"there is no model {wanted.model!r} for transcriptions: use one of {', '.join(models)}"
            raise not_found("model", message, reason="UNKNOWN_MODEL")
        if wanted.stream and wanted.response_format not in {"json", "text"}:
            message = f"stream: response_format {wanted.response_format} can't be streamed: use json or text"
            raise invalid("response_format", message, reason="INVALID_MESSAGE")
        if wanted.timestamp_granularities and wanted.response_format != "verbose_json":
            message = "timestamp_granularities needs response_format verbose_json"
            raise invalid("timestamp_granularities", message, reason="INVALID_MESSAGE")

    async def _send_events(
        self, request: web.Request, segments: AsyncGenerator[TranscriptSegment]
    ) -> web.StreamResponse:
        """Send server-sent events, as OpenAI names them. An error before the first segment is still a status."""
        found: list[TranscriptSegment] = []
        first = await anext(segments, None)
        response = web.StreamResponse(headers=EVENT_STREAM_HEADERS)
        await response.prepare(request)
        try:
            try:
                if first is not None:
                    await self._write(response, _delta(first, found))
                    async for segment in segments:
                        await self._write(response, _delta(segment, found))
                await self._write(response, event("transcript.text.done", text=joined(found)))
            except (TimeoutError, ConnectionError):
                raise
            except Exception as error:
                if not isinstance(error, VoiceplaneError):
                    _log.error("transcription failed", exc_info=error)
                known = error if isinstance(error, VoiceplaneError) else internal()
                self._metrics.error_told(known.reason)
                await self._write(response, event("error", **error_body(known)))
            await response.write_eof()
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._settings.limits.write_timeout_ms / 1000):
            await response.write(data)


def _response(
    wanted: TranscriptionRequest, segments: list[TranscriptSegment], transcript: FileTranscript, task: Task
) -> web.Response:
    duration_s = transcript.duration_s
    match wanted.response_format:
        case "json":
            body = json.dumps(to_json(segments, duration_s=duration_s), ensure_ascii=False)
        case "verbose_json":
            verbose = to_verbose_json(
                segments,
                task=task,
                language=transcript.language or wanted.language,
                duration_s=duration_s,
                granularities=wanted.timestamp_granularities,
            )
            body = json.dumps(verbose, ensure_ascii=False)
        case "text":
            body = joined(segments) + "\n"
        case "srt":
            body = to_srt(segments)
        case "vtt":
            body = to_vtt(segments)
    return web.Response(text=body, content_type=CONTENT_TYPES[wanted.response_format], charset="utf-8")


def _delta(segment: TranscriptSegment, found: list[TranscriptSegment]) -> bytes:
    before = joined(found)
    found.append(segment)
    return event("transcript.text.delta", delta=joined(found).removeprefix(before))

"""Speech through a Voiceplane worker: 48 kHz as the worker computes it, the first frame before the text has ended."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from livekit.agents import APIConnectOptions, tts, utils
from livekit.plugins.voiceplane.errors import api_error
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.frames import SAMPLE_RATE_HZ
from voiceplane_proto.v1 import tts_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_client import SpeechStream, WorkerSession
    from voiceplane_proto.v1.tts_pb2 import AudioFrame

FRAME_MS = 20
BYTES_PER_SAMPLE = 2
# A session speaks one.
UTTERANCE = "1"
DEFAULT_OPTIONS = APIConnectOptions()

Segmentation = Literal["clause", "sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is spoken with; an empty string is the worker's choice."""

    model: str = ""
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    segmentation: Segmentation = "clause"

    def request(self) -> tts_pb2.StartSessionRequest:
        """The same, for a worker."""
        sentence = self.segmentation == "sentence"
        return tts_pb2.StartSessionRequest(
            model_id=self.model,
            voice=self.voice,
            language=self.language,
            speed=self.speed,
            segmentation=tts_pb2.SEGMENTATION_SENTENCE if sentence else tts_pb2.SEGMENTATION_CLAUSE,
            credit_flow_control=True,
        )


class TTS(tts.TTS[Literal["error", "metrics_collected"]]):
    """A voice of a worker. All its streams share one connection; each has a session of its own on the worker."""

    def __init__(
        self,
        *,
        worker: str = "127.0.0.1:50051",
        model: str = "",
        voice: str = "",
        language: str = "",
        speed: float = 1.0,
        segmentation: Segmentation = "clause",
    ) -> None:
        """Prepare; the connection is made by the first stream, or by prewarm().

        Args:
            worker: "host:port" or "unix:/path" of a worker.
            model: A modelId; empty for the worker's default.
            voice: One of the model's; empty for its first.
            language: BCP 47; empty for the voice's own.
            speed: Speaking rate, 0.5 to 2.0.
            segmentation: clause: audio begins after the first clause. sentence: each sentence in one intonation.
        """
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=SAMPLE_RATE_HZ, num_channels=1)
        self._worker = worker
        self._options = Options(model=model, voice=voice, language=language, speed=speed, segmentation=segmentation)
        self._client: WorkerClient | None = None
        self._warming: asyncio.Task[None] | None = None

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self._options.model or "default"

    @property
    def provider(self) -> str:
        """Who speaks."""
        return "voiceplane"

    def update_options(
        self,
        *,
        model: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        speed: float | None = None,
    ) -> None:
        """Speak otherwise from the next stream on; another model without a voice takes that model's first voice."""
        if model is not None and model != self._options.model and voice is None:
            voice = ""
        changes = {"model": model, "voice": voice, "language": language, "speed": speed}
        self._options = replace(self._options, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]  # each has its field's type

    def prewarm(self) -> None:
        """Connect now, so that the first word does not wait for it."""
        if self._warming is None:
            self._warming = asyncio.create_task(self._connect(), name="voiceplane-prewarm")

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = DEFAULT_OPTIONS) -> tts.ChunkedStream:
        """Speak a whole text."""
        return Whole(speaker=self, text=text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_OPTIONS) -> tts.SynthesizeStream:
        """Speak text as it comes."""
        return Stream(speaker=self, conn_options=conn_options)

    async def aclose(self) -> None:
        """Close the connection; streams that are open end with an error."""
        if self._warming:
            await utils.aio.cancel_and_wait(self._warming)
        if self._client:
            await self._client.close()
            self._client = None

    @contextlib.asynccontextmanager
    async def speech(self) -> AsyncIterator[SpeechStream]:
        """A stream of a session of its own; leaving it frees what the worker computes for it."""
        session: WorkerSession | None = None
        try:
            session = await self._connected().start_session(self._options.request())
            async with session.open_stream() as speech:
                yield speech
        except VoiceplaneError as error:
            raise api_error(error) from error
        finally:
            if session is not None:
                with contextlib.suppress(VoiceplaneError):  # the worker ends an idle session by itself
                    await asyncio.shield(session.end())

    def _connected(self) -> WorkerClient:
        self._client = self._client or WorkerClient(self._worker)
        return self._client

    async def _connect(self) -> None:
        with contextlib.suppress(VoiceplaneError):  # the first stream tells
            await self._connected().capabilities()


class Whole(tts.ChunkedStream):
    """A whole text."""

    def __init__(self, *, speaker: TTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=speaker, input_text=text, conn_options=conn_options)
        self._speaker = speaker

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        _begin(output_emitter, stream=False)
        async with self._speaker.speech() as speech:
            await speech.send(self.input_text, utterance_id=UTTERANCE, end=True)
            await speech.finish()
            async for frame in speech:
                output_emitter.push(_pcm(frame))
        output_emitter.flush()


class Stream(tts.SynthesizeStream):
    """One utterance, whose text comes piece by piece; LiveKit passes nothing on after its first flush."""

    def __init__(self, *, speaker: TTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=speaker, conn_options=conn_options)
        self._speaker = speaker

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        _begin(output_emitter, stream=True)
        output_emitter.start_segment(segment_id=UTTERANCE)
        async with self._speaker.speech() as speech:
            writing = asyncio.create_task(self._write(speech), name="voiceplane-write")
            try:
                async for frame in speech:
                    output_emitter.push(_pcm(frame))
                await writing
            finally:
                await utils.aio.cancel_and_wait(writing)
        output_emitter.end_segment()

    async def _write(self, speech: SpeechStream) -> None:
        async for piece in self._input_ch:
            if isinstance(piece, str):
                self._mark_started()
                await speech.send(piece, utterance_id=UTTERANCE)
        await speech.send("", utterance_id=UTTERANCE, end=True)
        await speech.finish()


def _begin(emitter: tts.AudioEmitter, *, stream: bool) -> None:
    emitter.initialize(
        request_id=utils.shortuuid(),
        sample_rate=SAMPLE_RATE_HZ,
        num_channels=1,
        mime_type="audio/pcm",
        frame_size_ms=FRAME_MS,
        stream=stream,
    )


def _pcm(frame: AudioFrame) -> bytes:
    """The speech of a frame, without the padding of a last one."""
    return frame.pcm[: frame.valid_samples * BYTES_PER_SAMPLE]

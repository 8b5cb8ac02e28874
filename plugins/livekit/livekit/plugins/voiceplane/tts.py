"""TTS through a Voiceplane worker: 48 kHz audio as the worker synthesizes it, beginning before the text has ended."""

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
# Each session speaks one utterance.
UTTERANCE = "1"
DEFAULT_OPTIONS = APIConnectOptions()

Segmentation = Literal["clause", "sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The voice; an empty string leaves the choice to the worker."""

    model: str = ""
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    segmentation: Segmentation = "clause"

    def request(self, *, unpaced: bool) -> tts_pb2.StartSessionRequest:
        """The request for a session with this voice."""
        sentence = self.segmentation == "sentence"
        return tts_pb2.StartSessionRequest(
            model_id=self.model,
            voice=self.voice,
            language=self.language,
            speed=self.speed,
            segmentation=tts_pb2.SEGMENTATION_SENTENCE if sentence else tts_pb2.SEGMENTATION_CLAUSE,
            credit_flow_control=True,
            pacing=tts_pb2.PACING_UNPACED if unpaced else tts_pb2.PACING_REALTIME,
        )


class TTS(tts.TTS[Literal["error", "metrics_collected"]]):
    """TTS of one worker. All streams share one connection; each has a session of its own on the worker."""

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
        """Prepare; the first stream, or prewarm(), connects.

        Args:
            worker: "host:port" or "unix:/path" of a worker.
            model: A model id; empty for the worker's default model.
            voice: A voice of the model; empty for its first one.
            language: BCP 47; empty for the voice's own language.
            speed: Speaking rate, 0.25 to 4.0.
            segmentation: "clause": audio begins after the first clause. "sentence": each sentence has one intonation.
        """
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=SAMPLE_RATE_HZ, num_channels=1)
        self._worker = worker
        self._options = Options(model=model, voice=voice, language=language, speed=speed, segmentation=segmentation)
        self._client: WorkerClient | None = None
        self._warming: asyncio.Task[None] | None = None

    @property
    def model(self) -> str:
        """The requested model, for LiveKit's metrics."""
        return self._options.model or "default"

    @property
    def provider(self) -> str:
        """The provider's name in LiveKit's metrics."""
        return "voiceplane"

    def update_options(
        self,
        *,
        model: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        speed: float | None = None,
    ) -> None:
        """Change the voice from the next stream on; another model without a voice uses that model's first voice."""
        if model is not None and model != self._options.model and voice is None:
            voice = ""
        changes = {"model": model, "voice": voice, "language": language, "speed": speed}
        self._options = replace(self._options, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]  # each has its field's type

    def prewarm(self) -> None:
        """Connect now, so that the first utterance does not wait for it."""
        if self._warming is None:
            self._warming = asyncio.create_task(self._connect(), name="voiceplane-prewarm")

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = DEFAULT_OPTIONS) -> tts.ChunkedStream:
        """Speak a whole text."""
        return ChunkedStream(tts_=self, text=text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_OPTIONS) -> tts.SynthesizeStream:
        """Speak text as it arrives."""
        return SynthesizeStream(tts_=self, conn_options=conn_options)

    async def aclose(self) -> None:
        """Close the connection; open streams end with an error."""
        if self._warming:
            await utils.aio.cancel_and_wait(self._warming)
        if self._client:
            await self._client.close()
            self._client = None

    @contextlib.asynccontextmanager
    async def speech(self, *, unpaced: bool = False) -> AsyncIterator[SpeechStream]:
        """A speech stream in a session of its own; leaving it stops the synthesis on the worker.

        Args:
            unpaced: As fast as the worker computes, and not at the pace of speech.
        """
        session: WorkerSession | None = None
        try:
            session = await self._connected().start_session(self._options.request(unpaced=unpaced))
            async with session.open_stream() as speech:
                yield speech
        except VoiceplaneError as error:
            raise api_error(error) from error
        finally:
            if session is not None:
                with contextlib.suppress(VoiceplaneError):  # the worker ends an idle session itself
                    await asyncio.shield(session.end())

    def _connected(self) -> WorkerClient:
        self._client = self._client or WorkerClient(self._worker)
        return self._client

    async def _connect(self) -> None:
        with contextlib.suppress(VoiceplaneError):  # the first stream raises it
            await self._connected().capabilities()


class ChunkedStream(tts.ChunkedStream):
    """The speech of a whole text."""

    def __init__(self, *, tts_: TTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=tts_, input_text=text, conn_options=conn_options)
        self._voiceplane = tts_

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        _begin(output_emitter, stream=False)
        async with self._voiceplane.speech(unpaced=True) as speech:
            await speech.send(self.input_text, utterance_id=UTTERANCE, end=True)
            await speech.finish()
            async for frame in speech:
                output_emitter.push(_pcm(frame))
        output_emitter.flush()


class SynthesizeStream(tts.SynthesizeStream):
    """The speech of one utterance whose text arrives in chunks; LiveKit passes no text on after its first flush."""

    def __init__(self, *, tts_: TTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=tts_, conn_options=conn_options)
        self._voiceplane = tts_

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        _begin(output_emitter, stream=True)
        output_emitter.start_segment(segment_id=UTTERANCE)
        async with self._voiceplane.speech() as speech:
            sending = asyncio.create_task(self._send_text(speech), name="voiceplane-send-text")
            try:
                async for frame in speech:
                    output_emitter.push(_pcm(frame))
                await sending
            finally:
                await utils.aio.cancel_and_wait(sending)
        output_emitter.end_segment()

    async def _send_text(self, speech: SpeechStream) -> None:
        async for chunk in self._input_ch:
            if isinstance(chunk, str):
                self._mark_started()
                await speech.send(chunk, utterance_id=UTTERANCE)
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
    """The speech of a frame, without the padding of the last one."""
    return frame.pcm[: frame.valid_samples * BYTES_PER_SAMPLE]

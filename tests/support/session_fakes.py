"""A worker's voice and a listener without either, for the logic of sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
from voiceplane_orchestrator.tts.speech_frame import SpeechFrame
from voiceplane_speech_input.asr.recognizer import RecognitionResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from voiceplane_orchestrator.replies.base import ChatMessage
    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_speech_input.audio.format import Samples
    from voiceplane_speech_input.vad.events import SpeechEvent

FRAME_SAMPLES = 960


class FakeOutputTransport:
    """Keeps what it is sent: events, and frames, in one order."""

    def __init__(self) -> None:
        self.got: list[SessionEvent | SpeechFrame] = []
        self._news = asyncio.Event()

    async def send_frame(self, frame: SpeechFrame) -> None:
        self._take(frame)

    async def send_event(self, event: SessionEvent) -> None:
        self._take(event)

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.got if isinstance(item, kind)]

    async def until(self, kind: type, **fields: object) -> Any:
        """The first thing of a kind with these values."""
        while True:
            for item in self.of(kind):
                if all(getattr(item, name) == value for name, value in fields.items()):
                    return item
            self._news.clear()
            await self._news.wait()

    def _take(self, item: SessionEvent | SpeechFrame) -> None:
        self.got.append(item)
        self._news.set()


class FakeTts:
    """One frame for each word; `log` has the calls, in order.

    Attributes:
        gate: While cleared, no frame after the first comes.
        obeys: Gates the order to stop.
        error: Raised after the first frame.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.obeys = asyncio.Event()
        self.obeys.set()
        self.error: Exception | None = None
        self._text = ""
        self._heard = 0

    async def open(self) -> None:
        self.log.append("open")

    async def speak(self, text: AsyncIterator[str], *, utterance_id: str, epoch: int) -> AsyncGenerator[SpeechFrame]:
        self.log.append(f"speak {utterance_id}")
        self._text, self._heard = "", 0
        async for piece in text:
            self._text += piece
        words = self._text.split()
        for number in range(len(words)):
            yield self.frame(number, utterance_id=utterance_id, epoch=epoch, end=number == len(words) - 1)
            if self.error is not None:
                raise self.error
            await self.gate.wait()

    @staticmethod
    def frame(number: int, *, utterance_id: str, epoch: int, end: bool) -> SpeechFrame:
        return SpeechFrame(
            pcm=bytes(1920),
            sequence=number + 1,
            media_time_samples=FRAME_SAMPLES * number,
            utterance_id=utterance_id,
            epoch=epoch,
            valid_samples=FRAME_SAMPLES,
            end=end,
            text_start=0,
            text_end=0,
        )

    def select(self, wanted: VoiceRequest) -> None:
        self.log.append(f"select {wanted.voice}")

    async def pause(self) -> None:
        self.log.append("pause")

    async def resume(self) -> None:
        self.log.append("resume")

    async def stop(self, *, epoch: int) -> None:
        await self.obeys.wait()
        self.log.append(f"stop {epoch}")

    def heard(self, *, utterance_id: str, media_time_samples: int) -> None:
        del utterance_id
        self._heard = media_time_samples

    def text_heard(self, utterance_id: str) -> str:
        del utterance_id
        return " ".join(self._text.split()[: self._heard // FRAME_SAMPLES])

    async def close(self) -> None:
        self.log.append("close")


class FakeAudioInput:
    """Hears the events that a test puts into `events`."""

    def __init__(self) -> None:
        self.events: list[SpeechEvent] = []

    def push(self, pcm: bytes) -> list[SpeechEvent]:
        del pcm
        events, self.events = self.events, []
        return events

    def read(self, start_sample: int, end_sample: int) -> Samples:
        return np.zeros(max(0, end_sample - start_sample), np.float32)


class FakeRecognizer:
    """Understands `text`, or raises `error`, as soon as `gate` is set; `partials` tells what it was asked for."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.partials: list[bool] = []

    async def start(self) -> None:
        pass

    async def transcribe(self, samples: Samples, *, language: str | None, partial: bool = False) -> RecognitionResult:
        del samples, language
        self.partials.append(partial)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return RecognitionResult(
            text=self.text, language="en", avg_logprob=0.0, no_speech_probability=0.0, duration_ms=1000
        )

    async def aclose(self) -> None:
        pass


class FakeReplier:
    """Says `text`, after which it raises `error` if there is one; `asked` has each history it was given."""

    def __init__(self, text: str = "Fine, thanks.") -> None:
        self.text = text
        self.error: Exception | None = None
        self.asked: list[list[tuple[str, str]]] = []

    async def reply(self, history: Sequence[ChatMessage], *, language: str) -> AsyncIterator[str]:
        del language
        self.asked.append([(message.role, message.text) for message in history])
        if self.error is not None:
            raise self.error
        yield self.text

    async def aclose(self) -> None:
        pass

"""The interface of text to speech, as sessions use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame


class Tts(Protocol):
    """The part of speech.speaker.Speaker that a session needs."""

    async def open(self) -> None:
        """Make ready, so that the first word costs no set-up."""
        ...

    def speak(self, text: AsyncIterator[str], *, utterance_id: str, epoch: int) -> AsyncGenerator[SpeechFrame]:
        """Frames of an utterance up to its end; closing it ends the work."""
        ...

    def select(self, request: VoiceRequest) -> None:
        """Speak with something else from the next utterance on."""
        ...

    async def pause(self) -> None:
        """Hold the speech."""
        ...

    async def resume(self) -> None:
        """Go on at the exact next sample."""
        ...

    async def stop(self, *, epoch: int) -> None:
        """Drop everything older than the new epoch."""
        ...

    def heard(self, *, utterance_id: str, media_time_samples: int) -> None:
        """The listener's playout cursor."""
        ...

    def text_heard(self, utterance_id: str) -> str:
        """What of the utterance was heard."""
        ...

    async def close(self) -> None:
        """Free everything."""
        ...

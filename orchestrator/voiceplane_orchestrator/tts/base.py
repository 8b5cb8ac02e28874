"""The interface of text to speech, as sessions use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class TtsState:
    """A change of what serves a session.

    Attributes:
        kind: "ready": a worker serves. "rerouted": another worker continues. "no_worker": none can serve; the text is
            kept and continues as soon as a worker is available. "fallback": another model speaks while the requested
            one loads.
        model_id: The model that speaks.
        voice: Its voice.
        language: Its language.
        reason: A message for logs and clients.
        cause: A stable reason: that of the worker's error.
    """

    kind: Literal["ready", "rerouted", "no_worker", "fallback"]
    model_id: str = ""
    voice: str = ""
    language: str = ""
    reason: str = ""
    cause: str = ""


class Tts(Protocol):
    """Speaks one utterance at a time."""

    async def open(self) -> None:
        """Connect, so that the first utterance does not wait for it."""
        ...

    def speak(self, text: AsyncIterator[str], *, utterance_id: str, epoch: int) -> AsyncGenerator[SpeechFrame]:
        """The frames of an utterance, up to its end; closing the generator ends the work."""
        ...

    def select(self, request: VoiceRequest) -> None:
        """Use another voice from the next utterance on."""
        ...

    async def pause(self) -> None:
        """Pause the speech."""
        ...

    async def resume(self) -> None:
        """Continue at the exact next sample."""
        ...

    async def stop(self, *, epoch: int) -> None:
        """Drop everything that is older than the new epoch."""
        ...

    def heard(self, *, utterance_id: str, media_time_samples: int) -> None:
        """Note the listener's playout position in samples of 48 kHz."""
        ...

    def text_heard(self, utterance_id: str) -> str:
        """The text of the utterance that the listener has heard."""
        ...

    async def close(self) -> None:
        """Free everything."""
        ...

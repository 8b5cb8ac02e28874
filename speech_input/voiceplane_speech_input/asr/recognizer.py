"""What a speech recognizer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionResult:
    """What was understood.

    Attributes:
        text: Without surrounding white space; empty if there are no words.
        language: The first part of a BCP 47 tag, such as "en": as asked for, or as detected; empty if nobody knows.
        avg_logprob: Mean log probability of the tokens; 0.0 without any.
        no_speech_probability: 0 to 1: how sure the recognizer is that nobody speaks.
        duration_ms: Length of the audio.
    """

    text: str
    language: str
    avg_logprob: float
    no_speech_probability: float
    duration_ms: int


class Recognizer(Protocol):
    """Turns audio into text. One serves all sessions; its methods are called on the event loop and never block it."""

    async def start(self) -> None:
        """Load the model and run it once, so that the first user does not wait for that.

        Raises:
            VoiceplaneError: The model can't be found or loaded; names the remedy.
        """
        ...

    async def transcribe(self, samples: Samples, *, language: str | None, partial: bool = False) -> RecognitionResult:
        """Recognize a piece of speech.

        Cancelling the caller drops work that has not begun.

        Args:
            samples: Speech of any length. NaN and infinity count as 0. Without a voice in it the text is empty.
            language: BCP 47; None: find out, which takes longer.
            partial: Fast rather than exact, and behind everything that is not partial.

        Raises:
            VoiceplaneError: Not started, overloaded, or not done in time.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the model; transcriptions that wait fail."""
        ...

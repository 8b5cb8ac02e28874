"""The interface of a speech recognizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionResult:
    """What the recognizer understood.

    Attributes:
        text: Without surrounding whitespace; empty if there are no words.
        language: Primary subtag of a BCP 47 tag, such as "en": as requested or as detected; empty if unknown.
        avg_logprob: Mean log probability of the tokens; 0.0 without tokens.
        no_speech_probability: Probability that the audio holds no speech, 0 to 1.
        duration_ms: Length of the audio.
    """

    text: str
    language: str
    avg_logprob: float
    no_speech_probability: float
    duration_ms: int


class Recognizer(Protocol):
    """Recognizes speech. One instance serves all sessions. Its methods run on the event loop and never block it."""

    async def start(self) -> None:
        """Load the model and run it once, so that the first user does not wait for it.

        Raises:
            VoiceplaneError: The model can't be found or loaded; the message names the remedy.
        """
        ...

    async def transcribe(self, samples: Samples, *, language: str | None, partial: bool = False) -> RecognitionResult:
        """Recognize speech.

        Cancelling the caller drops work that has not started.

        Args:
            samples: Audio of any length; NaN and infinity count as 0. If it holds no voice, the text is empty.
            language: BCP 47; None detects it, which takes longer.
            partial: Favours speed over accuracy, and yields to everything that is not partial.

        Raises:
            VoiceplaneError: The recognizer is not started or overloaded, or the recognition timed out.
        """
        ...

    async def aclose(self) -> None:
        """Free the model; waiting recognitions fail."""
        ...

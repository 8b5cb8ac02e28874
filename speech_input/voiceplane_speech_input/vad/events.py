"""Events of voice activity detection. Sample positions count the user's 16 kHz audio from the start of the session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Speech begins.

    Attributes:
        onset_sample: Where its audio begins for ASR: the pre-roll before the first voiced window.
        through_sample: How far the audio has been analysed, exclusive.
    """

    onset_sample: int
    through_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechContinues:
    """Another frame was analysed during speech.

    Attributes:
        voiced_ms: How much of the audio since SpeechStarted was above the upper threshold.
        through_sample: How far the audio has been analysed, exclusive.
    """

    voiced_ms: int
    through_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnded:
    """Speech ends, for a pause or for good.

    Attributes:
        end_sample: End of the last voiced window, exclusive.
        through_sample: How far the audio has been analysed, exclusive; the silence so far is between the two.
    """

    end_sample: int
    through_sample: int


SpeechEvent = SpeechStarted | SpeechContinues | SpeechEnded

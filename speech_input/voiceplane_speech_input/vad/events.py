"""Events of voice activity detection. Sample positions count the user's 16 kHz audio from the start of the session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """The user begins to make a voice-like sound.

    Attributes:
        onset_sample: Where its audio begins for ASR: before the first voiced window, by the pre-roll.
        through_sample: How far the audio has been analysed, exclusive.
    """

    onset_sample: int
    through_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechContinues:
    """Another window has been analysed while the user speaks.

    Attributes:
        voiced_ms: How much of the audio since SpeechStarted was voice beyond doubt.
        through_sample: How far the audio has been analysed, exclusive.
    """

    voiced_ms: int
    through_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnded:
    """The user has gone quiet, for the moment or for good.

    Attributes:
        end_sample: End of the last voiced window, exclusive.
        through_sample: How far the audio has been analysed; the silence so far lies between the two.
    """

    end_sample: int
    through_sample: int


SpeechEvent = SpeechStarted | SpeechContinues | SpeechEnded

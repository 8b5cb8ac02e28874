"""What the turn machine is told. Sample positions count the user's 16 kHz audio from the start of the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USER_SAMPLE_RATE_HZ = 16_000
"""The rate of everything that listens to the user: VAD, turns and ASR."""

Samples = NDArray[np.float32]
"""The user's audio: mono, 16,000 Hz, shape (n,), nominally within -1 to 1."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialTranscript:
    """What has been recognized so far, in answer to RequestPartial.

    Attributes:
        turn_id: Of the RequestPartial.
        text: Empty if there are no words.
        through_sample: The end_sample of the RequestPartial.
    """

    turn_id: int
    text: str
    through_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTranscript:
    """What was said in a turn: exactly one in answer to each EndTurn, unless BeginTurn.continues has taken it back.

    Attributes:
        turn_id: Of the EndTurn.
        text: Empty if there are no words, or if recognition failed.
    """

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True)
class AgentSpeechStarted:
    """The first audio of a reply or of a greeting is on its way to the listener; never sent for a stopped reply."""


@dataclass(frozen=True, slots=True)
class AgentSpeechEnded:
    """The listener has heard the end of the reply (by the playout cursor), or there will be no reply.

    Never sent for a stopped reply: StopSpeech implies it.
    """


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Due at TurnMachine.deadline_s; harmless at any other time."""


Event = (
    SpeechStarted
    | SpeechContinues
    | SpeechEnded
    | PartialTranscript
    | TurnTranscript
    | AgentSpeechStarted
    | AgentSpeechEnded
    | Tick
)
SpeechEvent = SpeechStarted | SpeechContinues | SpeechEnded

"""Events for the turn machine. Sample positions count the user's 16 kHz audio from the start of the session."""

from __future__ import annotations

from dataclasses import dataclass

from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechStarted


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialTranscript:
    """What has been recognized so far, in answer to RequestPartial.

    Attributes:
        turn_id: That of the RequestPartial.
        text: Empty if there are no words.
        through_sample: The end_sample of the RequestPartial.
    """

    turn_id: int
    text: str
    through_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTranscript:
    """The transcript of a turn: exactly one for each EndTurn, unless BeginTurn.continues has taken the turn back.

    Attributes:
        turn_id: That of the EndTurn.
        text: Empty if there are no words, or if recognition failed.
    """

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True)
class AgentSpeechStarted:
    """The first audio of a reply or greeting is being sent; never sent for a stopped reply."""


@dataclass(frozen=True, slots=True)
class AgentSpeechEnded:
    """The user has heard the end of the reply (by the playout reports), or there will be no reply.

    Never sent for a stopped reply: StopSpeech implies it.
    """


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Due at TurnMachine.deadline_s; harmless at any other time."""


TurnEvent = (
    SpeechStarted
    | SpeechContinues
    | SpeechEnded
    | PartialTranscript
    | TurnTranscript
    | AgentSpeechStarted
    | AgentSpeechEnded
    | Tick
)

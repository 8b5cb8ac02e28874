"""What the turn machine is told. Sample positions count the user's 16 kHz audio from the start of the session."""

from __future__ import annotations

from dataclasses import dataclass

from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechStarted


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

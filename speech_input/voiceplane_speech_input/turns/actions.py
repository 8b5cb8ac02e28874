"""Actions of the turn machine. The session performs them in the given order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PauseSpeech:
    """Pause the agent's speech now. It may come before the reply's first audio, which is then held back."""


@dataclass(frozen=True, slots=True)
class ResumeSpeech:
    """Continue after the exact sample that the user heard last."""


@dataclass(frozen=True, slots=True)
class StopSpeech:
    """Drop the reply: its queued audio, its synthesis and its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginTurn:
    """The user has the floor; a turn is open until EndTurn or DiscardTurn.

    Attributes:
        turn_id: Increases from turn to turn, not always by 1.
        onset_sample: Where the turn's audio begins.
        continues: A turn that ended too early and that this one includes: onset_sample is that turn's. Its recognition
            must be cancelled or, if the turn was accepted, its text removed from the conversation.
    """

    turn_id: int
    onset_sample: int
    continues: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTurn:
    """The turn is over: recognize its audio and return TurnTranscript.

    Attributes:
        turn_id: That of the BeginTurn.
        onset_sample: As in BeginTurn.
        end_sample: Exclusive. Equal to onset_sample if the speech ended exactly where max_turn_ms cut it.
        complete_partial: The latest partial transcript, if it covers all speech of the turn: it may replace the
            recognition of the turn.
    """

    turn_id: int
    onset_sample: int
    end_sample: int
    complete_partial: str | None = None


class DiscardReason(StrEnum):
    """Why speech is no turn."""

    BACKCHANNEL = "backchannel"
    NO_WORDS = "no_words"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardTurn:
    """Discard the turn without a reply. It may be open, or ended and waiting for its transcript."""

    turn_id: int
    reason: DiscardReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptTurn:
    """The user's turn is recognized: answer it.

    Attributes:
        turn_id: That of the EndTurn.
        text: Not empty. It includes the text of the turns before, if max_turn_ms cut this one from them.
    """

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPartial:
    """Recognize the audio so far and return PartialTranscript; a later request replaces an earlier one.

    Attributes:
        complete: The speech has paused, so the audio is the whole turn if the pause is its end.
    """

    turn_id: int
    onset_sample: int
    end_sample: int
    complete: bool = False


@dataclass(frozen=True, slots=True)
class RespeakInterrupted:
    """A reply was stopped without cause: repeat it from the last sentence whose end the user has not heard."""


TurnAction = (
    PauseSpeech
    | ResumeSpeech
    | StopSpeech
    | BeginTurn
    | EndTurn
    | DiscardTurn
    | AcceptTurn
    | RequestPartial
    | RespeakInterrupted
)

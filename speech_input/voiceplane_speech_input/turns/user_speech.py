"""Speech of the user as the turn machine follows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class UserSpeech:
    """Speech of the user, from its first sound until its turn has ended or it turns out to be no turn.

    Attributes:
        turn_id: The turn that it is, or would be.
        onset_sample: Where its audio begins.
        through_sample: How far its audio has been analysed, exclusive.
        progress_s: When its last audio arrived.
        begun: Whether its turn has begun.
        speaking: Whether the user speaks now, as far as VAD knows.
        voiced_before_ms: Voice before the last pause within it.
        voiced_ms: Voice since then.
        end_sample: End of its last voiced window, exclusive; known while the user does not speak.
        quiet_since_s: When the voice ended, likewise.
        partial: Its latest partial transcript.
        partial_through_sample: Up to where that one heard it.
        requested_through_sample: Up to where a partial transcript was requested last.
        taken_back_text: The transcript of an accepted turn that it continues.
    """

    turn_id: int
    onset_sample: int
    through_sample: int
    progress_s: float
    begun: bool = False
    speaking: bool = True
    voiced_before_ms: int = 0
    voiced_ms: int = 0
    end_sample: int = 0
    quiet_since_s: float = 0.0
    partial: str | None = None
    partial_through_sample: int = -1
    requested_through_sample: int = 0
    taken_back_text: str = ""

    @property
    def total_voiced_ms(self) -> int:
        """How much of it was voice beyond doubt, in milliseconds."""
        return self.voiced_before_ms + self.voiced_ms

    def complete_partial(self) -> str | None:
        """The partial transcript that covers all of it; None if there is none."""
        return None if self.speaking or self.partial_through_sample < self.end_sample else self.partial


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedTurn:
    """A turn whose reply has not begun to sound, so that new speech may continue it."""

    turn_id: int
    onset_sample: int
    text: str

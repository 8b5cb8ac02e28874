"""How turns end, and whether what was heard of one is all of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench.speaking import is_sound

if TYPE_CHECKING:
    from bench.websocket import Audio

Outcome = Literal["complete", "cut off", "lost"]

RATE_HZ = 48_000
LEAST_MS_PER_LETTER = 25
"""No voice is faster: both families here take about 60 ms. Shorter audio has lost text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn that has ended.

    Attributes:
        path: The endpoint.
        manner: How the person behaved.
        outcome: "complete": all of the audio came. "cut off": by the person. "lost": neither.
        reason: Why it was lost.
        first_audio_ms: From sending the text to the first frame; None if none came.
        reroutes: How often another worker went on with it.
    """

    path: str
    manner: str
    outcome: Outcome
    reason: str = ""
    first_audio_ms: float | None = None
    reroutes: int = 0


@dataclass(slots=True)
class Hearing:
    """The frames of one utterance as they came.

    Attributes:
        until_samples: How far the audio goes without a gap.
        has_gap: A frame left something out.
        ended: The frame marked as the last one came.
        loud: Something could be heard.
    """

    until_samples: int = 0
    has_gap: bool = False
    ended: bool = False
    loud: bool = False

    def hear(self, audio: Audio) -> None:
        """The next frame. After a reroute it may begin before the end of the one before it."""
        self.has_gap = self.has_gap or audio.media_time_samples > self.until_samples
        self.until_samples = max(self.until_samples, audio.media_time_samples + audio.valid_samples)
        self.ended = self.ended or audio.last
        self.loud = self.loud or is_sound(audio.pcm)

    def lack(self, text: str, *, result: str, samples: int) -> str:
        """What is missing of a text's speech that the server says is done, with so many samples; empty for nothing."""
        letters = sum(character.isalnum() for character in text)
        lacks = {
            f"done: {result}": result != "complete",
            "a gap in the audio": self.has_gap,
            "no last frame": not self.ended,
            "other samples than the server has counted": self.until_samples != samples,
            "silence": not self.loud,
            "too short for its text": samples < letters * LEAST_MS_PER_LETTER * RATE_HZ // 1000,
        }
        return next((lack for lack, is_so in lacks.items() if is_so), "")


@dataclass(slots=True)
class Tally:
    """All turns so far. Of those, an 8 h run has some ten thousand.

    Attributes:
        turns: In the order in which they ended.
    """

    turns: list[Turn] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """Turns that ended so."""
        return sum(turn.outcome == outcome for turn in self.turns)

    @property
    def availability_percent(self) -> float:
        """Complete turns of those that were not cut off by the person; 0 without any, since nothing was shown."""
        counted = len(self.turns) - self.count("cut off")
        return 100 * self.count("complete") / counted if counted else 0.0

    @property
    def rerouted(self) -> int:
        """Complete turns that more than one worker spoke."""
        return sum(turn.outcome == "complete" and turn.reroutes > 0 for turn in self.turns)

    def by_outcome(self) -> list[tuple[Outcome, str, int]]:
        """Outcome, its reason or else the person's manner, and how often."""
        kinds = Counter((turn.outcome, turn.reason or turn.manner) for turn in self.turns)
        return [(outcome, why, times) for (outcome, why), times in sorted(kinds.items())]

    def first_audio_ms(self, path: str) -> list[float]:
        """Of each turn that had audio."""
        return [turn.first_audio_ms for turn in self.turns if turn.path == path and turn.first_audio_ms is not None]

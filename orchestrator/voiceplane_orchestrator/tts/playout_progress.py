"""Progress of an utterance: the text whose audio was delivered, and the text that the user has heard."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field


@dataclass(slots=True)
class PlayoutProgress:
    """The segments of an utterance whose audio was delivered.

    Attributes:
        delivered_samples: Media time of the end of the last frame.
        heard_samples: The client's playout position in samples.
        segment_start: Where the segment of the last frame begins in the utterance's text.
    """

    delivered_samples: int = 0
    heard_samples: int = 0
    segment_start: int = 0
    _ended: bool = False
    _begins: list[int] = field(default_factory=list)  # media time at which each segment begins,
    _spans: list[tuple[int, int]] = field(default_factory=list)  # and the range of text that it speaks

    def delivered(
        self, *, media_time_samples: int, valid_samples: int, text_start: int, text_end: int, end: bool = False
    ) -> None:
        """Note a frame that was delivered to the session; end: the last one of the utterance."""
        self._ended = end
        if not self._spans or self._spans[-1] != (text_start, text_end):
            self._begins.append(media_time_samples)
            self._spans.append((text_start, text_end))
        self.segment_start = text_start
        self.delivered_samples = media_time_samples + valid_samples

    def heard(self, media_time_samples: int) -> None:
        """Note the playout position; it never decreases, and never exceeds what was delivered."""
        self.heard_samples = max(self.heard_samples, min(media_time_samples, self.delivered_samples))

    def text_heard(self, text: str) -> str:
        """The text that the user has heard, up to a whole word.

        At the end it is all of it, with what has no sound: a model's history keeps the code that it wrote. Within a
        segment the position is estimated from the share of its audio that was played.
        """
        if self._ended and self.heard_samples >= self.delivered_samples:
            return text.strip()
        index = bisect.bisect_left(self._begins, self.heard_samples) - 1
        if index < 0:
            return ""
        start, end = self._spans[index]
        begins = self._begins[index]
        until = self._begins[index + 1] if index + 1 < len(self._begins) else self.delivered_samples
        if self.heard_samples >= until:
            return text[:end].strip()
        share = (self.heard_samples - begins) / max(1, until - begins)
        cut = start + round(share * (end - start))
        return _whole_words(text, cut)

    def resume_at(self) -> int:
        """Where in the text another worker continues: at the segment whose audio was not delivered completely."""
        return self.segment_start


def _whole_words(text: str, cut: int) -> str:
    if cut >= len(text) or text[cut].isspace():
        return text[:cut].strip()
    kept, space, _ = text[:cut].rpartition(" ")
    return kept.strip() if space else ""

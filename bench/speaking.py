"""One utterance through the gRPC ABI, with the times at which its frames arrived."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from voiceplane_common.frames import FRAME_SECONDS

if TYPE_CHECKING:
    from voiceplane_client import SpeechStream

SILENT_BELOW = 0.01 * 32768
"""A sample louder than 1% of full scale is speech, not the model's own quiet lead-in."""


@dataclass(slots=True)
class Heard:
    """When an utterance was heard. Times are monotonic seconds.

    Attributes:
        sent_at: The text was sent.
        arrivals: When each frame arrived.
        first_sound_at: When the first frame with sound arrived.
        free_at: When the listener had played what came before; it is paced as one with that.
    """

    sent_at: float
    arrivals: list[float] = field(default_factory=list)
    first_sound_at: float | None = None
    free_at: float = 0.0

    @property
    def first_audio_ms(self) -> float:
        """From sending the text to the first frame."""
        return (self.arrivals[0] - self.sent_at) * 1000

    @property
    def first_sound_ms(self) -> float:
        """From sending the text to the first frame that is not silent."""
        return ((self.first_sound_at or self.arrivals[-1]) - self.sent_at) * 1000

    def gaps_ms(self) -> list[float]:
        """How late each frame came for a listener who plays as soon as there is one; only those that were late."""
        began = self._began_at
        lateness = [arrival - began - FRAME_SECONDS * number for number, arrival in enumerate(self.arrivals)]
        return [late * 1000 for late in lateness if late > 0]

    @property
    def played_at(self) -> float:
        """When a listener who began to play as soon as there was a frame had played the last one, if none was late."""
        return self._began_at + FRAME_SECONDS * len(self.arrivals)

    @property
    def _began_at(self) -> float:
        return max(self.arrivals[0], self.free_at)

    def intervals_ms(self, *, burst: int) -> list[float]:
        """Between the paced frames: those after the burst."""
        paced = self.arrivals[burst:]
        return [(after - before) * 1000 for before, after in itertools.pairwise(paced)]


def is_sound(pcm: bytes) -> bool:
    """Whether a frame of s16le PCM has a sample that can be heard."""
    return bool(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max() > SILENT_BELOW)


async def speak(stream: SpeechStream, text: str, *, utterance_id: str, frames: int | None = None) -> Heard:
    """Say a text on an open stream and listen to its end, or to so many frames."""
    heard = Heard(sent_at=time.monotonic())
    await stream.send(text, utterance_id=utterance_id, end=True)
    async for frame in stream:
        if frame.utterance_id != utterance_id:
            continue
        now = time.monotonic()
        heard.arrivals.append(now)
        if heard.first_sound_at is None and is_sound(frame.pcm):
            heard.first_sound_at = now
        if frame.end or len(heard.arrivals) == frames:
            break
    return heard

"""Speech detection: from the voice probabilities of frames to speech that starts, continues and ends.

| aggressiveness | starts at | continues above | quieter windows are no speech |
|---|---|---|---|
| 0 | 0.30 | 0.20 | -65 dBFS |
| 1 | 0.40 | 0.30 | -55 dBFS |
| 2 | 0.60 | 0.45 | -50 dBFS |
| 3 | 0.80 | 0.65 | -45 dBFS |

One frame at the upper threshold starts speech, so that the agent pauses at once: a false start costs a short pause, and
a late one feels unresponsive. Between the thresholds speech continues, but it needs another frame at the upper
threshold within MAX_UNCERTAIN_MS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ
from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechEvent, SpeechStarted
from voiceplane_speech_input.vad.silero import HOP_SAMPLES, WINDOW_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_speech_input.vad.settings import VadSection
    from voiceplane_speech_input.vad.silero import VadFrame

MAX_UNCERTAIN_MS = 320
"""How long speech continues by the lower threshold alone."""

_SAMPLES_PER_MS = USER_SAMPLE_RATE_HZ // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The thresholds of one value of vad.aggressiveness."""

    start: float
    keep: float
    gate_dbfs: float


THRESHOLDS = (
    Thresholds(start=0.30, keep=0.20, gate_dbfs=-65.0),
    Thresholds(start=0.40, keep=0.30, gate_dbfs=-55.0),
    Thresholds(start=0.60, keep=0.45, gate_dbfs=-50.0),
    Thresholds(start=0.80, keep=0.65, gate_dbfs=-45.0),
)


class SpeechDetector:
    """Detects speech in one stream, with hysteresis."""

    def __init__(self, settings: VadSection) -> None:
        self._thresholds = THRESHOLDS[settings.aggressiveness]
        self._pre_roll_samples = settings.pre_roll_ms * _SAMPLES_PER_MS
        self._end_silence_samples = settings.end_silence_ms * _SAMPLES_PER_MS
        self._speaking = False
        self._voiced_samples = 0
        self._end_sample = 0  # of the last frame that was speech
        self._certain_sample = 0  # end of the last frame at the upper threshold

    @property
    def end_sample(self) -> int:
        """End of the last frame that was speech, exclusive."""
        return self._end_sample

    def process(self, frames: Iterable[VadFrame]) -> list[SpeechEvent]:
        """The events of the next frames, in order."""
        events: list[SpeechEvent] = []
        for frame in frames:
            events += self._frame(frame)
        return events

    def _frame(self, frame: VadFrame) -> list[SpeechEvent]:
        through_sample = frame.start_sample + WINDOW_SAMPLES
        loud = frame.level_dbfs >= self._thresholds.gate_dbfs
        certain = loud and frame.probability >= self._thresholds.start
        if not self._speaking:
            return self._start(frame, through_sample) if certain else []
        if certain:
            self._voiced_samples += HOP_SAMPLES
            self._certain_sample = through_sample
        uncertain_samples = through_sample - self._certain_sample
        if (
            loud
            and frame.probability >= self._thresholds.keep
            and uncertain_samples <= MAX_UNCERTAIN_MS * _SAMPLES_PER_MS
        ):
            self._end_sample = through_sample
        elif through_sample - self._end_sample >= self._end_silence_samples:
            self._speaking = False
            return [SpeechEnded(end_sample=self._end_sample, through_sample=through_sample)]
        return [self._continues(through_sample)]

    def _start(self, frame: VadFrame, through_sample: int) -> list[SpeechEvent]:
        # Not before the end of the last speech, whose audio belongs to another turn.
        onset_sample = max(0, self._end_sample, frame.start_sample - self._pre_roll_samples)
        self._speaking = True
        self._voiced_samples = WINDOW_SAMPLES
        self._end_sample = self._certain_sample = through_sample
        return [
            SpeechStarted(onset_sample=onset_sample, through_sample=through_sample),
            self._continues(through_sample),
        ]

    def _continues(self, through_sample: int) -> SpeechContinues:
        return SpeechContinues(voiced_ms=self._voiced_samples // _SAMPLES_PER_MS, through_sample=through_sample)

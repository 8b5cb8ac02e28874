"""The load of this worker for routing and autoscaling, and the metrics of speech."""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.sessions.synthesizer import SynthesisCost
    from voiceplane_worker.sessions.utterance_text import UtteranceText

RECENT = 256


class LoadMetrics:
    """Counts utterances, and keeps first-audio latency and RTF of the recent ones. Confined to the event loop."""

    def __init__(self, *, metrics: Metrics, changed: Callable[[], None]) -> None:
        """Start without utterances.

        Args:
            metrics: Prometheus metrics to update.
            changed: Called after each change.
        """
        self._metrics = metrics
        self._changed = changed
        self._under_way = 0
        self._first_audio_ms: deque[float] = deque(maxlen=RECENT)
        self._rtf: deque[float] = deque(maxlen=RECENT)

    @property
    def queue_depth(self) -> int:
        """Utterances that are being synthesized."""
        return self._under_way

    @property
    def first_audio_p50_ms(self) -> float:
        """Median of the recent utterances; 0 before the first."""
        return statistics.median(self._first_audio_ms) if self._first_audio_ms else 0.0

    @property
    def rtf_p50(self) -> float:
        """Median of the recent utterances; 0 before the first."""
        return statistics.median(self._rtf) if self._rtf else 0.0

    def utterance_began(self) -> None:
        """Count an utterance whose synthesis begins."""
        self._under_way += 1
        self._metrics.utterances_under_way.set(self._under_way)
        self._changed()

    def first_frame_left(self, utterance: UtteranceText, *, model_id: str) -> None:
        """Record the first-audio latency of an utterance whose first frame is sent."""
        if utterance.first_segment_at is not None:
            seconds = asyncio.get_running_loop().time() - utterance.first_segment_at
            self._first_audio_ms.append(seconds * 1000)
            self._metrics.first_audio_seconds.labels(self._metrics.model(model_id)).observe(seconds)

    def frame_left(self, late_s: float) -> None:
        """Record by how many seconds a frame was late."""
        self._metrics.frame_jitter_seconds.observe(late_s)

    def utterance_ended(self, cost: SynthesisCost, *, model_id: str) -> None:
        """Record the cost of an utterance whose synthesis has ended, for any reason."""
        self._under_way -= 1
        self._metrics.utterances_under_way.set(self._under_way)
        self._metrics.audio_seconds.inc(cost.audio_s)
        self._metrics.compute_seconds.inc(cost.compute_s)
        if cost.first_step is not None:
            self._metrics.queue_wait_seconds.observe(cost.first_step.waited_s)
        if cost.audio_s:
            self._rtf.append(cost.compute_s / cost.audio_s)
            self._metrics.rtf_ratio.labels(self._metrics.model(model_id)).observe(cost.compute_s / cost.audio_s)
        self._changed()

"""Metrics and trace intervals of one utterance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from voiceplane_common import tracing
from voiceplane_common.frames import FRAME_SECONDS
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock
    from voiceplane_common.tracing import Span

    from voiceplane_orchestrator.metrics import Metrics

_log = get_logger("utterance")

LatencyStart = Literal["speech", "text"]


class UtteranceMetrics:
    """Measures one utterance.

    Attributes:
        span: The span of the turn that it answers, or its own; it ends with the utterance.
    """

    def __init__(
        self,
        *,
        session_id: str,
        utterance: int,
        since_s: float,
        after: LatencyStart,
        span: Span,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Begin to measure: the text is requested now.

        Args:
            session_id: For logs.
            utterance: Its number, for logs.
            since_s: Start of its latency: the end of the user's speech, or the first text.
            after: Which of the two.
            span: See above.
            metrics: Metrics of the process.
            clock: Monotonic time.
        """
        self.span = span
        self._log = _log.bind(session_id=session_id, utterance=utterance, after=after)
        self._since_s = since_s
        self._after = after
        self._metrics = metrics
        self._clock = clock
        self._requested_s = clock.now()
        self._text_s: float | None = None
        self._began_s: float | None = None
        self._sent_s: float | None = None

    def first_text_arrived(self) -> float:
        """Note the first text; returns the seconds since it was requested."""
        self._text_s = self._clock.now()
        waited_s = self._text_s - self._requested_s
        if self._after == "speech":
            self._metrics.reply.observe(waited_s)
            self.span.interval("reply_first_token", began_s=self._requested_s, ended_s=self._text_s)
        return waited_s

    def text_complete(self) -> None:
        """Note the end of the text."""
        if self._after == "speech":
            self._metrics.reply_whole.observe(self._clock.now() - self._requested_s)
            self.span.interval("reply", began_s=self._requested_s)

    def first_frame(self, *, model: str) -> float:
        """Note that the first frame is about to be sent; returns the latency in seconds."""
        self._began_s = self._clock.now()
        waited_s = self._began_s - self._since_s
        self._metrics.first_audio.labels(self._after).observe(waited_s)
        if self._text_s is not None:
            synthesis = self._metrics.synthesis.labels(self._metrics.model(model))
            synthesis.observe(self._began_s - self._text_s)
            self.span.interval("first_audio", began_s=self._text_s, ended_s=self._began_s, model=model)
        return waited_s

    def frame_sent(self, *, paused: bool) -> None:
        """Note that a frame is about to be sent. In a pause, and directly after one, no jitter is measured."""
        now_s = self._clock.now()
        if self._sent_s is not None and not paused:
            self._metrics.frame_jitter.observe(max(0.0, now_s - self._sent_s - FRAME_SECONDS))
        self._sent_s = None if paused else now_s

    def paused(self) -> None:
        """Note that the utterance is paused."""
        self._sent_s = None

    def ended(self, result: str) -> None:
        """Note the end of the utterance and of its playout."""
        self._metrics.utterances.labels(result).inc()
        waited_s = None if self._began_s is None else self._began_s - self._since_s
        with tracing.use_span(self.span):
            self._log.info(
                "utterance", result=result, first_audio_ms=None if waited_s is None else round(waited_s * 1000, 1)
            )
        if self._began_s is not None:
            self.span.interval("playout", began_s=self._began_s)
        self.span.note(result=result)
        if result == "failed":
            self.span.fail("FAILED")
        self.span.end()

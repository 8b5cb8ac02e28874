"""Which load to try next, which step holds, and what stood in the way of more; pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

JITTER_LIMIT_MS = 10.0
# The steps end when the answer is known to this share.
PRECISION = 0.1
# A thread that computes for more than this share of the time is the limit; what is left goes to waiting for a core.
BUSY = 0.85
LATE_LOOP_MS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one load has shown. Shares are of one core.

    Attributes:
        load: Sessions that speak at once.
        utterances: That were heard, beyond their first frames.
        audio_rate: Seconds of audio that were heard in a second, of all sessions together.
        jitter_p95_ms: How far the paced frames' intervals are from 20 ms.
        late_frames: Frames that came after a listener who began at the first one would have needed them.
        first_audio_p95_ms: From the text to the first frame.
        loop_share: The event loop's thread.
        compute_share: The compute threads together.
        other_share: All other threads, such as gRPC's.
        compute_threads: How many compute.
        lag_p95_ms: How late the event loop was for its own timers.
        queue_p95: Utterances that were being synthesized; NaN where nothing is.
        listener_share: The bench itself, which listens; one Python, so at most one core.
        listener_lag_p95_ms: How late that was.
        machine_share: Of all cores together, everybody's work, from 0 to 1.
    """

    load: int
    utterances: int
    audio_rate: float
    jitter_p95_ms: float
    late_frames: int
    first_audio_p95_ms: float
    loop_share: float
    compute_share: float
    other_share: float
    compute_threads: int
    lag_p95_ms: float
    queue_p95: float
    listener_share: float
    listener_lag_p95_ms: float
    machine_share: float

    @property
    def holds(self) -> bool:
        """Whether everybody was spoken to in real time."""
        return self.utterances > 0 and self.jitter_p95_ms < JITTER_LIMIT_MS and not self.late_frames


def next_load(held: Mapping[int, bool], *, start: int) -> int | None:
    """The load to try after those that were tried; None when the answer is known.

    Doubles until a load is too much, halves until one is not, then takes the middle.

    Args:
        held: By load, whether it held.
        start: The first.
    """
    if not held:
        return start
    too_much = min((load for load, holds in held.items() if not holds), default=None)
    if too_much is None:
        return 2 * max(held)
    most = largest(held)
    if too_much - most <= max(1.0, PRECISION * too_much):
        return None
    return (most + too_much) // 2 if most else too_much // 2


def largest(held: Mapping[int, bool]) -> int:
    """The largest load below every one that was too much; 0 if there is none."""
    too_much = min((load for load, holds in held.items() if not holds), default=None)
    return max((load for load, holds in held.items() if holds and (too_much is None or load < too_much)), default=0)


def saturated(step: Step) -> str:
    """What is used up at a load, in words; the first that applies."""
    if step.listener_share >= BUSY:
        return "the bench that listens: this program may hold more"
    if step.loop_share >= BUSY:
        return f"its event loop ({step.loop_share:.0%} of a core)"
    if step.compute_threads and step.compute_share >= BUSY * step.compute_threads:
        return f"its compute threads ({step.compute_share:.0%} of a core)"
    if step.machine_share >= BUSY:
        own = step.loop_share + step.compute_share + step.other_share
        late = f", its event loop is {step.lag_p95_ms:.0f} ms late" if step.lag_p95_ms >= LATE_LOOP_MS else ""
        return f"the machine's cores, of which it has {own:.0%} of one{late}"
    return "nothing: a thread waited for another one"


def projected(step: Step, *, cores: int) -> tuple[int, str]:
    """How many sessions an idle machine would hold, and its bottleneck.

    From the processor time for each second of audio that was heard, which depends far less on what others do.

    Args:
        step: What was measured, at any load.
        cores: Of the machine.
    """
    if not step.audio_rate:
        return 0, "nothing was heard"
    own = step.loop_share + step.compute_share + step.other_share
    bounds = [(step.loop_share, 1, "its event loop"), (own, cores, "the cores")]
    if step.compute_threads:
        bounds.append((step.compute_share, step.compute_threads, "its compute threads"))
    ends = [(int(BUSY * threads * step.audio_rate / share), what) for share, threads, what in bounds if share]
    return min(ends, default=(0, "nothing was used"))


def per_session_hour(price_per_hour: float, *, sessions: int, utilization: float, talk_share: float) -> float:
    """What one session costs for an hour.

    Args:
        price_per_hour: Of the machine.
        sessions: That may speak at once on it.
        utilization: How full it is on average.
        talk_share: How much of a session the agent speaks.
    """
    return price_per_hour * talk_share / (sessions * utilization)

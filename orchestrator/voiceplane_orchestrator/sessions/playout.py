"""How far the client has played an utterance, by its playout reports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common.frames import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock

    from voiceplane_orchestrator.sessions.utterance import AgentUtterance

REPORT_GRACE_S = 2.0
"""How long a report may be missing after the time at which the utterance should have been played."""


class PlayoutTracker:
    """Follows the playout of one utterance at a time. Confined to the event loop.

    Attributes:
        paused: Whether playout is paused; then no report is expected.
    """

    def __init__(self, clock: Clock) -> None:
        self.paused = False
        self._clock = clock
        self._changed = asyncio.Event()

    def pause(self) -> None:
        """Playout pauses: the time of the pause does not count."""
        self.paused = True
        self._changed.set()

    def resume(self) -> None:
        """Playout continues."""
        self.paused = False
        self._changed.set()

    def report(self, utterance: AgentUtterance, media_time_samples: int) -> bool:
        """Note a report; one that goes back, or beyond what was sent, is ignored and returns False."""
        if not utterance.heard_samples <= media_time_samples <= utterance.samples:
            return False
        utterance.heard_samples = media_time_samples
        utterance.reported_s = self._clock.now()
        self._changed.set()
        return True

    async def wait_played(self, utterance: AgentUtterance) -> bool:
        """Return when an utterance has been played: True by the client's report, False if the report is overdue."""
        while utterance.heard_samples < utterance.samples:
            self._changed.clear()
            timeout_s = None if self.paused else self._remaining_s(utterance) + REPORT_GRACE_S
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True

    def _remaining_s(self, utterance: AgentUtterance) -> float:
        rest_s = (utterance.samples - utterance.heard_samples) / SAMPLE_RATE_HZ
        since_s = utterance.started_s if utterance.reported_s is None else utterance.reported_s
        elapsed_s = 0.0 if since_s is None else self._clock.now() - since_s
        return max(0.0, rest_s - elapsed_s)

"""Voice activity by Voiceplane's ears, in the agent's own process; it needs the extra `stt`, which brings them.

They look every 8 ms where LiveKit's own VAD looks every 32.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import vad
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.plugins.voiceplane.vad_events import Ears


class VAD(vad.VAD):
    """Silero VAD in four lanes. All streams share the graph."""

    def __init__(self, *, aggressiveness: int = 1, pre_roll_ms: int = 300, end_silence_ms: int = 250) -> None:
        """Prepare.

        Args:
            aggressiveness: 0 hears every whisper, 3 only clear speech.
            pre_roll_ms: Audio before the first voiced window that belongs to the speech.
            end_silence_ms: Quiet after which speech counts as ended; LiveKit's turn detector wants 250 at least.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, EXTRA_MISSING.
            ValidationError: A value is out of its range.
        """
        try:
            # Only here: who only speaks needs no ears.
            from livekit.plugins.voiceplane.vad_events import TELL_EVERY_S, Ears  # noqa: PLC0415
            from voiceplane_speech_input.vad.settings import VadSection  # noqa: PLC0415
        except ImportError as error:
            message = f"VAD needs the extra livekit-plugins-voiceplane[stt]: {error}"
            raise failed_precondition("EXTRA_MISSING", message) from None
        super().__init__(capabilities=vad.VADCapabilities(update_interval=TELL_EVERY_S))
        settings = VadSection(aggressiveness=aggressiveness, pre_roll_ms=pre_roll_ms, end_silence_ms=end_silence_ms)
        self._end_silence_s = settings.end_silence_ms / 1000
        self._ears = functools.partial(Ears, settings)

    @property
    def model(self) -> str:
        """What is run."""
        return "silero"

    @property
    def provider(self) -> str:
        """Who hears."""
        return "voiceplane"

    @property
    def min_silence_duration(self) -> float:
        """Seconds of quiet after which speech counts as ended; LiveKit's turn detector asks for it."""
        return self._end_silence_s

    def stream(self) -> vad.VADStream:
        """Listen to one stream of audio, of any rate that a client may have."""
        return Stream(self, self._ears)


class Stream(vad.VADStream):
    """One stream of audio."""

    def __init__(self, parent: VAD, ears: Callable[..., Ears]) -> None:
        self._ears = ears
        super().__init__(parent)

    async def _main_task(self) -> None:
        ears: Ears | None = None
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):  # the end of a segment: what follows has nothing before it
                ears = None
                continue
            ears = ears or self._ears(rate_hz=frame.sample_rate)
            for event in ears.hear(frame):
                self._event_ch.send_nowait(event)

"""Voice activity detection in the agent's own process, with the extra `stt`.

It evaluates the audio every 8 ms, while LiveKit's own VAD does so every 32 ms.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents import vad
from livekit.plugins.voiceplane.extras import extra_missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.plugins.voiceplane.vad_events import VadEvents


class VAD(vad.VAD):
    """Silero VAD in four lanes. All streams share the graph."""

    def __init__(self, *, aggressiveness: int = 1, pre_roll_ms: int = 300, end_silence_ms: int = 250) -> None:
        """Prepare.

        Args:
            aggressiveness: 0 detects every whisper, 3 only clear speech.
            pre_roll_ms: Audio before the first voiced window that belongs to the speech.
            end_silence_ms: Silence after which speech counts as ended; LiveKit's turn detector needs at least 250.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, EXTRA_MISSING.
            ValidationError: A value is out of its range.
        """
        try:
            # Here, so that an agent that only speaks does not need the extra.
            from livekit.plugins.voiceplane.vad_events import UPDATE_INTERVAL_S, VadEvents  # noqa: PLC0415
            from voiceplane_speech_input.vad.settings import VadSection  # noqa: PLC0415
        except ImportError as error:
            raise extra_missing("VAD", error) from None
        super().__init__(capabilities=vad.VADCapabilities(update_interval=UPDATE_INTERVAL_S))
        settings = VadSection(aggressiveness=aggressiveness, pre_roll_ms=pre_roll_ms, end_silence_ms=end_silence_ms)
        self._end_silence_s = settings.end_silence_ms / 1000
        self._make_events = functools.partial(VadEvents, settings)

    @property
    def model(self) -> str:
        """The model's name in LiveKit's metrics."""
        return "silero"

    @property
    def provider(self) -> str:
        """The provider's name in LiveKit's metrics."""
        return "voiceplane"

    @property
    def min_silence_duration(self) -> float:
        """Seconds of silence after which speech counts as ended; LiveKit's turn detector reads it."""
        return self._end_silence_s

    def stream(self) -> vad.VADStream:
        """Analyse one stream of audio, of any sample rate that a client may send."""
        return VADStream(self, self._make_events)


class VADStream(vad.VADStream):
    """The voice activity of one stream of audio."""

    def __init__(self, parent: VAD, make_events: Callable[..., VadEvents]) -> None:
        self._make_events = make_events
        super().__init__(parent)

    async def _main_task(self) -> None:
        events: VadEvents | None = None
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):  # a segment ends: the next one starts without history
                events = None
                continue
            events = events or self._make_events(rate_hz=frame.sample_rate)
            for event in events.process(frame):
                self._event_ch.send_nowait(event)

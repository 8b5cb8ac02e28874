"""Speech recognition in the agent's own process, with the extra `stt`: Whisper through faster-whisper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import numpy as np
from livekit import rtc
from livekit.agents import NOT_GIVEN, APIConnectOptions, LanguageCode, stt, utils
from livekit.plugins.voiceplane.errors import api_error
from livekit.plugins.voiceplane.extras import extra_missing
from voiceplane_common.errors import VoiceplaneError

if TYPE_CHECKING:
    from livekit.agents.types import NotGivenOr
    from voiceplane_speech_input.asr.whisper import WhisperRecognizer
    from voiceplane_speech_input.audio.format import Samples

FULL_SCALE = np.float32(32_768)


class STT(stt.STT[Literal["error", "metrics_collected"]]):
    """A recognizer. The first recognition, or prewarm(), loads its model once."""

    def __init__(self, *, model: str = "", language: str = "en", beam_size: int = 5) -> None:
        """Prepare.

        Args:
            model: A folder or URI with a CTranslate2 Whisper model; empty for Whisper base of its packages.
            language: BCP 47; used where a call names no language.
            beam_size: Beam size of the search.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION, EXTRA_MISSING.
        """
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        try:
            # Here, so that an agent that only speaks does not need the extra.
            from voiceplane_speech_input.asr.settings import AsrSection  # noqa: PLC0415
            from voiceplane_speech_input.asr.whisper import WhisperRecognizer  # noqa: PLC0415
        except ImportError as error:
            raise extra_missing("STT", error) from None
        settings = AsrSection(beam_size=beam_size, **({"model": model} if model else {}))
        self._recognizer: WhisperRecognizer = WhisperRecognizer(settings)
        self._language = language
        self._starting: asyncio.Task[None] | None = None

    @property
    def provider(self) -> str:
        """The provider's name in LiveKit's metrics."""
        return "voiceplane"

    def prewarm(self) -> None:
        """Load the model now."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._recognizer.start(), name="voiceplane-whisper")

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        del conn_options
        wanted = language if utils.is_given(language) else self._language
        try:
            self.prewarm()
            assert self._starting is not None  # noqa: S101 - prewarm() has set it
            await asyncio.shield(self._starting)
            result = await self._recognizer.transcribe(_samples(buffer), language=wanted)
        except VoiceplaneError as error:
            raise api_error(error) from error
        data = stt.SpeechData(language=LanguageCode(result.language or wanted), text=result.text)
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])

    async def aclose(self) -> None:
        """Free the model."""
        if self._starting:
            await utils.aio.cancel_and_wait(self._starting)
        await self._recognizer.aclose()


def _samples(buffer: utils.AudioBuffer) -> Samples:
    """The buffer as 16 kHz mono floats."""
    import soxr  # noqa: PLC0415  # the extra brings it
    from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ  # noqa: PLC0415

    frame = rtc.combine_audio_frames(buffer)
    pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
    mono = pcm.mean(axis=1, dtype=np.float32) / FULL_SCALE
    samples: Samples = soxr.resample(mono, frame.sample_rate, USER_SAMPLE_RATE_HZ)
    return samples

"""A real worker speaks with Kokoro's real weights, and a recognizer that shares nothing with it understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soxr
from voiceplane_client import WorkerClient

from families.kokoro.tests.packs import KOKORO_MODEL_ID
from tests.support import processes
from tests.support.speech import SENTENCES, word_error_rate
from tests.support.workers import pcm, say

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from voiceplane_proto.v1.tts_pb2 import AudioFrame
    from voiceplane_speech_input.asr.whisper import WhisperRecognizer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


def heard(frames: list[AudioFrame]) -> NDArray[np.float32]:
    """What a listener heard, at 16 kHz."""
    samples = np.frombuffer(pcm(frames), "<i2").astype(np.float32) / 32768
    resampled: NDArray[np.float32] = soxr.resample(samples, 48_000, 16_000)
    return resampled


async def test_ten_sentences_of_a_worker_process_are_understood(recognizer: WhisperRecognizer) -> None:
    understood: list[str] = []
    async with (
        processes.worker("--default-model", KOKORO_MODEL_ID) as (address, _),
        WorkerClient(address) as client,
        await client.start_session() as session,
    ):
        for number, sentence in enumerate(SENTENCES):
            frames = await say(session, sentence, utterance_id=f"u{number}")
            understood.append((await recognizer.transcribe(heard(frames), language="en")).text)
    rate = word_error_rate(list(SENTENCES), understood)
    print(f"\nWER: {rate:.1%}")
    assert rate <= 0.15, understood

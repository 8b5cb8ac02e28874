"""Workers for tests: settings, and what the mock voice must sound like."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.adapters.mock import MockAdapter
from voiceplane_worker.audio.chain import AudioChain
from voiceplane_worker.settings import ModelManagerSection, WorkerSection, WorkerSettings
from voiceplane_worker.text.policy import TextPolicy
from voiceplane_worker.text.reader import TextReader

from tests.support.packs import mock_pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from voiceplane_client import SpeechStream, WorkerSession
    from voiceplane_proto.v1.tts_pb2 import AudioFrame


def mock_worker_settings(**worker: Any) -> WorkerSettings:
    """A worker with the mock family, on a free port of loopback."""
    return WorkerSettings(
        worker=WorkerSection(adapter="mock", listen="127.0.0.1:0", **worker),
        model_manager=ModelManagerSection(default_model_id="mock"),
    )


def expected_pcm(text: str, *, gain_db: float, segmentation: Any = "clause") -> bytes:
    """What the mock voice says for a text: the same model and audio chain, without a server, threads or pacing.

    Returns:
        s16le mono PCM at 48 kHz, without the padding of the last frame.
    """
    model = MockAdapter().load(mock_pack(), device="cpu", threads=1)
    reader = TextReader(language="en-US", segmentation=segmentation, policy=TextPolicy())
    chain = AudioChain(model_rate_hz=model.sample_rate_hz, gain_db=gain_db)
    frames = []
    for piece in [*reader.push(text), *reader.flush()]:
        voice = model.voices[0]
        for chunk in model.synthesize(Piece(text=piece.text, voice=voice.name, language=voice.language)):
            frames += chain.push(chunk)
    frames += chain.finish()
    return b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in frames)


async def say(session: WorkerSession, text: str, *, utterance_id: str = "u1") -> list[AudioFrame]:
    """Speak one text on a stream of its own and collect its frames."""
    async with asyncio.timeout(30), session.open_stream() as stream:
        await stream.send(text, utterance_id=utterance_id, end=True)
        await stream.finish()
        return [frame async for frame in stream]


async def take(stream: SpeechStream | AsyncIterable[AudioFrame], count: int) -> list[AudioFrame]:
    """The next frames of a stream."""
    frames = []
    async for frame in stream:
        frames.append(frame)
        if len(frames) == count:
            break
    return frames


def pcm(frames: list[AudioFrame]) -> bytes:
    """The speech in frames, without padding."""
    return b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in frames)

"""What a session with a worker promises, whatever the family: frames, loudness, control, cancellation, turns."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pyloudnorm
import pytest
import yaml
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.frames import FRAME_BYTES, FRAME_SAMPLES, FRAME_SECONDS, SAMPLE_RATE_HZ
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.adapters import plugins
from voiceplane_worker.app import Worker
from voiceplane_worker.packs.metadata import METADATA_FILE, PackSource
from voiceplane_worker.residency import pack_loader
from voiceplane_worker.sessions import pacing_clock
from voiceplane_worker.settings import ModelManagerSection, WorkerSection, WorkerSettings

from tests.support.packs import contract_pack, families_here
from tests.support.workers import pcm, say, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from voiceplane_proto.v1.tts_pb2 import AudioFrame
    from voiceplane_worker.adapters.base import Adapter, Model, Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

SENTENCES = (
    "The train leaves at noon.",
    "It is never late, and it has never been full.",
    "Bring a coat, since the wind comes in from the sea.",
)
TEXT = " ".join(SENTENCES)
CREDIT = tts_pb2.StartSessionRequest(credit_flow_control=True)
DEADLINE_S = 60.0
TEN_TIMES_REALTIME = FRAME_SECONDS / 10


class Watched:
    """A model that tells how many of its iterators are at work, and how many it began.

    Attributes:
        begun: Pieces that were begun.
        idle: Set while no piece is at work.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._at_work = 0
        self.begun = 0
        self.idle = threading.Event()
        self.idle.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        with self._lock:
            self.begun += 1
            self._at_work += 1
            self.idle.clear()
        try:
            yield from self._model.synthesize(piece)
        finally:
            with self._lock:
                self._at_work -= 1
                if not self._at_work:
                    self.idle.set()


class WatchedAdapter:
    """An adapter whose models are watched."""

    def __init__(self, adapter: Adapter, models: list[Watched]) -> None:
        self._adapter = adapter
        self._models = models
        self.traits = adapter.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> Model:
        self._models.append(Watched(self._adapter.load(pack, device=device, threads=threads)))
        return self._models[-1]


@pytest.fixture(scope="module", params=families_here())
def pack(request: pytest.FixtureRequest) -> VoicePack:
    family: str = request.param
    return contract_pack(family)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """The models that the worker has loaded, in their order."""
    models: list[Watched] = []

    monkeypatch.setattr(
        pack_loader, "find_adapter", lambda family: WatchedAdapter(plugins.find_adapter(family), models)
    )
    return models


@pytest.fixture
async def worker(
    pack: VoicePack, loaded: list[Watched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Worker]:
    # What pacing promises is tested elsewhere.
    monkeypatch.setattr(pacing_clock, "FRAME_SECONDS", TEN_TIMES_REALTIME)
    folder = tmp_path / pack.metadata.family / "subject"
    folder.mkdir(parents=True)
    metadata = pack.metadata.model_copy(
        update={"source": PackSource(uri=f"file://{pack.path}") if pack.path.is_absolute() else None}
    )
    (folder / METADATA_FILE).write_text(yaml.safe_dump(metadata.model_dump(mode="json")), encoding="utf-8")
    settings = WorkerSettings(
        worker=WorkerSection(
            adapter=metadata.family,
            listen="127.0.0.1:0",
            packs_dir=str(tmp_path),
            burst_frames=50,
            accept_licences=(metadata.licence,),
        ),
        model_manager=ModelManagerSection(default_model_id=metadata.model_id),
    )
    async with Worker(settings) as worker:
        yield worker
        assert len(worker.sessions) == 0, "a session has leaked"
    assert all(model.idle.is_set() for model in loaded), "an iterator was left open"


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[WorkerClient]:
    async with WorkerClient(worker.address) as client:
        yield client


def samples(frames: list[AudioFrame]) -> Samples:
    return np.frombuffer(pcm(frames), dtype="<i2").astype(np.float32) / 32_768.0


@pytest.mark.core
async def test_speech_comes_in_whole_frames_without_a_gap(client: WorkerClient) -> None:
    async with await client.start_session() as session:
        frames = await say(session, SENTENCES[1])
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame.media_time_samples for frame in frames] == [FRAME_SAMPLES * each for each in range(len(frames))]
    assert all(len(frame.pcm) == FRAME_BYTES for frame in frames)
    assert all(frame.valid_samples == FRAME_SAMPLES for frame in frames[:-1])
    assert [frame.end for frame in frames if frame.end] == [tts_pb2.UTTERANCE_END_COMPLETE]
    assert frames[-1].end


async def test_speech_is_as_loud_as_every_familys(client: WorkerClient) -> None:
    async with await client.start_session() as session:
        speech = samples(await say(session, TEXT))
    loudness = pyloudnorm.Meter(SAMPLE_RATE_HZ).integrated_loudness(speech)
    assert loudness == pytest.approx(-16.0, abs=2.0)
    assert np.abs(speech).max() < 1.0


async def test_speech_begins_before_the_text_has_ended(client: WorkerClient) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        await client.start_session(CREDIT) as session,
        session.open_stream() as stream,
    ):
        await stream.send(f"{SENTENCES[0]} {SENTENCES[1][:5]}", utterance_id="u")
        source = aiter(stream)
        frames = await take(source, 3)  # of a text whose end is not known yet
        await stream.send(SENTENCES[1][5:], utterance_id="u", end=True)
        await stream.finish()
        frames += [frame async for frame in source]
    assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE


async def test_pause_ends_the_frames_and_resume_goes_on_with_the_next_one(client: WorkerClient) -> None:
    async with asyncio.timeout(DEADLINE_S), await client.start_session() as session, session.open_stream() as stream:
        await stream.send(SENTENCES[1], utterance_id="u", end=True)
        await stream.finish()
        source = aiter(stream)
        frames = await take(source, 8)
        paused = await session.pause()
        while frames[-1].sequence < paused.last_sequence:
            frames += await take(source, 1)
        following = asyncio.ensure_future(anext(source))
        _, pending = await asyncio.wait([following], timeout=0.1)  # five frames' time
        assert pending, "a frame has left after PAUSE was answered"
        await session.resume()
        frames.append(await following)
        frames += [frame async for frame in source]
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE


@pytest.mark.core
async def test_stop_frees_the_compute_and_the_next_turn_begins_afresh(
    client: WorkerClient, loaded: list[Watched]
) -> None:
    sentences = 40
    async with (
        asyncio.timeout(DEADLINE_S),
        await client.start_session(CREDIT) as session,
        session.open_stream() as stream,
    ):
        (model,) = loaded
        before = model.begun
        await stream.send(f"{SENTENCES[0]} " * sentences, utterance_id="old", end=True)
        source = aiter(stream)
        await take(source, 6)
        stopped = await session.stop()
        assert await asyncio.to_thread(model.idle.wait, DEADLINE_S), "the model goes on for no one"
        assert model.begun - before < sentences
        await stream.send(SENTENCES[0], utterance_id="new", end=True)
        await stream.finish()
        frames = [frame async for frame in source]
    assert {frame.utterance_id for frame in frames} == {"new"}
    assert frames[0].sequence == stopped.last_sequence + 1
    assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE


async def test_a_client_that_leaves_frees_the_compute(client: WorkerClient, loaded: list[Watched]) -> None:
    async with asyncio.timeout(DEADLINE_S), await client.start_session() as session:
        async with session.open_stream() as stream:
            await stream.send(f"{SENTENCES[0]} " * 40, utterance_id="u", end=True)
            await take(stream, 3)
        assert await asyncio.to_thread(loaded[0].idle.wait, DEADLINE_S), "the model goes on for no one"


async def test_sessions_speak_at_once_and_each_is_given_all_of_its_own(client: WorkerClient) -> None:
    texts = (SENTENCES[0], SENTENCES[1], f"{SENTENCES[0]} {SENTENCES[2]}")

    async def speak(text: str) -> list[AudioFrame]:
        async with await client.start_session() as session:
            return await say(session, text)

    spoken = await asyncio.gather(*(speak(text) for text in texts))
    assert [len(frames) for frames in spoken] == sorted(len(frames) for frames in spoken)
    assert all(frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE for frames in spoken)


@pytest.mark.parametrize("text", ["...", "👍", "— « » —"])
async def test_text_with_nothing_to_speak_ends_as_an_empty_utterance(client: WorkerClient, text: str) -> None:
    async with await client.start_session() as session:
        frames = await say(session, text)
    assert [frame.end for frame in frames] == [tts_pb2.UTTERANCE_END_EMPTY]


async def test_a_language_that_the_model_does_not_speak_is_refused(client: WorkerClient) -> None:
    with pytest.raises(VoiceplaneError, match="'tlh'") as caught:
        await client.start_session(tts_pb2.StartSessionRequest(language="tlh"))
    assert caught.value.reason == "LANGUAGE_NOT_SUPPORTED"


@pytest.mark.core
async def test_a_model_is_unloaded_and_loaded_again(
    client: WorkerClient, loaded: list[Watched], pack: VoicePack
) -> None:
    model_id = pack.metadata.model_id
    answer = await client.unload_model(model_id)
    assert answer.model.state != tts_pb2.MODEL_STATE_RESIDENT
    await client.load_model(tts_pb2.LoadModelRequest(model_id=model_id))
    async with await client.start_session() as session:
        assert await say(session, SENTENCES[0])
    assert len(loaded) == 2

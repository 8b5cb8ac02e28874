"""The ABI over a real channel: sessions, frames, control, epochs, credit, errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.frames import FRAME_BYTES, FRAME_SAMPLES
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.app import Worker

from tests.support.workers import expected_pcm, mock_worker_settings, pcm, say, take

if TYPE_CHECKING:
    from voiceplane_proto.v1.tts_pb2 import AudioFrame

TEXT = "One two three, four five six seven. Eight nine!"
CREDIT = tts_pb2.StartSessionRequest(credit_flow_control=True)


async def spoken(worker: Worker, text: str) -> bytes:
    """What the worker's default model must say: with the gain that it measured when it warmed the model up."""
    lease = await worker.manager.acquire("mock")
    try:
        with lease.use() as loaded:
            return expected_pcm(text, gain_db=loaded.gain_db)
    finally:
        lease.release()


def assert_contiguous(frames: list[AudioFrame], *, first_sequence: int = 1) -> None:
    assert [frame.sequence for frame in frames] == list(range(first_sequence, first_sequence + len(frames)))
    assert all(len(frame.pcm) == FRAME_BYTES for frame in frames)
    assert all(frame.valid_samples == FRAME_SAMPLES for frame in frames[:-1])
    assert [frame.media_time_samples for frame in frames] == [FRAME_SAMPLES * number for number in range(len(frames))]


async def test_a_text_is_spoken_whole_in_frames_of_20_ms(worker: Worker, client: WorkerClient) -> None:
    async with await client.start_session() as session:
        frames = await say(session, TEXT)
    assert_contiguous(frames)
    assert pcm(frames) == await spoken(worker, TEXT)
    assert [frame.end for frame in frames[:-1]] == [0] * (len(frames) - 1)
    assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE
    assert [frame.compute_us for frame in frames[:-1]] == [0] * (len(frames) - 1)
    assert 0 < frames[-1].compute_us < 20_000 * len(frames), "of the last frame only, and faster than speech"
    spans = sorted({(frame.text_start, frame.text_end) for frame in frames})
    assert "".join(TEXT[start:end] for start, end in spans).replace(" ", "") == TEXT.replace(" ", "")


async def test_the_chunking_of_the_text_does_not_change_the_audio(worker: Worker, client: WorkerClient) -> None:
    async with await client.start_session(CREDIT) as session, session.open_stream() as stream:
        for letter in TEXT:
            await stream.send(letter, utterance_id="u1")
        await stream.send("", utterance_id="u1", end=True)
        await stream.finish()
        frames = [frame async for frame in stream]
    assert pcm(frames) == await spoken(worker, TEXT)


async def test_a_text_with_markup_sounds_like_its_words_and_points_to_its_source(
    worker: Worker, client: WorkerClient
) -> None:
    text = "Take **one** of\ud83d them.\n- It costs $5."
    async with await client.start_session(tts_pb2.StartSessionRequest(emoji=tts_pb2.EMOJI_DROP)) as session:
        frames = await say(session, text)
    assert pcm(frames) == await spoken(worker, "Take one of them. It costs five dollars.")
    spans = sorted({(frame.text_start, frame.text_end) for frame in frames})
    assert [text[start:end] for start, end in spans] == ["Take **one** of\ud83d them.", "It costs $5."]


async def test_a_finished_sentence_is_spoken_before_more_text_comes(client: WorkerClient) -> None:
    async with await client.start_session() as session, session.open_stream() as stream:
        await stream.send("It is done.", utterance_id="u1")
        frames = await take(stream, 3)
    assert {(frame.text_start, frame.text_end) for frame in frames} == {(0, 11)}


async def test_one_stream_speaks_several_utterances_in_order(client: WorkerClient) -> None:
    async with await client.start_session(CREDIT) as session, session.open_stream() as stream:
        await stream.send("First one.", utterance_id="a", end=True)
        await stream.send("Second.", utterance_id="b", end=True)
        await stream.finish()
        frames = [frame async for frame in stream]
    ids = [frame.utterance_id for frame in frames]
    assert ids == sorted(ids)
    assert set(ids) == {"a", "b"}
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame.utterance_id for frame in frames if frame.end] == ["a", "b"]


async def test_pause_is_silence_at_once_and_resume_goes_on_with_the_next_sample(
    worker: Worker, client: WorkerClient
) -> None:
    async with await client.start_session() as session, session.open_stream() as stream:
        await stream.send(TEXT, utterance_id="u1", end=True)
        await stream.finish()
        source = aiter(stream)
        frames = await take(source, 8)
        paused = await session.pause()
        assert paused.paused
        while frames[-1].sequence < paused.last_sequence:
            frames += await take(source, 1)
        nothing = asyncio.ensure_future(anext(source))
        _, pending = await asyncio.wait([nothing], timeout=0.2)
        assert pending, "a frame has left after PAUSE was answered"
        resumed = await session.resume()
        assert not resumed.paused
        frames.append(await nothing)
        frames += [frame async for frame in source]
    assert_contiguous(frames)
    assert pcm(frames) == await spoken(worker, TEXT), "not one sample is lost or repeated"


async def test_stop_raises_the_epoch_and_the_next_turn_begins_afresh(worker: Worker, client: WorkerClient) -> None:
    async with await client.start_session() as session, session.open_stream() as stream:
        await stream.send(TEXT * 20, utterance_id="old", end=True)
        source = aiter(stream)
        await take(source, 6)
        stopped = await session.stop(epoch=7)
        assert stopped.epoch == 7
        assert stopped.dropped_frames > 0
        await stream.send(TEXT, utterance_id="new", epoch=7, end=True)
        await stream.finish()
        frames = [frame async for frame in source]
    assert {frame.epoch for frame in frames} == {7}
    assert {frame.utterance_id for frame in frames} == {"new"}
    assert_contiguous(frames, first_sequence=stopped.last_sequence + 1)
    assert pcm(frames) == await spoken(worker, TEXT)


@pytest.mark.parametrize("finished_first", [True, False])
async def test_a_finished_stream_with_credit_ends_although_its_utterance_was_stopped(
    client: WorkerClient, finished_first: bool
) -> None:
    async with asyncio.timeout(30), await client.start_session(CREDIT) as session, session.open_stream() as stream:
        await stream.send(TEXT * 20, utterance_id="old", end=True)
        source = aiter(stream)
        await take(source, 6)
        if finished_first:
            await stream.finish()
        await session.stop()
        if not finished_first:
            await stream.finish()
        assert [frame async for frame in source] == []


async def test_a_stop_before_the_first_audio_leaves_nothing_to_hear(client: WorkerClient) -> None:
    async with await client.start_session() as session, session.open_stream() as stream:
        await stream.send(TEXT, utterance_id="old", epoch=3, end=True)
        await session.stop(epoch=4)
        await stream.send("Late text of the old turn.", utterance_id="old2", epoch=3, end=True)
        await stream.send("Now.", utterance_id="new", epoch=4, end=True)
        await stream.finish()
        frames = [frame async for frame in stream]
    assert {(frame.utterance_id, frame.epoch) for frame in frames} == {("new", 4)}


async def test_text_of_a_newer_epoch_stops_the_old_one(client: WorkerClient) -> None:
    async with await client.start_session() as session, session.open_stream() as stream:
        await stream.send(TEXT * 20, utterance_id="old", epoch=1, end=True)
        source = aiter(stream)
        await take(source, 6)
        await stream.send("New turn.", utterance_id="new", epoch=2, end=True)
        await stream.finish()
        frames = [frame async for frame in source]
    assert {frame.utterance_id for frame in frames} == {"new"}


async def test_without_credit_nothing_leaves_and_the_model_waits(worker: Worker, client: WorkerClient) -> None:
    request = tts_pb2.StartSessionRequest(credit_flow_control=True)
    async with await client.start_session(request) as session, session.open_stream(credit_frames=10) as stream:
        await stream.send(TEXT * 200, utterance_id="u1", end=True)  # minutes of speech
        raw = stream._call
        for _ in range(10):
            frame = await raw.read()
            assert isinstance(frame, tts_pb2.AudioFrame)
        more = asyncio.ensure_future(raw.read())
        _, pending = await asyncio.wait([more], timeout=0.3)
        assert pending, "a frame has left without credit"
        ready = worker.sessions.get(session.session_id)._stream
        assert ready is not None
        buffered_ms = len(ready.frame_pacer._frames) * 20
        assert buffered_ms <= worker.settings.worker.buffer_ms + 1000, "the audio computed ahead is bounded"
        more.cancel()


@pytest.mark.parametrize("credit_frames", [1, 2, 3, 50])
async def test_any_credit_window_brings_the_whole_text(
    worker: Worker, client: WorkerClient, credit_frames: int
) -> None:
    async with (
        await client.start_session(CREDIT) as session,
        session.open_stream(credit_frames=credit_frames) as stream,
    ):
        await stream.send("One, two.", utterance_id="u1", end=True)
        await stream.finish()
        frames = [frame async for frame in stream]
    assert pcm(frames) == await spoken(worker, "One, two.")


@pytest.mark.parametrize("text", ["", "   \n ", "...!?", "🙂🙃", "—"])
async def test_text_without_anything_to_speak_ends_with_an_empty_utterance(client: WorkerClient, text: str) -> None:
    async with await client.start_session() as session:
        frames = await say(session, text)
    assert [(frame.end, frame.valid_samples) for frame in frames] == [(tts_pb2.UTTERANCE_END_EMPTY, 0)]


@pytest.mark.parametrize(
    ("request_", "code", "field", "words"),
    [
        ({"sample_rate_hz": 16000}, grpc.StatusCode.INVALID_ARGUMENT, "sample_rate_hz", "48000"),
        ({"model_id": "unknown"}, grpc.StatusCode.NOT_FOUND, "model_id", "mock"),
        ({"voice": "unknown"}, grpc.StatusCode.NOT_FOUND, "voice", "use one of"),
        ({"language": "tlh"}, grpc.StatusCode.NOT_FOUND, "language", "en-US"),
        ({"speed": 9.0}, grpc.StatusCode.INVALID_ARGUMENT, "speed", "0.25 to 4.0"),
        ({"pacing": 7}, grpc.StatusCode.INVALID_ARGUMENT, "pacing", "PACING_UNPACED"),
        ({"session_id": "x" * 200}, grpc.StatusCode.INVALID_ARGUMENT, "session_id", "128"),
    ],
)
async def test_a_wrong_start_names_its_field_and_the_remedy(
    client: WorkerClient, request_: dict[str, object], code: grpc.StatusCode, field: str, words: str
) -> None:
    with pytest.raises(VoiceplaneError) as caught:
        await client.start_session(tts_pb2.StartSessionRequest(**request_))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.field) == (code, field)
    assert words in caught.value.message


async def test_a_megabyte_of_text_is_refused_with_its_limit(client: WorkerClient) -> None:
    async with await client.start_session() as session:
        with pytest.raises(VoiceplaneError) as caught:
            await say(session, "a" * 1_000_000)
    assert (caught.value.reason, caught.value.field) == ("TEXT_TOO_LONG", "text")


async def test_a_backlog_of_text_is_bounded(client: WorkerClient) -> None:
    async with await client.start_session() as session:
        await session.pause()  # nothing of it is spoken
        async with session.open_stream() as stream:
            for _ in range(6):
                await stream.send("word " * 10_000, utterance_id="u1")
            # The sixth chunk is too much. Reading tells so; a write that is under way then would lose the reason.
            with pytest.raises(VoiceplaneError) as caught:
                await anext(aiter(stream))
    assert caught.value.reason == "TEXT_BACKLOG"


async def test_a_stream_without_a_session_is_refused(client: WorkerClient) -> None:
    call = client.stub.Synthesize()
    await call.write(tts_pb2.TextChunk(session_id="unknown", text="Hello."))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_session_too_many_is_refused_until_one_ends() -> None:
    async with Worker(mock_worker_settings(max_sessions=1)) as worker, WorkerClient(worker.address) as client:
        first = await client.start_session()
        with pytest.raises(VoiceplaneError) as caught:
            await client.start_session()
        assert caught.value.reason == "SESSIONS_EXHAUSTED"
        assert caught.value.retry_after_ms
        await first.end()
        async with await client.start_session():
            pass


async def test_ending_a_session_twice_is_no_error_and_its_stream_ends_with_a_reason(client: WorkerClient) -> None:
    session = await client.start_session()
    async with session.open_stream() as stream:
        await stream.send(TEXT * 20, utterance_id="u1", end=True)
        source = aiter(stream)
        await take(source, 3)
        await session.end()
        with pytest.raises(VoiceplaneError) as caught:
            await take(source, 10_000)
        assert caught.value.reason == "SESSION_ENDED"
    await session.end()


async def test_a_client_that_vanishes_frees_the_stream_and_idles_out() -> None:
    settings = mock_worker_settings(session_idle_timeout_ms=1000)
    async with Worker(settings) as worker:
        async with WorkerClient(worker.address) as client:
            session = await client.start_session()
            stream = session.open_stream()
            await stream.send(TEXT * 20, utterance_id="u1", end=True)
            await take(aiter(stream), 3)
        async with asyncio.timeout(10):
            await worker.sessions.wait_empty()
        assert worker.state.snapshot().load.queue_depth == 0


async def test_the_state_is_watched_without_polling(client: WorkerClient) -> None:
    states = client.watch_state()
    first = await anext(states)
    assert first.ready
    assert [model.model_id for model in first.models if model.state == tts_pb2.MODEL_STATE_RESIDENT] == ["mock"]
    async with await client.start_session():
        async with asyncio.timeout(5):
            state = await anext(states)
            while state.load.sessions != 1:
                state = await anext(states)
        assert state.revision > first.revision
    await states.aclose()


async def test_a_session_is_in_snapshots_from_the_revision_of_its_answer_on(
    worker: Worker, client: WorkerClient
) -> None:
    before = worker.state.snapshot()
    async with await client.start_session() as session:
        revision = session.info.revision
        assert before.revision < revision
        states = client.watch_state()
        first = await anext(states)
        assert (first.revision >= revision, first.load.sessions) == (True, before.load.sessions + 1)
        await states.aclose()


async def test_a_snapshot_before_the_revision_of_an_answer_lacks_the_session(
    worker: Worker, client: WorkerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    note = worker.sessions._changed

    def looking() -> None:
        note()
        told.append((worker.state.revision, worker.state.snapshot().load.sessions))

    monkeypatch.setattr(worker.sessions, "_changed", looking)
    async with await client.start_session() as session:
        counts = {(revision >= session.info.revision, sessions) for revision, sessions in told}
    assert counts == {(False, 0), (True, 1)}


async def test_health_and_reflection_are_served(worker: Worker, client: WorkerClient) -> None:
    for service in ("", "voiceplane.v1.TTS", "model/mock"):
        assert await client.healthy(service), service
    assert not await client.healthy("model/unknown")

    def reflected() -> list[str]:
        with grpc.insecure_channel(worker.address) as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    services = await asyncio.to_thread(reflected)
    assert {"voiceplane.v1.TTS", "grpc.health.v1.Health"} <= set(services)


async def test_a_draining_worker_refuses_new_sessions_and_finishes_the_open_ones() -> None:
    async with Worker(mock_worker_settings()) as worker, WorkerClient(worker.address) as client:
        session = await client.start_session()
        speaking = asyncio.create_task(say(session, TEXT))
        async for state in client.watch_state():
            if state.load.queue_depth:  # it has begun to speak
                break
        draining = asyncio.create_task(worker.drain(timeout_s=30))
        await asyncio.sleep(0)
        with pytest.raises(VoiceplaneError) as caught:
            await client.start_session()
        assert caught.value.reason == "DRAINING"
        frames = await speaking
        assert frames[-1].end == tts_pb2.UTTERANCE_END_COMPLETE
        async with WorkerClient(worker.address) as other:
            assert not await other.healthy()
        await session.end()
        await draining

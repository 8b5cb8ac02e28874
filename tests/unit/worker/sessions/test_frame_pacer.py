"""When frames leave: pace, burst, pause, credit and bounded buffering, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from voiceplane_common.frames import FRAME_SECONDS, SILENCE
from voiceplane_worker.sessions.frame_pacer import FramePacer, ReadyFrame
from voiceplane_worker.sessions.utterance_text import UtteranceText
from voiceplane_worker.text.policy import TextPolicy
from voiceplane_worker.text.reader import TextReader

from tests.support.virtual_time import run

BURST = 5


def frame_pacer(*, credit_frames: int | None = None, buffer_ms: int = 2000) -> FramePacer:
    return FramePacer(burst_frames=BURST, buffer_ms=buffer_ms, credit_frames=credit_frames)


def test_only_what_the_worker_itself_holds_up_counts_as_late() -> None:
    async def scenario() -> list[float]:
        late: list[float] = []
        source = FramePacer(burst_frames=BURST, buffer_ms=2000, credit_frames=20, on_late_frame=late.append)
        source.put(frames(10))
        loop = asyncio.get_running_loop()
        await departures(source, 10)  # 5 in the burst, 5 on time
        loop.call_later(0.5, source.put, frames(10, first=10))
        await departures(source, 10)  # the model: half a second late for the first of them
        loop.call_later(0.5, source.grant, 30)
        source.put(frames(20, first=20))
        await departures(source, 10)  # no credit
        source.pause()
        loop.call_later(0.5, source.resume)
        await departures(source, 10)  # a pause
        return late

    late = run(scenario())
    assert late[:5] == pytest.approx([0.0] * 5)
    assert max(late) == pytest.approx(0.48)
    assert [each for each in late if each > 0.1] == [max(late)]


def frames(count: int, *, first: int = 0, end: bool = False) -> list[ReadyFrame]:
    utterance = UtteranceText(
        utterance_id="u",
        epoch=1,
        reader=TextReader(language="en", segmentation="sentence", policy=TextPolicy()),
        quiet_ms=250,
    )
    return [
        ReadyFrame(
            utterance=utterance,
            pcm=SILENCE,
            valid_samples=960,
            media_time_samples=960 * number,
            text_start=0,
            text_end=1,
            end=int(end and number == first + count - 1),
        )
        for number in range(first, first + count)
    ]


async def departures(source: FramePacer, count: int) -> list[float]:
    """The times at which the next frames leave."""
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(count):
        assert await source.take() is not None
        times.append(loop.time())
    return times


def test_a_burst_leaves_at_once_and_the_rest_in_real_time() -> None:
    async def scenario() -> list[float]:
        source = frame_pacer()
        source.put(frames(20))
        return await departures(source, 20)

    times = run(scenario())
    assert times[:BURST] == [0.0] * BURST
    assert times[BURST:] == pytest.approx([FRAME_SECONDS * number for number in range(1, 16)])


def test_an_unpaced_stream_waits_for_credit_only_and_counts_nothing_as_late() -> None:
    async def scenario() -> tuple[list[float], int]:
        late: list[float] = []
        source = FramePacer(
            burst_frames=BURST, buffer_ms=2000, credit_frames=50, on_late_frame=late.append, unpaced=True
        )
        source.hold_start(True)
        source.put(frames(40))
        loop = asyncio.get_running_loop()
        times = await departures(source, 40)
        loop.call_later(1.0, source.put, frames(20, first=40))
        loop.call_later(3.0, source.grant, 10)
        times += await departures(source, 20)
        assert not late
        return times, source.underruns

    times, underruns = run(scenario())
    assert times == pytest.approx([0.0] * 40 + [1.0] * 10 + [3.0] * 10)
    assert underruns == 0


def test_an_unpaced_stream_yields_to_every_listener_but_not_without_end() -> None:
    async def scenario() -> tuple[float, float, float]:
        listener, file = (
            frame_pacer(buffer_ms=10_000),
            FramePacer(burst_frames=BURST, buffer_ms=2000, credit_frames=None, unpaced=True),
        )
        listener.put(frames(499))
        before = file.deadline()
        await asyncio.sleep(60)
        return listener.deadline(), before, asyncio.get_running_loop().time()

    listens_until, before, later = run(scenario())
    assert 60 < listens_until < before + 60
    assert before < later, "a step that has waited for a minute is due"


def test_a_pause_holds_the_next_frame_and_a_resume_sends_it_with_the_same_lead() -> None:
    async def scenario() -> tuple[list[int], list[float]]:
        source = frame_pacer()
        source.put(frames(30))
        taken = []
        loop = asyncio.get_running_loop()
        for _ in range(10):
            frame = await source.take()
            assert frame is not None
            taken.append(frame.media_time_samples // 960)
        source.pause()
        loop.call_later(3.0, source.resume)
        times = []
        for _ in range(10):
            frame = await source.take()
            assert frame is not None
            taken.append(frame.media_time_samples // 960)
            times.append(loop.time())
        return taken, times

    taken, times = run(scenario())
    assert taken == list(range(20)), "no frame is lost or repeated"
    paused_at = 5 * FRAME_SECONDS
    expected = [paused_at + 3.0 + FRAME_SECONDS * number for number in range(1, 11)]
    assert times == pytest.approx(expected), "the listener kept its lead, so a resume brings no second burst"


def test_no_frame_leaves_without_credit() -> None:
    async def scenario() -> list[float]:
        source = frame_pacer(credit_frames=0)
        source.put(frames(4))
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, source.grant, 2)
        loop.call_later(5.0, source.grant, 1)
        return await departures(source, 3)

    assert run(scenario()) == pytest.approx([1.0, 1.0, 5.0])


def test_a_full_outlet_makes_the_model_wait_until_a_frame_leaves() -> None:
    async def scenario() -> float:
        source = frame_pacer(buffer_ms=200)
        source.put(frames(10 + BURST))
        emitting = asyncio.create_task(departures(source, 10 + BURST))
        await source.room()
        waited = asyncio.get_running_loop().time()
        await emitting
        return waited

    assert run(scenario()) == pytest.approx(FRAME_SECONDS), "5 leave at once, the next one makes room for the tenth"


def test_a_stop_drops_all_and_the_next_utterance_begins_with_a_burst() -> None:
    async def scenario() -> tuple[int, list[float]]:
        source = frame_pacer()
        source.put(frames(20))
        await departures(source, 10)
        source.pause()
        dropped = source.drop()
        source.put(frames(BURST, first=100))
        return dropped, await departures(source, BURST)

    dropped, times = run(scenario())
    assert dropped == 10
    assert times == pytest.approx([5 * FRAME_SECONDS] * BURST)


def test_a_late_frame_in_mid_utterance_is_an_underrun_and_a_late_utterance_is_none() -> None:
    async def scenario() -> tuple[int, int]:
        source = frame_pacer()
        loop = asyncio.get_running_loop()
        source.put(frames(BURST))
        loop.call_later(0.5, source.put, frames(1, first=BURST, end=True))
        await departures(source, BURST + 1)
        in_utterance = source.underruns
        loop.call_later(0.5, source.put, frames(1))
        await departures(source, 1)
        return in_utterance, source.underruns

    assert run(scenario()) == (1, 1)


def test_a_failure_is_raised_after_the_frames_that_are_ready() -> None:
    async def scenario() -> float:
        source = frame_pacer()
        source.put(frames(BURST + 1))
        source.fail(ValueError("broken"))
        await departures(source, BURST + 1)
        with pytest.raises(ValueError, match="broken"):
            await source.take()
        return asyncio.get_running_loop().time()

    assert run(scenario()) == pytest.approx(FRAME_SECONDS)


def test_a_paused_stream_hears_of_its_failure() -> None:
    async def scenario() -> None:
        source = frame_pacer()
        source.put(frames(1))
        source.pause()
        source.fail(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await source.take()

    run(scenario())


def test_a_closed_outlet_ends_after_its_last_frame() -> None:
    async def scenario() -> list[bool]:
        source = frame_pacer()
        source.put(frames(1))
        source.close()
        return [await source.take() is None, await source.take() is None]

    assert run(scenario()) == [False, True]


def test_an_utterance_that_would_soon_run_dry_begins_when_more_is_ready() -> None:
    async def scenario() -> list[float]:
        source = frame_pacer()
        source.hold_start(True)
        source.put(frames(BURST))
        loop = asyncio.get_running_loop()

        def more() -> None:
            source.hold_start(False)
            source.put(frames(BURST, first=BURST))

        loop.call_later(0.3, more)
        return await departures(source, 2 * BURST)

    times = run(scenario())
    assert times[0] == pytest.approx(0.3)
    assert times[-1] == pytest.approx(0.3 + BURST * FRAME_SECONDS)


def test_an_utterance_that_has_begun_is_not_held() -> None:
    async def scenario() -> list[float]:
        source = frame_pacer()
        source.put(frames(2 * BURST))
        times = await departures(source, 1)
        source.hold_start(True)
        return times + await departures(source, BURST)

    assert run(scenario())[-1] == pytest.approx(FRAME_SECONDS)


def test_a_full_outlet_is_never_held() -> None:
    """It could not take what it would wait for."""

    async def scenario() -> list[float]:
        source = frame_pacer(buffer_ms=200)
        source.hold_start(True)
        source.put(frames(10))
        return await departures(source, 1)

    assert run(scenario()) == [0.0]

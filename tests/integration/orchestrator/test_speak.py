"""Stream-TTS: pause, resume and interrupt, compared sample by sample with what the mock voice must say."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import websockets

from tests.support.orchestrators import Client, client, orchestrator

TEXT = "This is paused three times. It is still all there."


def pcm(speaking: Client, utterance: int) -> bytes:
    return b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in speaking.frames(utterance))


async def spoken_without_a_pause(text: str) -> bytes:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text=text, end=True)
        await speaking.until("done", result="complete")
        return pcm(speaking, 1)


async def test_pauses_lose_and_repeat_not_one_sample() -> None:
    expected = await spoken_without_a_pause(TEXT)
    async with orchestrator() as running, client(running, "/v1/speak") as speaking, asyncio.timeout(30):
        await speaking.send("text", text=TEXT, end=True)
        for _ in range(3):
            for _ in range(10):
                await speaking.frame()
            await speaking.send("pause")
            assert (await speaking.until("pause"))["epoch"] == 1
            await speaking.send("resume")
            assert (await speaking.until("resume"))["epoch"] == 1
        done = await speaking.until("done")
        assert done["result"] == "complete"
        frames = speaking.frames(1)
        assert [frame.media_time_samples for frame in frames] == [960 * number for number in range(len(frames))]
        assert pcm(speaking, 1) == expected
        assert len(expected) == 2 * done["samples"]
        assert 0 < done["compute_ms"] < 1000 * done["samples"] / 48_000


async def test_an_unpaced_speech_is_the_same_and_faster() -> None:
    expected = await spoken_without_a_pause(TEXT)
    async with (
        orchestrator() as running,
        client(running, "/v1/speak", pacing="unpaced") as speaking,
        asyncio.timeout(len(expected) / 2 / 48_000),
    ):
        await speaking.send("text", text=TEXT, end=True)
        await speaking.until("done", result="complete")
        assert pcm(speaking, 1) == expected


async def test_a_conversation_has_no_pacing() -> None:
    async with orchestrator() as running:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with client(running, "/v1/talk", sample_rate_hz=16_000, pacing="unpaced"):
                pass
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4400


async def test_a_paused_speech_is_silent_until_it_is_resumed() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking, asyncio.timeout(30):
        await speaking.send("text", text=TEXT, end=True)
        await speaking.frame()
        await speaking.send("pause")
        await speaking.until("pause")
        before = len(speaking.frames(1))
        # Half a second is on its way at most; then nothing comes, however long one waits.
        with contextlib.suppress(TimeoutError):
            while len(speaking.frames(1)) - before <= 30:
                await asyncio.wait_for(speaking.next(), 0.5)
        assert len(speaking.frames(1)) - before <= 30
        await speaking.send("resume")
        assert (await speaking.until("done"))["result"] == "complete"


async def test_a_text_that_begins_while_paused_waits_for_the_resume() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking, asyncio.timeout(30):
        await speaking.send("pause")
        await speaking.until("pause")
        await speaking.send("text", text="Hello.", end=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(speaking.frame(), 0.5)
        await speaking.send("resume")
        assert (await speaking.until("done"))["result"] == "complete"


async def test_an_interrupt_drops_a_half_written_utterance_and_its_rest_is_a_new_one() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking, asyncio.timeout(30):
        await speaking.send("text", text="This is the first sentence. And the second one has no e")
        await speaking.frame()
        await speaking.send("interrupt")
        stop = await speaking.until("stop")
        interrupted = await speaking.until("done")
        assert (interrupted["utterance"], interrupted["result"]) == (1, "interrupted")
        cut = await speaking.until("transcript", role="agent")
        assert (cut["utterance"], cut["interrupted"]) == (1, True)
        await speaking.send("text", text="Hi.", end=True)
        done = await speaking.until("done")
        assert (done["utterance"], done["result"], done["epoch"]) == (2, "complete", stop["epoch"])
        assert pcm(speaking, 2) == await spoken_without_a_pause("Hi.")


async def test_an_interrupt_before_the_first_sound_leaves_nothing_of_the_utterance() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking, asyncio.timeout(30):
        for number in range(5):
            await speaking.send("text", text=f"Never to be heard, number {number}.", end=True)
            await speaking.send("interrupt")
        await speaking.send("text", text="Hi.", end=True)
        done = await speaking.until("done", result="complete")
        assert done["epoch"] == 6
        assert {frame.epoch for frame in speaking.frames(done["utterance"])} == {6}
        assert pcm(speaking, done["utterance"]) == await spoken_without_a_pause("Hi.")


async def test_utterances_are_spoken_in_the_order_in_which_they_were_written() -> None:
    async with orchestrator() as running, client(running, "/v1/speak") as speaking, asyncio.timeout(30):
        for text in ("One.", "Two.", "", "Four."):
            await speaking.send("text", text=text, end=True)
        done = [await speaking.until("done") for _ in range(4)]
        assert [item["utterance"] for item in done] == [1, 2, 3, 4]
        assert [item["result"] for item in done] == ["complete", "complete", "empty", "complete"]


async def test_text_that_makes_an_utterance_too_long_is_dropped_and_its_end_counts() -> None:
    async with orchestrator(limits={"max_text_chars": 10}) as running, client(running, "/v1/speak") as speaking:
        await speaking.send("text", text="Hi. ")
        await speaking.send("text", text="This is too long.", end=True)
        assert (await speaking.until("error"))["reason"] == "TEXT_TOO_LONG"
        assert (await speaking.until("done"))["result"] == "complete"
        assert pcm(speaking, 1) == await spoken_without_a_pause("Hi.")

"""A worker that dies, hangs up or refuses while it speaks: the listener gets the whole text all the same.

The workers are processes of their own, and die by SIGKILL. What they say is known to the sample, since the mock voice
is a function of the text: what reaches the listener is the beginning of the whole text's speech, then exactly the
speech of the rest, from the piece on that was cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import yaml
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.discovery.static import StaticDiscovery
from voiceplane_orchestrator.routing.router import Router
from voiceplane_orchestrator.routing.voice_request import VoiceRequest
from voiceplane_orchestrator.settings import RoutingSection
from voiceplane_orchestrator.tts.failover_tts import FailoverTts
from voiceplane_worker.adapters.mock import MockAdapter
from voiceplane_worker.packs.metadata import PackMetadata
from voiceplane_worker.packs.pack import VoicePack
from voiceplane_worker.residency.pack_loader import speak_unheard

from tests.support.processes import worker
from tests.support.workers import expected_pcm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voiceplane_orchestrator.tts.base import TtsState
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame

    from tests.support.processes import Process

MOCK = ("--adapter", "mock", "--default_model", "mock")
TEXT = "One small step. Two birds sing. Three cats ran. Four."
RECOVERY_S = 2.0
PACK = Path(__file__).parents[3] / "voicepacks" / "mock" / "mock"
METADATA = (PACK / "metadata.yaml").read_text(encoding="utf-8")


@dataclass
class Hearing:
    """What a listener gets, and the events that it receives."""

    frames: list[SpeechFrame] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    states: list[TtsState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, frame: SpeechFrame) -> None:
        self.frames.append(frame)
        self.times.append(time.monotonic())
        self.changed.set()

    def tell(self, state: TtsState) -> None:
        self.states.append(state)
        self.changed.set()

    async def until_told(self, kind: str, *, times: int = 1) -> None:
        while self.kinds.count(kind) < times:
            self.changed.clear()
            await self.changed.wait()

    async def until_frames(self, count: int) -> None:
        while len(self.frames) < count:
            self.changed.clear()
            await self.changed.wait()

    async def until_quiet(self) -> None:
        """Return when what was on its way has come: no frame for the time of ten."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.2):
                    await self.until_frames(len(self.frames) + 1)

    @property
    def kinds(self) -> list[str]:
        return [state.kind for state in self.states]

    @property
    def pcm(self) -> bytes:
        return b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in self.frames)


@dataclass
class Stage:
    """A router over some workers, and one tts."""

    router: Router
    tts: FailoverTts
    hearing: Hearing

    def speak(self, text: str | AsyncIterator[str], *, utterance_id: str = "u1", epoch: int = 1) -> asyncio.Task[None]:
        source = whole(text) if isinstance(text, str) else text

        async def listen() -> None:
            speech = self.tts.speak(source, utterance_id=utterance_id, epoch=epoch)
            async with contextlib.aclosing(speech) as frames:
                async for frame in frames:
                    self.hearing.hear(frame)

        return asyncio.create_task(listen())

    def serving(self) -> str:
        """The worker that speaks now."""
        session = self.tts._sessions.current
        assert session is not None
        return session.address


async def whole(text: str) -> AsyncIterator[str]:
    yield text


@contextlib.asynccontextmanager
async def stage(*addresses: str, request: VoiceRequest | None = None) -> AsyncIterator[Stage]:
    hearing = Hearing()
    async with asyncio.timeout(60), Router(discovery=StaticDiscovery(addresses), settings=RoutingSection()) as router:
        tts = make_tts(router, hearing, request=request)
        await until(router, lambda: sum(view.ready for view in router.workers()) == len(addresses))
        yield Stage(router, tts, hearing)
        await tts.close()
        await until(router, lambda: not any(view.sessions for view in router.workers() if view.connected))


def make_tts(router: Router, hearing: Hearing, *, request: VoiceRequest | None = None) -> FailoverTts:
    return FailoverTts(
        router=router,
        request=request or VoiceRequest(),
        session_key="a-session",
        recovery_timeout_s=30.0,
        on_state=hearing.tell,
    )


async def until(router: Router, condition: Callable[[], bool]) -> None:
    while not condition():
        await router.wait_changed(timeout_s=0.1)


@contextlib.asynccontextmanager
async def two_workers(*flags: str) -> AsyncIterator[dict[str, Process]]:
    async with worker(*MOCK, *flags) as (first, first_process), worker(*MOCK, *flags) as (second, second_process):
        yield {first: first_process, second: second_process}


def said(text: str) -> bytes:
    """What a worker says for a text: it measures the gain when it warms the voice up."""
    pack = VoicePack(path=PACK, metadata=PackMetadata.model_validate(yaml.safe_load(METADATA)), sha256="0" * 64)
    gain_db = speak_unheard(MockAdapter().load(pack, device="cpu", threads=1), pack)
    return expected_pcm(text, gain_db=gain_db)


def assert_whole(frames: list[SpeechFrame], text: str = TEXT) -> None:
    """The text was heard from its beginning to its end, cut once; what was cut off is heard from its piece's start."""
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    ends = [frame.media_time_samples + frame.valid_samples for frame in frames]
    assert [frame.media_time_samples for frame in frames] == [0, *ends[:-1]]
    assert [frame.end for frame in frames] == [False] * (len(frames) - 1) + [True]
    pcm = [frame.pcm[: 2 * frame.valid_samples] for frame in frames]
    whole_speech = said(text)
    kept = next(number for number in range(len(pcm)) if not whole_speech.startswith(b"".join(pcm[: number + 1])))
    # The repeated piece may begin like the one before it by chance, so the cut is looked for backwards from there.
    for cut in range(kept, 0, -1):
        rest = text[frames[cut - 1].text_start :]
        if b"".join(pcm[cut:]) == said(rest):
            break
    else:
        pytest.fail("what followed the cut is not the speech of the text from the piece that was cut off")
    spoken = {position for frame in frames for position in range(frame.text_start, frame.text_end)}
    assert {position for position, letter in enumerate(text) if not letter.isspace()} <= spoken


async def test_a_worker_is_killed_and_another_one_goes_on() -> None:
    async with two_workers() as workers, stage(*workers) as on:
        speaking = on.speak(TEXT)
        await on.hearing.until_frames(70)
        dead = on.serving()
        await workers[dead].kill()
        await speaking
        assert on.serving() != dead
        assert on.hearing.kinds == ["ready", "rerouted", "ready"]
        assert_whole(on.hearing.frames)


async def test_without_another_worker_the_text_waits_and_continues_within_two_seconds() -> None:
    async with contextlib.AsyncExitStack() as workers, contextlib.AsyncExitStack() as spoken:
        address, process = await workers.enter_async_context(worker(*MOCK))
        on = await spoken.enter_async_context(stage(address))
        speaking = on.speak(TEXT)
        await on.hearing.until_frames(70)
        await process.kill()
        await on.hearing.until_told("no_worker")
        assert "can be reached" in on.hearing.states[-1].reason
        before = len(on.hearing.frames)
        await workers.enter_async_context(worker(*MOCK, address=address))
        ready_s = time.monotonic()
        await on.hearing.until_frames(before + 1)
        recovery_s = on.hearing.times[before] - ready_s
        print(f"recovery: first frame {recovery_s * 1000:.0f} ms after the worker says SERVING")
        assert recovery_s < RECOVERY_S
        await speaking
        assert on.hearing.kinds == ["ready", "rerouted", "no_worker", "ready"]
        assert_whole(on.hearing.frames)


async def test_a_worker_that_is_killed_while_paused_is_replaced_in_silence() -> None:
    async with two_workers() as workers, stage(*workers) as on:
        speaking = on.speak(TEXT)
        await on.hearing.until_frames(70)
        await on.tts.pause()
        await on.hearing.until_quiet()
        before = len(on.hearing.frames)
        await workers[on.serving()].kill()
        await on.hearing.until_told("rerouted")
        await on.hearing.until_told("ready", times=2)
        await on.hearing.until_quiet()
        assert len(on.hearing.frames) == before
        await on.tts.resume()
        await speaking
        assert_whole(on.hearing.frames)


async def test_a_stop_while_there_is_no_worker_ends_the_utterance_and_the_next_one_is_spoken() -> None:
    async with contextlib.AsyncExitStack() as workers, contextlib.AsyncExitStack() as spoken:
        address, process = await workers.enter_async_context(worker(*MOCK))
        on = await spoken.enter_async_context(stage(address))
        speaking = on.speak(TEXT)
        await on.hearing.until_frames(20)
        await process.kill()
        await on.hearing.until_told("no_worker")
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        await on.tts.stop(epoch=2)
        on.hearing.frames.clear()
        next_one = on.speak("Five gold rings.", utterance_id="u2", epoch=2)
        await workers.enter_async_context(worker(*MOCK, address=address))
        await next_one
        assert {(frame.utterance_id, frame.epoch) for frame in on.hearing.frames} == {("u2", 2)}
        assert on.hearing.pcm == said("Five gold rings.")


async def test_text_that_arrives_after_the_death_is_spoken_by_the_successor() -> None:
    parts: asyncio.Queue[str | None] = asyncio.Queue()

    async def slowly() -> AsyncIterator[str]:
        while (part := await parts.get()) is not None:
            yield part

    async with two_workers() as workers, stage(*workers) as on:
        speaking = on.speak(slowly())
        parts.put_nowait("One small step. Tw")
        await on.hearing.until_frames(30)
        await workers[on.serving()].kill()
        await on.hearing.until_told("rerouted")
        for part in ("o birds sing. Three c", "ats ran. Four.", None):
            parts.put_nowait(part)
        await speaking
        assert_whole(on.hearing.frames)


async def test_a_worker_that_discovery_drops_finishes_its_utterance_and_gets_no_other() -> None:
    async with two_workers() as workers, asyncio.timeout(60):
        discovery, hearing = StaticDiscovery(workers), Hearing()
        async with Router(discovery=discovery, settings=RoutingSection()) as router:
            await until(router, lambda: sum(view.ready for view in router.workers()) == 2)
            on = Stage(router, make_tts(router, hearing), hearing)
            speaking = on.speak("One small step.")
            await hearing.until_frames(20)
            dropped = on.serving()
            await discovery.replace(workers.keys() - {dropped})
            await until(router, lambda: len(router.workers()) == 1)
            await speaking
            assert hearing.pcm == said("One small step.")
            assert hearing.kinds == ["ready"]
            await on.speak("Two.", utterance_id="u2", epoch=1)
            assert on.serving() != dropped
            await on.tts.close()


async def test_a_worker_that_discovery_drops_keeps_its_session_while_there_is_no_other() -> None:
    async with two_workers() as workers, asyncio.timeout(60):
        first, second = workers
        discovery, hearing = StaticDiscovery([first]), Hearing()
        async with Router(discovery=discovery, settings=RoutingSection()) as router:
            await until(router, lambda: any(view.ready for view in router.workers()))
            on = Stage(router, make_tts(router, hearing), hearing)
            await on.speak("One.")
            await discovery.replace([])
            await until(router, lambda: not router.workers())
            await on.speak("Two.", utterance_id="u2", epoch=1)
            assert (on.serving(), hearing.kinds) == (first, ["ready"])
            newcomer = Hearing()
            other = make_tts(router, newcomer)
            opening = asyncio.create_task(other.open())
            await newcomer.until_told("no_worker")
            await discovery.replace([second])
            await opening
            await on.speak("Three.", utterance_id="u3", epoch=1)
            assert on.serving() == second
            await asyncio.gather(on.tts.close(), other.close())


class Waking(StaticDiscovery):
    """Starts a worker for one model, when a session wants it."""

    def __init__(self, present: str, *, sleeping: str, model_id: str) -> None:
        super().__init__([present])
        self._all = (present, sleeping)
        self._model_id = model_id

    async def demand(self, model_id: str) -> bool:
        if model_id == self._model_id:
            await self.replace(self._all)
        return model_id == self._model_id


async def test_an_unknown_model_is_waited_for_while_a_worker_for_it_starts(
    tmp_path: Path,
) -> None:
    pack = tmp_path / "mock" / "other"
    pack.mkdir(parents=True)
    (pack / "metadata.yaml").write_text(METADATA.replace("mock", "other", 1), encoding="utf-8")
    other = ("--adapter", "mock", "--default_model", "other", "--packs_dir", str(tmp_path))
    async with worker(*MOCK) as (present, _), worker(*other) as (sleeping, _), asyncio.timeout(60):
        discovery = Waking(present, sleeping=sleeping, model_id="other")
        async with Router(discovery=discovery, settings=RoutingSection()) as router:
            await until(router, lambda: any(view.ready for view in router.workers()))
            with pytest.raises(VoiceplaneError) as caught:
                await make_tts(router, Hearing(), request=VoiceRequest(model_id="unknown")).open()
            assert caught.value.reason == "UNKNOWN_MODEL"
            hearing = Hearing()
            on = Stage(router, make_tts(router, hearing, request=VoiceRequest(model_id="other")), hearing)
            await on.speak("One.")
            assert (on.serving(), hearing.kinds) == (sleeping, ["no_worker", "ready"])
            await on.tts.close()


async def test_an_interrupted_utterance_frees_its_worker_for_the_next_one() -> None:
    async with worker(*MOCK) as (address, _), stage(address) as on:
        speaking = on.speak(TEXT)
        await on.hearing.until_frames(20)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        await on.tts.stop(epoch=2)
        on.hearing.frames.clear()
        await on.speak("Five gold rings.", utterance_id="u2", epoch=2)
        assert on.hearing.pcm == said("Five gold rings.")
        assert on.hearing.kinds == ["ready"]


async def test_a_full_worker_sends_the_session_to_another_one_and_no_error_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOICEPLANE_WORKER__MAX_SESSIONS", "1")
    async with two_workers() as workers, stage(*workers) as on, stage(*workers) as elsewhere:
        other = elsewhere.tts
        await asyncio.gather(on.tts.open(), other.open())  # both know of two free places, and want the same one
        assert on.hearing.kinds == elsewhere.hearing.kinds == ["ready"]
        assert on.serving() != elsewhere.serving()
        waiting = Hearing()
        third = make_tts(on.router, waiting)
        opening = asyncio.create_task(third.open())
        await waiting.until_told("no_worker")
        assert "all of their sessions are in use" in waiting.states[0].reason
        await other.close()
        await opening
        assert waiting.kinds == ["no_worker", "ready"]
        await third.close()
        await on.tts.close()  # each stage waits until no one is served


async def test_a_request_that_is_wrong_is_refused_and_not_sent_to_another_worker() -> None:
    async with two_workers() as workers, stage(*workers, request=VoiceRequest(voice="unknown")) as on:
        with pytest.raises(VoiceplaneError, match="unknown") as caught:
            await on.speak(TEXT)
        assert caught.value.code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
        assert on.hearing.states == []
        assert not any(view.barred for view in on.router.workers())


async def test_a_text_that_no_worker_can_speak_is_given_up_after_three_attempts(tmp_path: Path) -> None:
    pack = tmp_path / "mock" / "mock"
    pack.mkdir(parents=True)
    (pack / "metadata.yaml").write_text(f"{METADATA}\noptions: {{fail_on: Four}}\n", encoding="utf-8")
    async with two_workers("--packs_dir", str(tmp_path)) as workers, stage(*workers) as on:
        with pytest.raises(VoiceplaneError) as caught:
            await on.speak("One. Two. Three. Four. Five.")
        assert caught.value.reason == "SYNTHESIS_FAILED"
        assert on.hearing.kinds.count("ready") == 3

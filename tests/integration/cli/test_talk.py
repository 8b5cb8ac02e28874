from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from voiceplane_cli.output import CliError
from voiceplane_cli.say import SpeechOptions
from voiceplane_cli.talk import Talked, talk_with_recording

from tests.support.scripted_server import samples

if TYPE_CHECKING:
    from voiceplane_cli.orchestrator_client import OrchestratorClient

    from tests.support.scripted_server import Peer, Recording, ScriptedServer

SPEECH = bytes(range(1, 251)) * 64  # 16,000 bytes: 0.5 s
TICK_S = 0.001


async def talk(
    api: OrchestratorClient, recording: Recording, said: list[str], *, patience_s: float = 60, fast: bool = False
) -> Talked:
    return await talk_with_recording(
        api,
        SPEECH,
        wanted=SpeechOptions(),
        sink=recording,
        fast=fast,
        patience_s=patience_s,
        said=said.append,
        tick_s=TICK_S,
    )  # fmt: skip


async def hear(peer: Peer, text: str, *, turn: int) -> None:
    """Listen to all of the recording, then say what was understood."""
    while len(peer.audio) < len(SPEECH):
        await peer.next()
    await peer.event("transcript", role="user", turn=turn, text=text, final=True)


async def stay(peer: Peer) -> None:
    while True:
        await peer.next()


async def finish(peer: Peer, *, utterance: int, samples_sent: int) -> None:
    """Wait until all of an utterance was heard, say so as the server does, and stay."""
    while (utterance, samples_sent) not in peer.playouts:
        await peer.next()
    await peer.event("transcript", role="agent", utterance=utterance, text="Yes.", final=True)
    await stay(peer)


def speech(*, utterance: int, indices: range) -> bytes:
    return b"".join(samples(utterance=utterance, index=index) for index in indices)


@pytest.mark.parametrize("fast", [False, True])
async def test_the_recording_arrives_whole_and_the_reply_is_recorded_as_played(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording, fast: bool
) -> None:
    async def script(peer: Peer) -> None:
        await hear(peer, "Hello there.", turn=1)
        await peer.event("utterance", utterance=1, epoch=1)
        await peer.frames(epoch=1, utterance=1, count=10)
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=9600)
        await peer.event("latency", first_audio_ms=123.4, utterance=1, asr_ms=None)
        await finish(peer, utterance=1, samples_sent=9600)

    scripted.script = script
    said: list[str] = []
    talked = await talk(api, recording, said, fast=fast)
    peer = scripted.peers[0]
    assert peer.hello["sample_rate_hz"] == 16_000
    assert bytes(peer.audio[: len(SPEECH)]) == SPEECH
    assert not any(peer.audio[len(SPEECH) :]), "after the recording a microphone hears silence"
    assert bytes(recording.pcm) == speech(utterance=1, indices=range(10))
    assert talked.reply_ms == 200
    agent = {"role": "agent", "utterance": 1, "text": "Yes."}
    assert talked.transcripts == [{"role": "user", "turn": 1, "text": "Hello there."}, agent]
    assert talked.latencies == [{"first_audio_ms": 123.4, "utterance": 1}]
    assert said == ["you: Hello there.", "  [first audio 123 ms]", "voiceplane: Yes."]


async def test_a_pause_is_silence_and_the_next_sample_follows_it(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    paused_at: list[int] = []

    async def script(peer: Peer) -> None:
        await hear(peer, "Hi.", turn=1)
        await peer.event("utterance", utterance=1, epoch=1)
        await peer.frames(epoch=1, utterance=1, count=40, end=False)
        await peer.until_heard(4 * 960)
        await peer.event("pause", epoch=1)
        await peer.frames(epoch=1, utterance=1, start=40, count=10)
        reports = len(peer.playouts)
        quiet_from = len(peer.audio)
        while len(peer.audio) < quiet_from + 640 * 10 or len(peer.playouts) == reports:
            await peer.next()
        paused_at.append(peer.playouts[-1][1])
        await peer.event("resume", epoch=1)
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=50 * 960)
        await finish(peer, utterance=1, samples_sent=50 * 960)

    scripted.script = script
    await talk(api, recording, [])
    whole = speech(utterance=1, indices=range(50))
    at = 2 * paused_at[0]
    assert bytes(recording.pcm[:at]) == whole[:at], "the report after the pause is not what was heard"
    gap = len(recording.pcm) - len(whole)
    assert gap > 0, "the pause can't be heard"
    assert not any(recording.pcm[at : at + gap])
    assert bytes(recording.pcm[at + gap :]) == whole[at:]


async def test_a_stop_ends_the_sound_and_stale_frames_are_not_heard(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    stopped_at: list[tuple[int, int]] = []

    async def script(peer: Peer) -> None:
        await hear(peer, "Hi.", turn=1)
        await peer.event("utterance", utterance=1, epoch=1)
        await peer.frames(epoch=1, utterance=1, count=40, end=False)
        await peer.until_heard(4 * 960)
        await peer.event("stop", epoch=2)
        reports, quiet_from = len(peer.playouts), len(peer.audio)
        await peer.frames(epoch=1, utterance=1, start=40, count=5)
        while len(peer.audio) < quiet_from + 640 * 60 or len(peer.playouts) == reports:
            await peer.next()
        stopped_at.extend(peer.playouts[reports:])
        await peer.event("done", utterance=1, epoch=1, result="interrupted", samples=45 * 960)
        await peer.event("utterance", utterance=2, epoch=2)
        await peer.frames(epoch=2, utterance=2, count=5)
        await peer.event("done", utterance=2, epoch=2, result="complete", samples=5 * 960)
        await finish(peer, utterance=2, samples_sent=5 * 960)

    scripted.script = script
    await talk(api, recording, [])
    heard = bytes(recording.pcm)
    reply = speech(utterance=2, indices=range(5))
    first = speech(utterance=1, indices=range(40))
    assert heard.endswith(reply)
    assert stopped_at[-1][1] < 40 * 960, "the sound went on after the stop"
    before = heard[: -len(reply)].rstrip(b"\0")
    assert len(before) < len(first), "the stop was not obeyed"
    assert first.startswith(before)


async def test_it_waits_while_a_turn_is_open_and_takes_replaced_turns_back(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    async def script(peer: Peer) -> None:
        await hear(peer, "Hello", turn=1)
        await peer.event("utterance", utterance=1, epoch=1)
        await peer.frames(epoch=1, utterance=1, count=1)
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=960)
        await peer.event("transcript", role="agent", utterance=1, text="Yes.", final=True)
        await peer.event("partial", turn=2, text="Hello there")
        enough = len(peer.audio) + 640 * 150  # three seconds: more than it would wait without the open turn
        while len(peer.audio) < enough:
            await peer.next()
        await peer.event("transcript", role="user", turn=2, text="Hello there.", final=True, replaces=1)
        await peer.event("utterance", utterance=2, epoch=2)
        await peer.frames(epoch=2, utterance=2, count=1)
        await peer.event("done", utterance=2, epoch=2, result="complete", samples=960)
        await finish(peer, utterance=2, samples_sent=960)

    scripted.script = script
    talked = await talk(api, recording, [])
    users = [each for each in talked.transcripts if each["role"] == "user"]
    assert users == [{"role": "user", "turn": 2, "text": "Hello there."}]
    assert bytes(recording.pcm).endswith(samples(utterance=2, index=0))


async def test_no_reply_is_an_error_that_says_whether_words_were_heard(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    scripted.script = stay
    with pytest.raises(CliError, match="no words were heard in the recording"):
        await talk(api, recording, [], patience_s=0.2)


async def test_a_server_that_shuts_down_ends_the_talk_at_once(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    async def script(peer: Peer) -> None:
        await peer.next()
        await peer.event("error", code="UNAVAILABLE", reason="SHUTTING_DOWN", message="it shuts down", fatal=True)
        await peer.socket.close(code=1001)

    scripted.script = script
    async with asyncio.timeout(10):
        with pytest.raises(Exception, match="it shuts down"):
            await talk(api, recording, [])

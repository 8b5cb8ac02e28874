from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from voiceplane_cli.output import CliError, ExitCode
from voiceplane_cli.say import SpeechOptions, pieces_of, read_stream, speak
from voiceplane_common.errors import VoiceplaneError

from tests.support.scripted_server import frame, samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voiceplane_cli.orchestrator_client import OrchestratorClient

    from tests.support.scripted_server import Peer, Recording, ScriptedServer


async def whole_text(peer: Peer) -> str:
    text = ""
    while True:
        message = await peer.next()
        assert isinstance(message, dict)
        assert message["type"] == "text"
        text += str(message["text"])
        if message["end"]:
            return text


async def test_what_the_server_speaks_reaches_the_sink_without_padding(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    async def script(peer: Peer) -> None:
        assert await whole_text(peer) == "Hello there."
        await peer.event("utterance", utterance=1, epoch=1, model="amy", voice="a")
        await peer.frames(epoch=1, utterance=1, count=2, end=False)
        await peer.socket.send_bytes(frame(epoch=1, utterance=1, index=2, end=True, valid=100))
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=2020)
        await peer.next()

    scripted.script = script
    wanted = SpeechOptions(model="amy", speed=1.5, segmentation="sentence")
    spoken = await speak(api, pieces_of("Hello there."), wanted=wanted, sink=recording)
    expected = samples(utterance=1, index=0) + samples(utterance=1, index=1) + samples(utterance=1, index=2)[:200]
    assert bytes(recording.pcm) == expected
    assert (spoken.model, spoken.voice) == ("amy", "a")
    assert spoken.duration_ms == pytest.approx(2020 / 48, abs=0.1)
    assert 0 < spoken.first_audio_ms <= spoken.elapsed_ms
    hello = {"type": "hello", "version": 1, "model": "amy", "speed": 1.5, "segmentation": "sentence"}
    assert scripted.peers[0].hello == hello


async def test_text_leaves_and_speech_arrives_before_the_text_has_ended(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    speech_arrived = asyncio.Event()

    async def write(pcm: bytes) -> None:
        recording.pcm += pcm
        speech_arrived.set()

    recording.write = write  # type: ignore[method-assign]  # a test's own sink

    async def tokens() -> AsyncIterator[str]:
        yield "First, "
        await asyncio.wait_for(speech_arrived.wait(), 10)
        yield "second."

    async def script(peer: Peer) -> None:
        first = await peer.next()
        assert isinstance(first, dict)
        assert first["text"] == "First, "
        await peer.frames(epoch=1, utterance=1, count=1, end=False)
        assert await whole_text(peer) == "second."
        await peer.frames(epoch=1, utterance=1, count=1, start=1)
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=1920)
        await peer.next()

    scripted.script = script
    spoken = await speak(api, tokens(), wanted=SpeechOptions(), sink=recording)
    assert spoken.duration_ms == 40


async def test_a_long_text_is_sent_in_messages_that_the_server_takes(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    text = "à€😀 " * 20_000
    got: list[str] = []

    async def script(peer: Peer) -> None:
        got.append(await whole_text(peer))
        await peer.frames(epoch=1, utterance=1, count=1)
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=960)
        await peer.next()

    scripted.script = script
    await speak(api, pieces_of(text), wanted=SpeechOptions(), sink=recording)
    assert got == [text]


async def test_text_without_words_is_a_mistake_of_input(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    async def script(peer: Peer) -> None:
        await whole_text(peer)
        await peer.event("done", utterance=1, epoch=1, result="empty", samples=0)
        await peer.next()

    scripted.script = script
    with pytest.raises(CliError, match="give it words") as caught:
        await speak(api, pieces_of("!?"), wanted=SpeechOptions(), sink=recording)
    assert caught.value.code is ExitCode.USAGE


async def test_an_unknown_model_is_the_servers_error_in_its_words(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    scripted.refuse = {
        "code": "NOT_FOUND",
        "reason": "UNKNOWN_MODEL",
        "field": "model",
        "message": "no model x: use joe",
    }
    with pytest.raises(VoiceplaneError, match="no model x: use joe") as caught:
        await speak(api, pieces_of("Hi."), wanted=SpeechOptions(model="x"), sink=recording)
    assert caught.value.reason == "UNKNOWN_MODEL"


async def test_a_server_that_vanishes_in_mid_speech_is_reported_as_unreachable(
    scripted: ScriptedServer, api: OrchestratorClient, recording: Recording
) -> None:
    async def script(peer: Peer) -> None:
        await peer.next()
        await peer.frames(epoch=1, utterance=1, count=1, end=False)
        transport = peer.socket._req.transport if peer.socket._req else None
        assert transport is not None
        transport.abort()

    scripted.script = script
    with pytest.raises(CliError, match="connection to the server was lost") as caught:
        await speak(api, pieces_of("Hi."), wanted=SpeechOptions(), sink=recording)
    assert caught.value.code is ExitCode.UNREACHABLE


async def test_standard_input_is_read_as_it_arrives_also_inside_of_a_character() -> None:
    read_end, write_end = os.pipe()
    pieces = read_stream(read_end)
    os.write(write_end, b"caf" + "é".encode()[:1])
    assert await anext(pieces) == "caf"
    os.write(write_end, "é".encode()[1:])
    assert await anext(pieces) == "é"
    os.close(write_end)
    assert [piece async for piece in pieces] == []
    os.close(read_end)


async def test_standard_input_that_is_no_utf8_names_the_remedy() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"\xff\xfe")
    os.close(write_end)
    with pytest.raises(CliError, match="iconv"):
        _ = [piece async for piece in read_stream(read_end)]
    os.close(read_end)

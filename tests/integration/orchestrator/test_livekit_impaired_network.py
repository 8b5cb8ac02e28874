"""A user at the far end of a bad network: understood both ways, and back after the line was cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from voiceplane_speech_input.asr.settings import AsrSection
from voiceplane_speech_input.asr.whisper import WhisperRecognizer

from tests.support import processes
from tests.support.impaired_network import NEAR_ADDRESS, RoughPath, rough_path
from tests.support.livekit import grant, livekit_server
from tests.support.speech import SENTENCES, word_error_rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

# The first one may build LiveKit.
pytestmark = pytest.mark.timeout(600)

ANSWER_S = 90.0
CUT_S = 5.0


@pytest.fixture
def path() -> Iterator[RoughPath]:
    with rough_path() as path:
        yield path


class FarPerson:
    """The program tests.support.remote_participant in the namespace."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def answer(self) -> dict[str, Any]:
        """Its next line."""
        assert self._child.stdout is not None
        line = await asyncio.wait_for(self._child.stdout.readline(), ANSWER_S)
        if not line:
            raise RuntimeError("the remote participant has ended")
        found: dict[str, Any] = json.loads(line)
        return found

    async def do(self, what: str, **order: str) -> dict[str, Any]:
        """Have it do something."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": what, **order}).encode() + b"\n")
        await self._child.stdin.drain()
        return await self.answer()


@contextlib.asynccontextmanager
async def remote_user(path: RoughPath, granted: dict[str, Any]) -> AsyncIterator[FarPerson]:
    command = ("ip", "netns", "exec", path.namespace, sys.executable, "-m", "tests.support.remote_participant")
    child = await asyncio.create_subprocess_exec(
        *command, granted["url"], granted["token"], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield FarPerson(child)
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 15)
        except TimeoutError:
            child.kill()
            await child.wait()


@contextlib.asynccontextmanager
async def served(path: RoughPath, folder: Path) -> AsyncIterator[FarPerson]:
    """A remote user in a room with a Piper voice and a real recognizer; only their leg is rough."""
    async with livekit_server(address=NEAR_ADDRESS, interface=path.device) as server, processes.worker() as (worker, _):
        config = folder / "orchestrator.yaml"
        sections = {"livekit": server.settings, "discovery": {"workers": [worker]}, "server": {"drain_timeout_ms": 0}}
        config.write_text(json.dumps(sections))
        async with (
            processes.orchestrator("--config", str(config)) as (url, _),
            # She names her language: guessed from a sentence with holes in it, it is another one now and then.
            remote_user(path, await grant(url, client_id="anna", language="en-US")) as person,
        ):
            yield person


async def understood(wav: Path) -> str:
    with wave.open(str(wav)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    recognizer = WhisperRecognizer(AsrSection())
    await recognizer.start()
    try:
        samples = pcm.astype(np.float32) / np.float32(32768)
        return (await recognizer.transcribe(samples, language="en")).text
    finally:
        await recognizer.aclose()


async def test_with_loss_delay_and_jitter_both_sides_are_understood(path: RoughPath, tmp_path: Path) -> None:
    path.delay_ms, path.jitter_ms, path.loss = 100.0, 20.0, 0.05
    text = " ".join(SENTENCES[:4])
    async with served(path, tmp_path) as person:
        await person.answer()
        await person.do("hear", text=text, wav=str(tmp_path / "heard.wav"))
        heard = await understood(tmp_path / "heard.wav")
        said = [(await person.do("speak", text=sentence))["text"] for sentence in SENTENCES[4:7]]
    assert path.lost > 20, "the line was not rough at all"
    print(f"heard: {word_error_rate([text], [heard]):.3f}; said: {word_error_rate(list(SENTENCES[4:7]), said):.3f}")
    assert word_error_rate([text], [heard]) <= 0.2, heard
    assert word_error_rate(list(SENTENCES[4:7]), said) <= 0.2, said


async def test_a_line_that_is_cut_for_seconds_loses_no_session(path: RoughPath, tmp_path: Path) -> None:
    path.delay_ms = 20.0
    async with served(path, tmp_path) as person:
        session = (await person.answer())["session_id"]
        before = await person.do("speak", text=SENTENCES[0])
        path.cut = True
        await asyncio.sleep(CUT_S)
        path.cut = False
        after = [await person.do("speak", text=sentence) for sentence in SENTENCES[4:7]]
        assert session
        assert after[0]["turn"] > before["turn"]  # the same conversation goes on
        assert word_error_rate(list(SENTENCES[4:7]), [each["text"] for each in after]) <= 0.2
        await person.do("hear", text=SENTENCES[2], wav=str(tmp_path / "heard.wav"))
        assert word_error_rate([SENTENCES[2]], [await understood(tmp_path / "heard.wav")]) <= 0.2

"""Mouth to ear over WebRTC, ours and the peer's interleaved: `python -m bench.rooms [--rounds N]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from voiceplane_orchestrator.settings import LiveKitSection
from voiceplane_orchestrator.transports.livekit import tokens

from bench.report import Report, Section, spread
from tests.support import processes
from tests.support.livekit import KEY, RATE_HZ, SECRET, LiveKitServer, Person, livekit_server
from tests.support.speech import SENTENCES, onset_sample, synthesize

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy.typing as npt

OURS, PEER = "voiceplane", "naive"
# Long enough that an interruption after the peer's first three seconds, which can't be interrupted, meets speech.
QUESTION = (
    "Could you please tell me everything that you know about the history of the old lighthouse on the northern coast "
    "and about the people who lived there before the great storm came and took the roof away?"
)
SPOKEN_TICKS = 380
TOLD = ("endpointing_ms", "asr_ms", "reply_first_token_ms", "first_audio_ms", "barge_in_ms")
START_TIMEOUT_S = 120.0


def recording(text: str) -> npt.NDArray[np.int16]:
    """Speech of another voice than ours, s16 at 48 kHz."""
    samples: npt.NDArray[np.int16] = (synthesize(text, sample_rate_hz=RATE_HZ) * 32767).astype(np.int16)
    return samples


def last_sound_s(samples: npt.NDArray[np.int16]) -> float:
    """Where speech ends in a recording."""
    return float(np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)[-1]) / RATE_HZ


@contextlib.asynccontextmanager
async def peer(server: LiveKitServer) -> AsyncIterator[None]:
    """The peer's process, once LiveKit knows it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.peer_agent", server.url, KEY, SECRET, PEER, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while (line := await child.stdout.readline()) != b"registered\n":
                if not line:
                    raise RuntimeError("the peer has ended")
        yield
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def enter(stack: contextlib.AsyncExitStack, server: LiveKitServer, agent_name: str) -> Person:
    """A user in a new room with an agent."""
    settings = LiveKitSection(**server.settings, agent_name=agent_name)
    granted = tokens.grant(settings, room=tokens.new_room(), identity="anna", choices={})
    person = await stack.enter_async_context(Person.enter({"url": granted.url, "token": granted.token}))
    await person.until_agents(1)
    return person


async def turn(server: LiveKitServer, agent_name: str, sentence: str, interruption: str) -> dict[str, float]:
    """One room: an answer to a sentence, then an answer that is interrupted; milliseconds."""
    async with contextlib.AsyncExitStack() as stack:
        person = await enter(stack, server, agent_name)
        if agent_name == OURS:
            await person.until("ready")
        asked = recording(sentence)
        began_s = await person.say(asked)
        end_s = began_s + last_sound_s(asked)
        first_s = await person.until_loud(after_s=end_s, timeout_s=30)
        figures = {"first_audio_ms": (first_s - end_s) * 1000}
        await person.until_silent(after_s=first_s + 0.5, for_ticks=150, timeout_s=30)
        question = recording(QUESTION)
        began_s = await person.say(question)
        answer_s = await person.until_loud(after_s=began_s + last_sound_s(question), timeout_s=30)
        await person.until_loud(after_s=answer_s, for_ticks=SPOKEN_TICKS, timeout_s=30)
        words = recording(interruption)
        began_s = await person.say(words)
        onset_s = began_s + onset_sample(words.astype(np.float32) / np.float32(32768)) / RATE_HZ
        silent_s = await person.until_silent(after_s=onset_s, for_ticks=12, timeout_s=30)
        figures["interruption_ms"] = (silent_s - onset_s) * 1000
        return figures | parts(person, figures)


def parts(person: Person, figures: dict[str, float]) -> dict[str, float]:
    """Where the time of our first answer went, as our orchestrator tells it; the line has the rest."""
    told = [event for _, event in person.events if event["type"] == "latency"]
    if not told:
        return {}
    first = {name: next(event[name] for event in told if event[name] is not None) for name in TOLD}
    known = first["endpointing_ms"] + first["asr_ms"] + first["reply_first_token_ms"]
    return {
        "endpointing (VAD and silence)": first["endpointing_ms"],
        "recognition after it": first["asr_ms"],
        "reply": first["reply_first_token_ms"],
        "speech synthesis": first["first_audio_ms"] - known,
        "the line, both ways": figures["first_audio_ms"] - first["first_audio_ms"],
        "interruption: voice activity to pause": first["barge_in_ms"],
        "interruption: the line, both ways": figures["interruption_ms"] - first["barge_in_ms"],
    }


async def run(rounds: int) -> Report:
    """The tables."""
    found: dict[str, list[dict[str, float]]] = {OURS: [], PEER: []}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "orchestrator.yaml"
        async with livekit_server() as server, processes.worker() as (worker, _):
            sections: dict[str, Any] = {"livekit": server.settings, "discovery": {"workers": [worker]}}
            config.write_text(json.dumps(sections))
            async with processes.orchestrator("--config", str(config)), peer(server):
                for number in range(rounds):
                    sentence = SENTENCES[number % len(SENTENCES)]
                    interruption = SENTENCES[(number + 3) % len(SENTENCES)]
                    for name in (OURS, PEER) if number % 2 else (PEER, OURS):
                        found[name].append(await turn(server, name, sentence, interruption))
                        print(number, name, {key: round(value) for key, value in found[name][-1].items()})
    report = Report()
    for key, title in (
        ("first_audio_ms", "End of the user's speech to the first sample of the answer, ms"),
        ("interruption_ms", "Onset of an interruption in the microphone to silence in the received track, ms"),
    ):
        ours, theirs = ([each[key] for each in found[name]] for name in (OURS, PEER))
        rows: list[tuple[str | float, ...]] = [
            ("Voiceplane", *spread(ours)),
            ("livekit-agents + piper", *spread(theirs)),
        ]
        rows.append(("ratio", *(a / b for a, b in zip(spread(ours), spread(theirs), strict=True))))
        report.show(Section(title, ("", "p50", "p95", "p99"), rows))
    names = [key for key in found[OURS][0] if not key.endswith("_ms")]
    rows = [(name, *spread([each[name] for each in found[OURS]])) for name in names]
    report.show(Section("Where our time went, ms", ("", "p50", "p95", "p99"), rows))
    return report


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rooms of each kind")
    parser.add_argument("--json", type=Path, default=Path("bench-results/rooms.json"))
    arguments = parser.parse_args()
    asyncio.run(run(arguments.rounds)).write(arguments.json)


if __name__ == "__main__":
    main()

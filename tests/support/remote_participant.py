"""A participant in a room, driven by lines on stdin: a program, since it runs in another network namespace.

`python -m tests.support.remote_participant URL TOKEN`. Each line is a JSON object with `do`; each answer is one, too:

- `hear`, with `text` and `wav`: has the agent speak the text, and writes what was heard as 16 kHz WAV.
- `speak`, with `text`: speaks it, and answers with the agent's transcript of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

import numpy as np
import soxr

from tests.support.livekit import RATE_HZ, Person
from tests.support.speech import synthesize

WAV_RATE_HZ = 16_000
PATIENCE_S = 60.0


async def hear(person: Person, *, text: str, wav: str) -> dict[str, Any]:
    """Have a text spoken."""
    since_s = asyncio.get_running_loop().time()
    await person.send("say", text=text)
    done = await person.until("done", after_s=since_s, timeout_s=PATIENCE_S, result="complete")
    loud_s = await person.until_loud(after_s=since_s, timeout_s=PATIENCE_S)
    await person.until_silent(after_s=loud_s + done["samples"] / RATE_HZ, timeout_s=PATIENCE_S)
    heard = person.audio(after_s=loud_s - 0.1).astype(np.float32)
    samples = soxr.resample(heard, RATE_HZ, WAV_RATE_HZ).clip(-32768, 32767).astype("<i2")
    with wave.open(wav, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(WAV_RATE_HZ)
        file.writeframes(samples.tobytes())
    return {"seconds": done["samples"] / RATE_HZ}


async def speak(person: Person, *, text: str) -> dict[str, Any]:
    """Say a text."""
    since_s = await person.say((synthesize(text, sample_rate_hz=RATE_HZ) * 32767).astype(np.int16))
    heard = await person.until("transcript", after_s=since_s, timeout_s=PATIENCE_S, role="user")
    await person.send("interrupt")
    return {"text": heard["text"], "turn": heard["turn"]}


async def main(url: str, token: str) -> None:
    """Enter the room, and obey until the lines end."""
    async with Person.enter({"url": url, "token": token}) as person:
        ready = await person.until("ready", timeout_s=PATIENCE_S)
        print(json.dumps({"session_id": ready["session_id"]}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            do = order.pop("do")
            answer = await hear(person, **order) if do == "hear" else await speak(person, **order)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))

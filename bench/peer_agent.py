"""The peer in a room: a plain AgentSession of livekit-agents with its defaults, piper-tts behind a naive plugin.

Run as a program: `python -m bench.peer_agent URL KEY SECRET AGENT_NAME`. It hears by faster-whisper's defaults,
with the same Whisper model and beam as we do, and says back what it heard, as our echo does.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from faster_whisper import WhisperModel
from livekit import rtc
from livekit.agents import (
    NOT_GIVEN,
    Agent,
    AgentServer,
    AgentSession,
    APIConnectOptions,
    JobContext,
    JobProcess,
    inference,
    llm,
    stt,
    tts,
    utils,
)
from piper import PiperVoice
from voiceplane_speech_input.asr.whisper import find_model

from bench.peer import voice_file

if TYPE_CHECKING:
    from livekit.agents.types import NotGivenOr

STT_RATE_HZ = 16_000


class NaivePiper(tts.TTS[str]):
    """Synthesizes a whole text, then gives it away."""

    def __init__(self, voice: PiperVoice) -> None:
        self.voice = voice
        rate_hz = self.voice.config.sample_rate
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=rate_hz, num_channels=1)

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = APIConnectOptions()) -> tts.ChunkedStream:  # noqa: B008  # as its base has it
        return NaiveStream(tts=self, input_text=text, conn_options=conn_options)


class NaiveStream(tts.ChunkedStream):
    """One text."""

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        piper = self._tts
        assert isinstance(piper, NaivePiper)
        output_emitter.initialize(
            request_id=utils.shortuuid(), sample_rate=piper.sample_rate, num_channels=1, mime_type="audio/pcm"
        )

        def synthesize() -> bytes:
            return b"".join(chunk.audio_int16_bytes for chunk in piper.voice.synthesize(self.input_text))

        output_emitter.push(await asyncio.to_thread(synthesize))
        output_emitter.flush()


class Whisper(stt.STT[str]):
    """Recognizes what the VAD has cut out."""

    def __init__(self, model: WhisperModel) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._model = model

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        del language, conn_options
        frame = rtc.combine_audio_frames(buffer)
        resampler = rtc.AudioResampler(frame.sample_rate, STT_RATE_HZ)
        frames = [*resampler.push(frame), *resampler.flush()] if frame.sample_rate != STT_RATE_HZ else [frame]
        pcm = np.concatenate([np.frombuffer(each.data, np.int16) for each in frames])

        def understand() -> str:
            segments, _ = self._model.transcribe(pcm.astype(np.float32) / np.float32(32768), language="en")
            return "".join(segment.text for segment in segments).strip()

        text = await asyncio.to_thread(understand)
        data = stt.SpeechData(language="en", text=text)  # type: ignore[arg-type]  # a str is one
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])


class Echo(llm.LLM[str]):
    """Says back what the user said."""

    def chat(self, *, chat_ctx: llm.ChatContext, **options: Any) -> llm.LLMStream:
        return EchoStream(
            self, chat_ctx=chat_ctx, tools=options.get("tools") or [], conn_options=options["conn_options"]
        )


class EchoStream(llm.LLMStream):
    """One answer."""

    async def _run(self) -> None:
        said = [each.text_content for each in self._chat_ctx.items if each.type == "message" and each.role == "user"]
        delta = llm.ChoiceDelta(role="assistant", content=said[-1] or "")
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid(), delta=delta))


def load(process: JobProcess) -> None:
    """Load the models before a room needs them, as the framework's examples do."""
    folder = str(find_model("base"))
    whisper = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=min(4, os.cpu_count() or 1))
    process.userdata.update(whisper=whisper, piper=PiperVoice.load(voice_file()))


async def job(context: JobContext) -> None:
    """One room."""
    await context.connect()
    models = context.proc.userdata
    session: AgentSession[None] = AgentSession(
        vad=inference.VAD(), stt=Whisper(models["whisper"]), llm=Echo(), tts=NaivePiper(models["piper"])
    )
    await session.start(Agent(instructions=""), room=context.room)


async def main(url: str, key: str, secret: str, agent_name: str) -> None:
    """Serve until ended."""
    server = AgentServer(
        ws_url=url,
        api_key=key,
        api_secret=secret,
        host="127.0.0.1",
        port=0,
        load_threshold=float("inf"),
        num_idle_processes=1,
        setup_fnc=load,
    )
    server.on("worker_registered", lambda *_: print("registered", flush=True))
    server.rtc_session(job, agent_name=agent_name)
    await server.run()


if __name__ == "__main__":
    # By its real name, since processes that are started for rooms import it so.
    asyncio.run(importlib.import_module("bench.peer_agent").main(*sys.argv[1:5]))

"""Records one utterance of one model, with the arrival times of its frames, through an orchestrator or a worker."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from voiceplane_client import WorkerClient
from voiceplane_common.frames import SAMPLE_RATE_HZ
from voiceplane_proto.v1 import tts_pb2

from voiceplane_cli.inventory import DirectWorker, Inventory
from voiceplane_cli.orchestrator_client import OrchestratorClient
from voiceplane_cli.output import CliError, ExitCode
from voiceplane_cli.say import SpeechOptions, pieces_of, speak

NOTHING_SPOKEN = "the text has no words to speak: add some"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is to be said.

    Attributes:
        text: The text, sent whole.
        language: BCP 47; None for the voice's own.
    """

    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recorded utterance.

    Attributes:
        voice: That spoke.
        pcm: Mono s16le at 48 kHz.
        arrivals_ms: When each frame arrived, from when the text was sent; at least one.
        compute_ms: What the worker computed for it; None if unknown.
    """

    voice: str
    pcm: bytes
    arrivals_ms: tuple[float, ...]
    compute_ms: float | None

    @property
    def first_audio_ms(self) -> float:
        """From sending the text to the first frame."""
        return self.arrivals_ms[0]

    @property
    def duration_ms(self) -> float:
        """Of the speech."""
        return len(self.pcm) / 2 * 1000 / SAMPLE_RATE_HZ

    @property
    def rtf(self) -> float | None:
        """Computing time over the speech's length; None if unknown."""
        return None if self.compute_ms is None else self.compute_ms / self.duration_ms


Speak = Callable[[str, Script], Awaitable[Recording]]
"""Speaks a script with a resident model."""


def recorder_for(source: Inventory) -> Speak:
    """How the models of an inventory speak."""
    if isinstance(source, OrchestratorClient):
        return lambda model_id, script: _through_server(source, model_id, script)
    if isinstance(source, DirectWorker):
        return lambda model_id, script: _from_worker(source.client, model_id, script)
    raise TypeError(f"{type(source).__name__} has no models that speak")


class _Arrivals:
    """A sink that notes when it was written to."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.at_s: list[float] = []

    async def write(self, pcm: bytes) -> None:
        """A frame has come."""
        self.at_s.append(time.monotonic())
        self.pcm += pcm

    async def close(self) -> None:
        """Nothing to finish."""


async def _through_server(api: OrchestratorClient, model_id: str, script: Script) -> Recording:
    heard = _Arrivals()
    wanted = SpeechOptions(model=model_id, language=script.language)
    spoken = await speak(api, pieces_of(script.text), wanted=wanted, sink=heard)
    if spoken.model != model_id:
        raise CliError(f"{spoken.model} spoke instead: see `voiceplane models list` for the state of {model_id}")
    since = heard.at_s[0] - spoken.first_audio_ms / 1000
    return Recording(
        voice=spoken.voice,
        pcm=bytes(heard.pcm),
        arrivals_ms=tuple((at - since) * 1000 for at in heard.at_s),
        compute_ms=spoken.compute_ms,
    )


async def _from_worker(client: WorkerClient, model_id: str, script: Script) -> Recording:
    request = tts_pb2.StartSessionRequest(
        model_id=model_id, language=script.language or "", credit_flow_control=True, only_if_resident=True
    )
    pcm = bytearray()
    arrivals_ms = []
    compute_us = 0
    async with await client.start_session(request) as session, session.open_stream() as stream:
        sent_at = time.monotonic()
        await stream.send(script.text, utterance_id="1", end=True)
        await stream.finish()
        async for frame in stream:
            if frame.valid_samples:
                arrivals_ms.append((time.monotonic() - sent_at) * 1000)
                pcm += frame.pcm[: 2 * frame.valid_samples]
            compute_us = compute_us or frame.compute_us
        voice = session.info.voice
    if not arrivals_ms:
        raise CliError(NOTHING_SPOKEN, code=ExitCode.USAGE)
    return Recording(
        voice=voice,
        pcm=bytes(pcm),
        arrivals_ms=tuple(arrivals_ms),
        compute_ms=compute_us / 1000 if compute_us else None,
    )

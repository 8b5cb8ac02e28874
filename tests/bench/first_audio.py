"""First audio and RTF by length of the sentence: piper-tts, our gRPC ABI and our WebSocket, interleaved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from tests.bench.corpus import TEXTS, UNBROKEN, Text
from tests.bench.peer import Peer
from tests.bench.report import Section, percentile, spread
from tests.bench.speaking import speak
from tests.bench.websocket import SpeakSocket

if TYPE_CHECKING:
    from tests.bench.peer import PeerRun
    from tests.bench.stack import Process

CLAUSE = tts_pb2.StartSessionRequest(segmentation=tts_pb2.SEGMENTATION_CLAUSE, credit_flow_control=True)
SENTENCE = tts_pb2.StartSessionRequest(segmentation=tts_pb2.SEGMENTATION_SENTENCE, credit_flow_control=True)

# Frames that are listened to before the rest is stopped: the first sound is what is measured.
ENOUGH_FRAMES = 25


async def first_audio(address: str, server: str, *, rounds: int) -> Section:
    """The table of first-audio latencies."""
    section = Section(
        "First audio, ms (medians; ratio to piper-tts of the same round)",
        ("sentence", "piper-tts", "gRPC", "ratio", "p95", "sentence mode", "ratio", "WebSocket", "ratio", "p95"),
        note="Text sent whole to an open stream until the first frame arrives; one sentence at a time.",
    )
    peer = Peer()
    async with WorkerClient(address) as client, SpeakSocket.open(server) as socket:
        for text in (*TEXTS, UNBROKEN):
            peers: list[float] = []
            ours: dict[str, list[float]] = {"clause": [], "sentence": [], "websocket": []}
            for number in range(rounds):
                peers.append(peer.speak(text.words).first_audio_ms)
                ours["clause"].append(await _grpc(client, CLAUSE, text))
                ours["sentence"].append(await _grpc(client, SENTENCE, text))
                ours["websocket"].append(await socket.first_audio_ms(text.words, f"{text.name}-{number}"))
            section.rows.append(_row(text, peers, ours))
    return section


async def _grpc(client: WorkerClient, request: tts_pb2.StartSessionRequest, text: Text) -> float:
    async with await client.start_session(request) as session, session.open_stream() as stream:
        heard = await speak(stream, text.words, utterance_id="u", frames=ENOUGH_FRAMES)
        await session.stop()
        return heard.first_audio_ms


def _row(text: Text, peers: list[float], ours: dict[str, list[float]]) -> tuple[str | float, ...]:
    def ratio(values: list[float]) -> float:
        return percentile([mine / peer for mine, peer in zip(values, peers, strict=True)], 50)

    return (
        text.name,
        percentile(peers, 50),
        percentile(ours["clause"], 50),
        ratio(ours["clause"]),
        percentile(ours["clause"], 95),
        percentile(ours["sentence"], 50),
        ratio(ours["sentence"]),
        percentile(ours["websocket"], 50),
        ratio(ours["websocket"]),
        percentile(ours["websocket"], 95),
    )


async def real_time_factor(address: str, process: Process, *, rounds: int) -> Section:
    """The table of RTFs: processor time over audio time, of the worker's whole process and of piper-tts's."""
    section = Section(
        "RTF (processor time over audio time)",
        ("sentence", "piper-tts", "Voiceplane worker", "ratio", "sentence mode", "ratio"),
        note="Ours has everything in it: splitting, resampling to 48 kHz, loudness, framing, pacing and gRPC.",
    )
    peer = Peer()
    async with WorkerClient(address) as client:
        for text in TEXTS:
            peers: list[PeerRun] = []
            ours: list[float] = []
            whole: list[float] = []
            for _ in range(rounds):
                peers.append(peer.speak(text.words))
                ours.append(await _rtf(client, CLAUSE, text, process))
                whole.append(await _rtf(client, SENTENCE, text, process))
            theirs = [run.cpu_ms / 1000 / run.audio_s for run in peers]
            median = percentile(theirs, 50)
            section.rows.append(
                (
                    text.name,
                    median,
                    spread(ours)[0],
                    spread(ours)[0] / median,
                    spread(whole)[0],
                    spread(whole)[0] / median,
                )
            )
    return section


async def _rtf(
    client: WorkerClient, request: tts_pb2.StartSessionRequest, text: Text, process: Process
) -> float:
    cpu = process.cpu_seconds()
    async with await client.start_session(request) as session, session.open_stream() as stream:
        heard = await speak(stream, text.words, utterance_id="u")
    return (process.cpu_seconds() - cpu) / (0.02 * len(heard.arrivals))

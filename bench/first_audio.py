"""First audio and RTF by length of the sentence: piper-tts, our gRPC ABI and our WebSocket, interleaved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from bench.corpus import TEXTS, UNBROKEN, Text
from bench.peer import Peer
from bench.report import Section, percentile
from bench.speaking import speak
from bench.websocket import Socket, first_audio_ms

if TYPE_CHECKING:
    from bench.peer import PeerRun
    from tests.support.processes import Process

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
    async with WorkerClient(address) as client, Socket.open(server, "/v1/speak") as socket:
        for text in (*TEXTS, UNBROKEN):
            peers: list[float] = []
            ours: dict[str, list[float]] = {"clause": [], "sentence": [], "websocket": []}
            for _ in range(rounds):
                peers.append(peer.speak(text.words).first_audio_ms)
                ours["clause"].append(await _grpc(client, CLAUSE, text))
                ours["sentence"].append(await _grpc(client, SENTENCE, text))
                ours["websocket"].append(await first_audio_ms(socket, text.words))
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


async def real_time_factor(address: str, metrics: str, process: Process, *, rounds: int) -> Section:
    """The table of RTFs.

    Args:
        address: The worker's.
        metrics: URL of its metrics.
        process: Its process.
        rounds: Repetitions.
    """
    section = Section(
        "RTF: time over audio time",
        ("sentence", "piper-tts", "ours", "ratio", "sentence mode", "ratio", "piper-tts CPU", "ours CPU", "ratio"),
        note="Time: of the synthesis calls, piper-tts on all cores, ours on one thread with all audio processing. "
        "CPU: processor time of the process; ours with pacing and gRPC as well.",
    )
    peer = Peer()
    async with WorkerClient(address) as client, aiohttp.ClientSession() as http:
        for text in TEXTS:
            peers: list[PeerRun] = []
            clause: list[_Cost] = []
            sentence: list[_Cost] = []
            for _ in range(rounds):
                peers.append(peer.speak(text.words))
                clause.append(await _cost(client, CLAUSE, text, process, http, metrics))
                sentence.append(await _cost(client, SENTENCE, text, process, http, metrics))
            theirs = percentile([run.total_ms / 1000 / run.audio_s for run in peers], 50)
            theirs_cpu = percentile([run.cpu_ms / 1000 / run.audio_s for run in peers], 50)
            ours = percentile([cost.rtf for cost in clause], 50)
            whole = percentile([cost.rtf for cost in sentence], 50)
            cpu = percentile([cost.cpu_rtf for cost in clause], 50)
            section.rows.append(
                (text.name, theirs, ours, ours / theirs, whole, whole / theirs, theirs_cpu, cpu, cpu / theirs_cpu)
            )
    return section


@dataclass(frozen=True, slots=True)
class _Cost:
    rtf: float
    cpu_rtf: float


async def _cost(
    client: WorkerClient,
    request: tts_pb2.StartSessionRequest,
    text: Text,
    process: Process,
    http: aiohttp.ClientSession,
    metrics: str,
) -> _Cost:
    cpu, counters = process.cpu_seconds(), await _counters(http, metrics)
    async with await client.start_session(request) as session, session.open_stream() as stream:
        heard = await speak(stream, text.words, utterance_id="u")
    after = await _counters(http, metrics)
    compute, audio = (after[name] - counters[name] for name in ("compute", "audio"))
    return _Cost(compute / audio, (process.cpu_seconds() - cpu) / (0.02 * len(heard.arrivals)))


async def _counters(http: aiohttp.ClientSession, metrics: str) -> dict[str, float]:
    async with http.get(metrics) as response:
        page = await response.text()
    return {
        name: float(re.search(rf"^voiceplane_worker_{name}_seconds_total (\S+)$", page, re.MULTILINE)[1])  # type: ignore[index]
        for name in ("compute", "audio")
    }

"""What a choice costs the orchestrator's event loop, in processor time of this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from voiceplane_orchestrator.routing.routed_worker import worker_view
from voiceplane_orchestrator.routing.score import choose
from voiceplane_orchestrator.routing.voice_request import VoiceRequest
from voiceplane_proto.v1 import tts_pb2

from bench.simulation.costs import Costs
from bench.simulation.traffic import snapshot
from bench.simulation.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = (10, 100, 300, 1000)
CHOICES = 20_000
ROUNDS = 5


def _cpu_us(call: Callable[[int], object], *, times: int) -> float:
    """Of one call; the best of some rounds, as a busy machine only adds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for number in range(times):
            call(number)
        rounds.append((time.thread_time() - began) / times * 1e6)
    return min(rounds)


def choice_us(workers: int, *, held: int = 3) -> float:
    """One choice among workers that all know the wanted model; one in three has it resident.

    Args:
        workers: How many.
        held: Models that each has resident, of nine that it knows.
    """
    known = [f"model-{number}" for number in range(3 * held)]
    chance = np.random.default_rng(1)
    views = []
    for number in range(workers):
        resident = dict.fromkeys(known[(number * held + offset) % len(known)] for offset in range(held))
        worker = Worker(
            address=f"10.0.{number // 250}.{number % 250}:50051", known=known, costs=Costs(), resident=resident
        )
        for _ in range(int(chance.integers(0, 14))):
            worker.begin(next(iter(resident)))
        views.append(worker.view(queue_depth=int(chance.integers(0, 3))))
    wanted = VoiceRequest(model_id=known[0])
    return _cpu_us(
        lambda number: choose(views, wanted, session_key=str(number)), times=CHOICES // workers // ROUNDS + 1
    )


def snapshot_us() -> float:
    """To read a snapshot and make a view of it, without what gRPC itself takes."""
    data = snapshot().SerializeToString()
    return _cpu_us(lambda _: worker_view("a:1", tts_pb2.WorkerState.FromString(data), device="cpu"), times=500)

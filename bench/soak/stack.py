"""The stack: orchestrators and workers as processes on loopback, which can be ended and started again."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voiceplane_worker.packs.catalog import shipped_packs

from tests.support import processes
from tests.support.voicepacks import write_pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tests.support.livekit import LiveKitServer
    from tests.support.processes import Process
    from tests.support.redis_server import RedisServer

CHURN_MODEL = "churn"
FAMILY_MODELS = {"piper": "en_US-joe-medium", "mock": "mock"}
CHURN_LOAD_MS = 300
DRAIN_TIMEOUT_MS = 6000
"""Sessions that last longer are to go on elsewhere, and a process is given 15 s to end."""
A_DAY_MS = 86_400_000
LEAVE_AFTER_MS = 5000
"""What an agent waits for in an empty room is no leak, and shorter than the time to settle."""


class Member:
    """A program of the stack, in one process after another.

    Attributes:
        name: Of the program.
        address: Of the present process.
        generation: How many processes there were; the present one's number.
        process: The present one; None between two.
        deaths: Exit statuses of processes that ended by themselves.
    """

    def __init__(
        self,
        name: str,
        *,
        start: Callable[[], contextlib.AbstractAsyncContextManager[tuple[str, Process]]],
        metrics_port: int | None = None,
    ) -> None:
        self.name = name
        self.address = ""
        self.generation = 0
        self.process: Process | None = None
        self.deaths: list[int | None] = []
        self._start = start
        self._metrics_port = metrics_port
        self._exits = contextlib.AsyncExitStack()

    @property
    def metrics_url(self) -> str:
        """Where it tells its metrics: at a port of its own, or at its address."""
        return f"http://127.0.0.1:{self._metrics_port}/metrics" if self._metrics_port else f"{self.address}/metrics"

    async def start(self) -> None:
        """Start a process; returns when it is ready."""
        self.address, process = await self._exits.enter_async_context(self._start())
        self.generation += 1
        self.process = process

    async def kill(self) -> None:
        """SIGKILL."""
        if process := self._leave():
            await process.kill()
        await self._exits.aclose()

    async def end(self) -> str:
        """SIGTERM; returns what was wrong about the end."""
        process = self._leave()
        await self._exits.aclose()
        status = process.child.returncode if process else 0
        return f"exit status {status}" if status else ""

    def note_death(self) -> None:
        """Keep in mind that the present process has ended, unless that was intended."""
        if self.process is not None and not self.process.alive:
            self._leave()

    def _leave(self) -> Process | None:
        process, self.process = self.process, None
        if process is not None and not process.alive:
            self.deaths.append(process.child.returncode)
        return process


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """All of it.

    Attributes:
        orchestrators: At least one.
        workers: By name.
        livekit: The LiveKit server, if there is one.
        redis: Where orchestrators find the workers, if it is not in their settings.
    """

    orchestrators: tuple[Member, ...]
    workers: dict[str, Member]
    livekit: LiveKitServer | None = None
    redis: RedisServer | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """Every program."""
        return (*self.orchestrators, *self.workers.values())


@contextlib.asynccontextmanager
async def stack(
    folder: Path,
    *,
    families: Sequence[str],
    orchestrators: int = 1,
    livekit: LiveKitServer | None = None,
    redis: RedisServer | None = None,
) -> AsyncIterator[Stack]:
    """Start a stack, and end it by SIGTERM.

    Args:
        folder: For its settings, voice packs and logs.
        families: Of the workers, one each.
        orchestrators: How many.
        livekit: A server for them to be agents of.
        redis: A server for workers to be found in; None to name them to the orchestrators.
    """
    addresses = [f"127.0.0.1:{processes.free_port()}" for _ in families]
    settings = _worker_settings(folder, redis=redis)
    workers = {
        (name := f"{family}-{number}"): _worker(folder / f"{name}.log", family, address=address, settings=settings)
        for number, (family, address) in enumerate(zip(families, addresses, strict=True))
    }
    settings = _orchestrator_settings(folder, addresses, livekit=livekit, redis=redis)
    servers = tuple(
        _orchestrator(folder / f"orchestrator-{number}.log", settings=settings) for number in range(orchestrators)
    )
    async with contextlib.AsyncExitStack() as exits:
        for member in (*workers.values(), *servers):
            exits.push_async_callback(member.end)
            await member.start()
        yield Stack(orchestrators=servers, workers=workers, livekit=livekit, redis=redis)


def _worker(log: Path, family: str, *, address: str, settings: Path) -> Member:
    port = processes.free_port()
    flags = ("--config", str(settings), "--metrics-port", str(port), "--default-model", FAMILY_MODELS[family])

    def start() -> contextlib.AbstractAsyncContextManager[tuple[str, Process]]:
        return processes.worker(*flags, address=address, log=log)

    return Member(log.stem, start=start, metrics_port=port)


def _orchestrator(log: Path, *, settings: Path) -> Member:
    def start() -> contextlib.AbstractAsyncContextManager[tuple[str, Process]]:
        return processes.orchestrator("--config", str(settings), log=log)

    return Member(log.stem, start=start)


def _worker_settings(folder: Path, *, redis: RedisServer | None) -> Path:
    """Of all workers: the packs that come with Voiceplane for these families, and one to load and unload."""
    packs = folder / "packs"
    for family in FAMILY_MODELS:
        shutil.copytree(shipped_packs() / family, packs / family)
    write_pack(packs / "mock" / CHURN_MODEL, CHURN_MODEL, options={"load_ms": str(CHURN_LOAD_MS)})
    return _write(
        folder / "worker.yaml",
        {
            "worker": {"packs_dir": str(packs), "drain_timeout_ms": DRAIN_TIMEOUT_MS},
            # What is loaded and unloaded by the clock would be steps in the memory that is to be judged.
            "model_manager": {"ttl_ms": A_DAY_MS, "unload_drain_timeout_ms": DRAIN_TIMEOUT_MS},
        }
        | ({"redis": {"url": redis.url}} if redis else {}),
    )


def _orchestrator_settings(
    folder: Path, workers: Sequence[str], *, livekit: LiveKitServer | None, redis: RedisServer | None
) -> Path:
    sections: dict[str, Any] = {
        "discovery": {"kind": "redis"} if redis else {"workers": list(workers)},
        "limits": {"requests_per_minute": 1_000_000, "connections_per_caller": 10_000},  # all people are one caller
    }
    if redis:
        sections["redis"] = {"url": redis.url}
    if livekit:
        sections["livekit"] = livekit.settings | {"leave_after_ms": LEAVE_AFTER_MS}
    return _write(folder / "orchestrator.yaml", sections)


def _write(file: Path, sections: dict[str, Any]) -> Path:
    file.write_text(json.dumps(sections), encoding="utf-8")
    return file

"""Checks the Redis of the environment: whether it answers, and which workers are registered."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import dataclass

from pydantic import ConfigDict
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import Section, load_settings
from voiceplane_common.worker_registry.settings import RedisSection


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisCheck:
    """The result of the check.

    Attributes:
        ok: Whether the Redis answers, and has valid records only.
        found: A description of the result.
        remedy: How to fix it; empty if nothing is wrong.
    """

    ok: bool
    found: str
    remedy: str = ""


class _RedisSection(RedisSection):
    """What workers and orchestrators share of the variables; a worker has more."""

    model_config = ConfigDict(extra="ignore")


class _Settings(Section):
    redis: _RedisSection = _RedisSection()


def check_redis() -> RedisCheck | None:
    """Check the Redis of VOICEPLANE_REDIS__URL; None if the variable is not set."""
    try:
        settings = load_settings(_Settings).redis
        if not settings.url:
            return None
        if importlib.util.find_spec("redis") is None:
            return RedisCheck(
                ok=False, found="its client is not installed", remedy="pip install 'voiceplane-common[redis]'"
            )
        return asyncio.run(_look(settings))
    except VoiceplaneError as error:
        what, _, remedy = error.message.partition("; ")
        return RedisCheck(ok=False, found=what, remedy=remedy or "start it, or correct VOICEPLANE_REDIS__URL")


async def _look(settings: RedisSection) -> RedisCheck:
    # Imported here because a single host needs no Redis client.
    from voiceplane_common.worker_registry.registry import WorkerRegistry  # noqa: PLC0415

    async with WorkerRegistry.connect(settings) as registry:
        snapshot = await registry.snapshot()
    words = f"{len(snapshot.leases)} workers: {', '.join(sorted(snapshot.leases))}" if snapshot.leases else "no worker"
    if snapshot.unreadable:
        strange = ", ".join(f"{address[:40]!r} ({problem})" for address, problem in sorted(snapshot.unreadable.items()))
        remedy = f"redis-cli HDEL {settings.prefix}:v1:workers ADDRESS, or set another redis.prefix"
        return RedisCheck(ok=False, found=f"{words}; no worker's: {strange}", remedy=remedy)
    return RedisCheck(ok=True, found=words)

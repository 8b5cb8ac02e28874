"""The registry on a real Redis: who holds what, and what a Redis may refuse or hold of someone else."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from voiceplane_cli.redis_check import check_redis
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.worker_registry.records import WorkerRecord
from voiceplane_common.worker_registry.registry import LeaseClaim, WorkerRegistry
from voiceplane_common.worker_registry.settings import RedisSection

from tests.e2e.cluster.certificates import Authority
from tests.support.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADDRESS = "10.0.0.5:50051"
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "several-hosts.md"
WORKERS, LEASES = "voiceplane:v1:workers", "voiceplane:v1:leases"


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
async def registry(redis: RedisServer) -> AsyncIterator[WorkerRegistry]:
    async with WorkerRegistry.connect(RedisSection(url=redis.url)) as registry:
        yield registry


def record(worker_id: str, *, lease_ms: int = 60_000) -> WorkerRecord:
    return WorkerRecord(worker_id=worker_id, lease_ms=lease_ms)


async def until_ended(redis: RedisServer, address: str) -> None:
    """Wait on Redis' clock."""
    while True:
        seconds, micros = (await redis.ask("TIME")).split()
        if int(seconds) * 1000 + int(micros) // 1000 > float(await redis.ask("ZSCORE", LEASES, address)):
            return
        await asyncio.sleep(0.01)


async def test_an_address_is_held_renewed_and_given_up(redis: RedisServer, registry: WorkerRegistry) -> None:
    assert await registry.hold(ADDRESS, record("w1"), put_out=True) == LeaseClaim(ours=True, before="")
    assert await registry.hold(ADDRESS, record("w1"), put_out=False) == LeaseClaim(ours=True, before="w1")
    lease = (await registry.snapshot()).leases[ADDRESS]
    assert (lease.worker_id, lease.lease_ms) == ("w1", 60_000)
    assert 50_000 < lease.left_ms <= 60_000
    assert json.loads(await redis.ask("HGET", WORKERS, ADDRESS)) == {
        "version": 1,
        "worker_id": "w1",
        "lease_ms": 60_000,
    }
    assert await registry.leave(ADDRESS, "w1")
    assert not (await registry.snapshot()).leases
    assert await redis.ask("EXISTS", WORKERS, LEASES) == "0"


async def test_only_a_newcomer_puts_another_worker_out_and_no_one_leaves_for_another(registry: WorkerRegistry) -> None:
    await registry.hold(ADDRESS, record("w1"), put_out=True)
    assert await registry.hold(ADDRESS, record("w2"), put_out=False) == LeaseClaim(ours=False, before="w1")
    assert await registry.hold(ADDRESS, record("w2"), put_out=True) == LeaseClaim(ours=True, before="w1")
    assert await registry.hold(ADDRESS, record("w1"), put_out=False) == LeaseClaim(ours=False, before="w2")
    assert not await registry.leave(ADDRESS, "w1")
    assert (await registry.snapshot()).leases[ADDRESS].worker_id == "w2"


async def test_a_lease_ends_and_its_remains_are_swept_by_the_next_heartbeat(
    redis: RedisServer, registry: WorkerRegistry
) -> None:
    await registry.hold(ADDRESS, record("w1", lease_ms=500), put_out=True)
    await until_ended(redis, ADDRESS)
    assert not (await registry.snapshot()).leases
    await registry.hold("10.0.0.6:50051", record("w2"), put_out=True)
    assert await redis.ask("HKEYS", WORKERS) == "10.0.0.6:50051"
    assert await redis.ask("ZCARD", LEASES) == "1"


async def test_a_lease_that_has_ended_can_be_renewed_unless_someone_else_has_the_address(
    redis: RedisServer, registry: WorkerRegistry
) -> None:
    await registry.hold(ADDRESS, record("w1", lease_ms=500), put_out=True)
    await until_ended(redis, ADDRESS)
    assert await registry.hold(ADDRESS, record("w1", lease_ms=500), put_out=False) == LeaseClaim(ours=True, before="")
    await until_ended(redis, ADDRESS)
    await registry.hold(ADDRESS, record("w2"), put_out=False)
    assert await registry.hold(ADDRESS, record("w1"), put_out=False) == LeaseClaim(ours=False, before="w2")


async def test_a_listener_is_notified_of_what_comes_changes_and_goes_and_of_no_heartbeat(
    redis: RedisServer, registry: WorkerRegistry
) -> None:
    async with WorkerRegistry.connect(RedisSection(url=redis.url)) as other:
        await other.listen()
        await registry.hold(ADDRESS, record("w1"), put_out=True)
        await asyncio.wait_for(other.wait_changed(timeout_s=60), 10)
        await registry.hold(ADDRESS, record("w1"), put_out=False)  # not told
        await registry.hold(ADDRESS, record("w2"), put_out=True)
        await asyncio.wait_for(other.wait_changed(timeout_s=60), 10)
        await registry.leave(ADDRESS, "w2")
        await asyncio.wait_for(other.wait_changed(timeout_s=60), 10)
        began_s = asyncio.get_running_loop().time()
        await other.wait_changed(timeout_s=0.2)
        assert asyncio.get_running_loop().time() - began_s >= 0.2, "the heartbeat was a fourth message"


async def test_many_changes_at_once_are_one(redis: RedisServer, registry: WorkerRegistry) -> None:
    async with WorkerRegistry.connect(RedisSection(url=redis.url)) as other:
        await other.listen()
        for number in range(50):
            await registry.hold(f"10.0.1.{number}:50051", record(f"w{number}"), put_out=True)
        await asyncio.wait_for(other.wait_changed(timeout_s=60), 10)
        began_s = asyncio.get_running_loop().time()
        await other.wait_changed(timeout_s=0.2)
        assert asyncio.get_running_loop().time() - began_s >= 0.2
        assert len((await other.snapshot()).leases) == 50


async def test_the_incarnation_is_another_one_after_the_data_were_lost(
    redis: RedisServer, registry: WorkerRegistry
) -> None:
    await registry.hold(ADDRESS, record("w1"), put_out=True)
    first = (await registry.snapshot()).incarnation
    await registry.hold(ADDRESS, record("w1"), put_out=False)
    assert (await registry.snapshot()).incarnation == first
    await redis.ask("FLUSHALL")
    assert (await registry.snapshot()).incarnation == ""
    await registry.hold(ADDRESS, record("w1"), put_out=False)
    assert (await registry.snapshot()).incarnation not in {"", first}


@pytest.mark.parametrize(
    "text", ["hello", "[1]", "\\xff\\xfe", '{"worker_id": 7}', '{"worker_id": "x", "lease_ms": 1}']
)
async def test_what_someone_else_has_written_hides_no_worker_and_is_written_over(
    redis: RedisServer, registry: WorkerRegistry, text: str
) -> None:
    other = "10.0.0.6:50051"
    await registry.hold(other, record("w2"), put_out=True)
    await redis.ask("HSET", WORKERS, ADDRESS, text)
    await redis.ask("ZADD", LEASES, "inf", ADDRESS)
    found = await registry.snapshot()
    assert list(found.leases) == [other]
    assert list(found.unreadable) == [ADDRESS]
    assert (await registry.hold(ADDRESS, record("w1"), put_out=True)).ours
    assert set((await registry.snapshot()).leases) == {ADDRESS, other}


async def test_keys_that_are_something_else_are_refused_with_the_remedy(
    redis: RedisServer, registry: WorkerRegistry
) -> None:
    await redis.ask("SET", WORKERS, "someone's own")
    for attempt in (registry.snapshot, partial(registry.hold, ADDRESS, record("w1"), put_out=True)):
        with pytest.raises(VoiceplaneError, match=r"redis\.prefix") as caught:
            await attempt()
        assert (caught.value.reason, caught.value.field) == ("REGISTRY_REFUSED", "redis.prefix")
    async with WorkerRegistry.connect(RedisSection(url=redis.url, prefix="speech")) as own:
        await own.hold(ADDRESS, record("w1"), put_out=True)
        assert set((await own.snapshot()).leases) == {ADDRESS}


async def test_a_password_is_needed_and_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\n")
    async with redis_server(lines=("requirepass hush",)) as redis:
        for settings in (RedisSection(url=redis.url), RedisSection.model_validate({"url": redis.url, "password": "x"})):
            with pytest.raises(VoiceplaneError, match=r"redis\.password") as caught:
                async with WorkerRegistry.connect(settings):
                    pass
            assert caught.value.reason == "REGISTRY_REFUSED"
        async with WorkerRegistry.connect(RedisSection(url=redis.url, password_file=str(file))) as registry:
            await registry.snapshot()
        file.unlink()
        with pytest.raises(VoiceplaneError, match="name a readable file"):
            async with WorkerRegistry.connect(RedisSection(url=redis.url, password_file=str(file))):
                pass


async def test_the_rights_that_the_page_names_are_enough() -> None:
    async with redis_server() as redis:
        (command,) = re.findall(r"^(ACL SETUSER .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        await redis.ask(*command.replace("PASSWORD", "hush").split())
        url = redis.url.replace("redis://", "redis://voiceplane@")
        async with WorkerRegistry.connect(RedisSection.model_validate({"url": url, "password": "hush"})) as registry:
            await registry.listen()
            await registry.hold(ADDRESS, record("w1"), put_out=True)
            assert (await registry.snapshot()).leases
            assert await registry.leave(ADDRESS, "w1")
        settings = RedisSection.model_validate({"url": url, "password": "hush", "prefix": "others"})
        async with WorkerRegistry.connect(settings) as registry:
            with pytest.raises(VoiceplaneError, match="permissions of its user"):
                await registry.hold(ADDRESS, record("w1"), put_out=True)


async def test_tls_is_spoken_and_a_server_that_no_one_vouches_for_is_not_believed(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    identity = authority.issue("redis", user="redis", addresses=["IP:127.0.0.1"])
    server = RedisServer(tmp_path)
    secured = RedisServer(
        tmp_path,
        port=server.port,
        lines=(
            "port 0",
            f"tls-port {server.port}",
            f"tls-cert-file {identity.certificate}",
            f"tls-key-file {identity.key}",
            f"tls-ca-cert-file {authority.certificate}",
            "tls-auth-clients no",
        ),
    )
    async with secured:
        url = secured.url.replace("redis://", "rediss://")
        async with WorkerRegistry.connect(RedisSection(url=url, ca_file=str(authority.certificate))) as registry:
            assert (await registry.hold(ADDRESS, record("w1"), put_out=True)).ours
        with pytest.raises(VoiceplaneError, match=r"(?i)certificate") as caught:
            async with WorkerRegistry.connect(RedisSection(url=url)):
                pass
        assert caught.value.reason == "REGISTRY_UNREACHABLE"


async def test_of_several_hosts_the_primary_is_taken_and_a_replica_is_not(redis: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path, lines=(f"replicaof {redis.host} {redis.port}",))
    async with replica:
        with pytest.raises(VoiceplaneError, match="not the primary"):
            async with WorkerRegistry.connect(RedisSection(url=replica.url)):
                pass
        url = f"redis://127.0.0.1:1,{replica.host}:{replica.port},{redis.host}:{redis.port}"
        async with WorkerRegistry.connect(RedisSection(url=url)) as registry:
            assert registry.port == redis.port
            await redis.ask("REPLICAOF", replica.host, replica.port)
            with pytest.raises(VoiceplaneError) as caught:  # an error, or a lost connection, as the demoted one
                await registry.snapshot()
            assert caught.value.reason == "REGISTRY_UNREACHABLE"


async def test_the_doctor_names_who_has_registered_and_what_is_no_workers(
    redis: RedisServer, registry: WorkerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEPLANE_REDIS__URL", redis.url)
    await registry.hold(ADDRESS, record("w1"), put_out=True)
    found = await asyncio.to_thread(check_redis)
    assert found is not None
    assert (found.ok, found.found) == (True, f"1 workers: {ADDRESS}")
    await redis.ask("HSET", WORKERS, "someone", "hello")
    found = await asyncio.to_thread(check_redis)
    assert found is not None
    assert not found.ok
    assert "'someone' (Invalid JSON" in found.found

"""One connection to the worker registry. After a failure, open another one, which may lead to another server."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, RedisError, ResponseError

from voiceplane_common.addresses import joined
from voiceplane_common.errors import VoiceplaneError, failed_precondition, unavailable
from voiceplane_common.worker_registry.lua_scripts import LEAVE, RENEW
from voiceplane_common.worker_registry.records import RegistryKeys, Snapshot, WorkerRecord, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio.client import PubSub

    from voiceplane_common.worker_registry.settings import RedisSection, RedisTarget

# Timeout of one call; half of the shortest sensible lease.
TIMEOUT_S = 1.0
# Limit of a score, since another program may have written "inf".
LAST_MS = float(1 << 53)


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """The result of a claim.

    Attributes:
        ours: Whether the address is ours until the lease ends.
        before: The id of the worker that held it before; empty if it was free.
    """

    ours: bool
    before: str


class WorkerRegistry:
    """The registry, over one connection to the primary.

    Attributes:
        host: Of the Redis server.
        port: Likewise.
    """

    def __init__(self, client: Redis, *, host: str, port: int, prefix: str) -> None:
        """See connect."""
        self.host = host
        self.port = port
        self._client = client
        self._names = RegistryKeys.below(prefix)
        self._renew = client.register_script(RENEW)
        self._leave = client.register_script(LEAVE)
        self._listener: PubSub | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, settings: RedisSection) -> AsyncIterator[WorkerRegistry]:
        """A connection to the primary that answers.

        Raises:
            VoiceplaneError: UNAVAILABLE, REGISTRY_UNREACHABLE, or FAILED_PRECONDITION, REGISTRY_REFUSED.
        """
        target = settings.target
        options = await asyncio.to_thread(_options, settings, target)
        host, port = await _primary(target, options)
        async with Redis(host=host, port=port, db=target.database, **options) as client:
            with _translated_errors(host, port):
                await _check_role(client)
            registry = cls(client, host=host, port=port, prefix=settings.prefix)
            try:
                yield registry
            finally:
                if registry._listener is not None:
                    with contextlib.suppress(RedisError, OSError):
                        await registry._listener.aclose()  # type: ignore[no-untyped-call]

    async def hold(self, address: str, record: WorkerRecord, *, put_out: bool) -> LeaseClaim:
        """Hold an address for one lease from now.

        Args:
            address: "host:port".
            record: Who holds it.
            put_out: Take it from another worker whose lease has not ended.

        Raises:
            VoiceplaneError: As connect.
        """
        text = record.model_dump_json()
        put, lease_ms = str(int(put_out)), str(record.lease_ms)
        names = self._names
        with _translated_errors(self.host, self.port):
            before, ours = await self._renew(
                keys=[names.workers, names.leases, names.incarnation, names.changes],
                args=[address, record.worker_id, text, lease_ms, put, uuid.uuid4().hex],
            )
        return LeaseClaim(ours=bool(ours), before=before)

    async def leave(self, address: str, worker_id: str) -> bool:
        """Give an address up; returns whether it was that worker's.

        Raises:
            VoiceplaneError: As connect.
        """
        names = self._names
        with _translated_errors(self.host, self.port):
            keys = [names.workers, names.leases, names.incarnation, names.changes]
            return bool(await self._leave(keys=keys, args=[address, worker_id]))

    async def snapshot(self) -> Snapshot:
        """What stands there now.

        Raises:
            VoiceplaneError: As connect; so, too, if the server is no primary any more.
        """
        names = self._names
        with _translated_errors(self.host, self.port):
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.time()
                pipe.get(names.incarnation)
                pipe.hgetall(names.workers)
                pipe.zrange(names.leases, 0, -1, withscores=True)
                pipe.role()
                (seconds, micros), incarnation, workers, scores, role = await pipe.execute()
            _must_be_primary(role)
        return read(
            now_ms=seconds * 1000 + micros // 1000,
            incarnation=incarnation or "",
            workers=workers,
            ends_ms={address: int(max(0.0, min(score, LAST_MS))) for address, score in scores},
        )

    async def listen(self) -> None:
        """From now on, note changes for wait_changed.

        Raises:
            VoiceplaneError: As connect.
        """
        with _translated_errors(self.host, self.port):
            self._listener = self._client.pubsub(ignore_subscribe_messages=True)
            await self._listener.subscribe(self._names.changes)

    async def wait_changed(self, *, timeout_s: float) -> None:
        """Return after the next change, or at the timeout; only after listen().

        Raises:
            VoiceplaneError: As connect.
        """
        if self._listener is None:
            raise RuntimeError("listen() first")
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        with _translated_errors(self.host, self.port):
            # What is ignored, such as the subscription's own answer, ends a wait, too.
            while (left_s := deadline_s - asyncio.get_running_loop().time()) > 0:
                if await self._listener.get_message(timeout=left_s) is not None:
                    await self._drain(self._listener)
                    return

    @staticmethod
    async def _drain(listener: PubSub) -> None:
        """Take what has come already: many changes at once are one."""
        while await listener.get_message(timeout=0.0) is not None:
            pass


def _options(settings: RedisSection, target: RedisTarget) -> dict[str, Any]:
    secured = {"ssl": True, "ssl_ca_certs": settings.ca_file} if target.tls else {}
    return {
        "username": target.username or None,
        "password": _password(settings) or None,
        "protocol": 2,
        "decode_responses": True,
        "encoding_errors": "replace",  # invalid bytes of another program must not stop us
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),  # the caller handles a lost connection
        **secured,
    }


def _password(settings: RedisSection) -> str:
    if settings.password_file is None:
        return settings.password.get_secret_value()
    try:
        return Path(settings.password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        message = f"cannot read {settings.password_file}: {error.strerror}; name a readable file"
        raise failed_precondition("REGISTRY_REFUSED", message, field="redis.password_file") from None


async def _primary(target: RedisTarget, options: dict[str, Any]) -> tuple[str, int]:
    """Where the primary is: the first host that says so of itself, or that of which a Sentinel does."""
    if len(target.hosts) == 1 and not target.service:
        return target.hosts[0]
    last: VoiceplaneError | None = None
    for host, port in target.hosts:
        own = {**options, "username": None, "password": None} if target.service else options
        try:
            async with Redis(host=host, port=port, **own) as client:
                with _translated_errors(host, port):
                    if target.service:
                        ask = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", target.service)  # type: ignore[no-untyped-call]
                        found = await ask
                        if found:
                            return str(found[0]), int(found[1])
                        raise ResponseError(f"it knows no service {target.service}")
                    await _check_role(client)
                    return host, port
        except VoiceplaneError as error:
            last = error
    raise last or unavailable("REGISTRY_UNREACHABLE", "redis.url names no host")


async def _check_role(client: Redis) -> None:
    _must_be_primary(await client.role())


def _must_be_primary(role: list[Any]) -> None:
    if role[0] != "master":
        raise ReadOnlyError(f"it is a {role[0]}, not the primary")


@contextlib.contextmanager
def _translated_errors(host: str, port: int) -> Iterator[None]:
    """Translate the errors of the Redis client."""
    where = joined(host, port)
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        message = f"the Redis at {where} denies access: {error}; correct redis.password, or the permissions of its user"
        raise failed_precondition("REGISTRY_REFUSED", message, field="redis.password") from None
    except ReadOnlyError as error:
        raise unavailable("REGISTRY_UNREACHABLE", f"the Redis at {where} can't be written: {error}") from None
    except ResponseError as error:
        message = f"the Redis at {where} rejects a command: {error}; does another program use redis.prefix?"
        raise failed_precondition("REGISTRY_REFUSED", message, field="redis.prefix") from None
    except (RedisError, OSError) as error:
        message = f"the Redis at {where} can't be reached: {str(error) or type(error).__name__}"
        raise unavailable("REGISTRY_UNREACHABLE", message, retry_after_ms=1000) from None

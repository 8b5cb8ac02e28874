"""When the operator counts as alive, and when as ready."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, cast

import aiohttp
import pytest
from voiceplane_operator.health import Health

from tests.support import virtual_time

if TYPE_CHECKING:
    from aiohttp import web
    from voiceplane_common.kube.informer import Informer

STALE_S = 600.0
REQUEST = cast("web.Request", None)


class FakeInformer:
    """An informer whose last answer was so many seconds ago; None: it has had none."""

    def __init__(self, kind: str, ago_s: float | None = 0.0) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        if ago_s is not None:
            self.synced.set()
        self.contact = asyncio.get_running_loop().time() - (ago_s or 0.0)


def judging(*informers: FakeInformer) -> Health:
    return Health([cast("Informer", each) for each in informers], stale_s=STALE_S)


@pytest.mark.parametrize(
    ("pods_ago_s", "deployments_ago_s", "named", "alive", "ready"),
    [
        (0.0, 0.0, "", 200, 200),
        (STALE_S, 0.0, "", 200, 200),
        (STALE_S + 1, 0.0, "Pod", 503, 503),
        (0.0, STALE_S + 1, "Deployment", 503, 503),
        (None, 0.0, "Pod", 200, 503),
        (0.0, None, "Deployment", 200, 503),
        (None, None, "Pod", 200, 503),
    ],
)
def test_health_follows_from_the_last_answer_of_the_server(
    pods_ago_s: float | None, deployments_ago_s: float | None, named: str, alive: int, ready: int
) -> None:
    async def scenario() -> None:
        health = judging(FakeInformer("Pod", pods_ago_s), FakeInformer("Deployment", deployments_ago_s))
        problem = health.problem()
        assert named in problem
        assert bool(named) == bool(problem)
        for status, answer in ((alive, await health._alive(REQUEST)), (ready, await health._ready(REQUEST))):
            assert answer.status == status
            assert answer.text == ("ok" if status == 200 else problem)

    virtual_time.run(scenario())


def test_a_stale_watch_is_healthy_again_after_the_next_answer() -> None:
    async def scenario() -> None:
        pods = FakeInformer("Pod")
        health = judging(pods)
        await asyncio.sleep(STALE_S + 0.5)
        assert health.problem()
        pods.contact = asyncio.get_running_loop().time()
        assert health.problem() == ""

    virtual_time.run(scenario())


def test_without_watches_it_is_healthy() -> None:
    async def scenario() -> None:
        assert judging().problem() == ""

    virtual_time.run(scenario())


async def test_both_answers_are_served_until_it_is_closed() -> None:
    health = judging(FakeInformer("Pod", None))
    port = await health.serve(0)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(health.close)
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        assert health._runner is not None
        ((address, *_),) = health._runner.addresses
        assert (address == "::") == socket.has_dualstack_ipv6(), "a kubelet may use either address family"
        async with http.get("/healthz") as alive:
            assert (alive.status, await alive.text()) == (200, "ok")
        async with http.get("/readyz") as ready:
            assert ready.status == 503
            assert "Pod" in await ready.text()
        async with http.get("/") as other:
            assert other.status == 404
        await health.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get("/healthz")


async def test_close_before_serve_is_no_error() -> None:
    await judging().close()
    assert judging().problem() == ""

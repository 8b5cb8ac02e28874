"""Addresses that are given, and change."""

from __future__ import annotations

import asyncio

from voiceplane_orchestrator.discovery.static import StaticDiscovery


async def test_the_present_set_is_reported_at_once_and_each_change_after_it() -> None:
    discovery = StaticDiscovery(["a:1"])
    watch = aiter(discovery.watch())
    assert await anext(watch) == {"a:1": True}
    await discovery.replace(["a:1", "b:2"])
    assert await anext(watch) == {"a:1": True, "b:2": True}


async def test_a_watcher_waits_while_nothing_changes() -> None:
    discovery = StaticDiscovery(["a:1"])
    watch = aiter(discovery.watch())
    await anext(watch)
    coming = asyncio.ensure_future(anext(watch))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not coming.done()
    await discovery.replace([])
    assert await coming == {}


async def test_a_slow_watcher_gets_the_latest_set_only() -> None:
    discovery = StaticDiscovery(["a:1"])
    watch = aiter(discovery.watch())
    await anext(watch)
    await discovery.replace(["b:2"])
    await discovery.replace(["c:3"])
    assert await anext(watch) == {"c:3": True}


async def test_every_watcher_is_notified() -> None:
    discovery = StaticDiscovery(["a:1"])
    watches = [aiter(discovery.watch()) for _ in range(3)]
    assert [await anext(watch) for watch in watches] == [{"a:1": True}] * 3
    await discovery.replace(["b:2"])
    assert [await anext(watch) for watch in watches] == [{"b:2": True}] * 3


async def test_closing_ends_the_watchers() -> None:
    discovery = StaticDiscovery(["a:1"])
    watch = aiter(discovery.watch())
    await anext(watch)
    coming = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await discovery.aclose()
    assert await coming is None

"""A fixed list of addresses, from the configuration; tests can replace it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class StaticDiscovery:
    """A list of addresses in this process."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses = frozenset(addresses)
        self._version = 0
        self._changed = asyncio.Condition()
        self._closed = False

    async def replace(self, addresses: Iterable[str]) -> None:
        """Replace the addresses."""
        async with self._changed:
            self._addresses = frozenset(addresses)
            self._version += 1
            self._changed.notify_all()

    async def start(self) -> None:
        """See Discovery."""

    async def demand(self, model_id: str) -> bool:
        """See Discovery; no other workers can be started."""
        return False

    async def watch(self) -> AsyncIterator[dict[str, bool]]:
        """See Discovery."""
        yielded = -1
        while not self._closed:
            async with self._changed:
                while yielded == self._version and not self._closed:
                    await self._changed.wait()
            if not self._closed:
                yielded = self._version
                yield dict.fromkeys(self._addresses, True)

    async def aclose(self) -> None:
        """End the iterators."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

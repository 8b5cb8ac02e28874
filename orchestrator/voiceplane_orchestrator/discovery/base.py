"""What tells where the workers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Discovery(Protocol):
    """A source of worker addresses."""

    def watch(self) -> AsyncIterator[frozenset[str]]:
        """The addresses ("host:port", "unix:/path") now, then again after each change, for as long as it is read."""
        ...

    async def aclose(self) -> None:
        """Let go of what is held; the iterators end."""
        ...

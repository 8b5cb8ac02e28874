"""What tells where the workers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Discovery(Protocol):
    """A source of worker addresses."""

    async def start(self) -> None:
        """Prepare.

        Raises:
            VoiceplaneError: It can't work as it is set up.
        """
        ...

    def watch(self) -> AsyncIterator[Mapping[str, bool]]:
        """The workers now, then again after each change, for as long as it is read.

        Yields:
            By address ("host:port", "unix:/path"): whether the worker is open to new sessions. One that is not named
            any more finishes what it is saying, and gets nothing else.
        """
        ...

    async def demand(self, model_id: str) -> bool:
        """A session has found no worker; those that could be started for it are asked for.

        Args:
            model_id: What the session wants; empty for any default model.

        Returns:
            Whether one is being started.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what is held; the iterators end."""
        ...

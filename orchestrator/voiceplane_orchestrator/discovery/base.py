"""The interface of worker discovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Discovery(Protocol):
    """A source of worker addresses."""

    async def start(self) -> None:
        """Prepare.

        Raises:
            VoiceplaneError: The configuration does not work.
        """
        ...

    def watch(self) -> AsyncIterator[Mapping[str, bool]]:
        """The present workers, then the workers after each change.

        Yields:
            By address ("host:port", "unix:/path"): whether the worker takes new sessions. A worker that is no longer
            included finishes its current utterances, and gets no others.
        """
        ...

    async def demand(self, model_id: str) -> bool:
        """Request that a worker is started for a session that found none.

        Args:
            model_id: The model that the session requests; empty for a default model.

        Returns:
            Whether a worker is being started.
        """
        ...

    async def aclose(self) -> None:
        """Free everything; the iterators end."""
        ...

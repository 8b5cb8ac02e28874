"""Writes statuses and their events.

Important changes are written at once, the progress of a fetch every second, counters of sessions every ten seconds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from voiceplane_common.kube.names import API_VERSION

from voiceplane_operator.events import record_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.kube.api import Api

    from voiceplane_operator.reconcile.store import Store
    from voiceplane_operator.reconcile.work_queue import WorkItem, WorkQueue
    from voiceplane_operator.resources import Meta

# Fields that change with every session are written at most this often, all others at once.
VOLATILE_EVERY_S = 10.0
VOLATILE_FIELDS = frozenset({"sessions", "queueDepth", "lastUsed", "expiresAt", "references"})
PROGRESS_EVERY_S = 1.0
PROGRESS_FIELDS = frozenset({"fetchedBytes", "fetchBytes", "fetchBytesPerSecond"})


class StatusWriter:
    """Writes the statuses of VoiceModels and TTSWorkerPools."""

    def __init__(self, *, api: Api, store: Store, queue: WorkQueue) -> None:
        """Prepare.

        Args:
            api: The API server.
            store: Gets each status as the API server has accepted it.
            queue: Brings an item back whose write was put off.
        """
        self._api = api
        self._store = store
        self._queue = queue
        self._written_at: dict[WorkItem, float] = {}

    async def write(self, item: WorkItem, meta: Meta, *, before: Mapping[str, Any], status: dict[str, Any]) -> None:
        """Write a status that differs from the one before, and an event if Ready changed or a degradation began.

        Raises:
            ApiError: The API server refused it.
        """
        if before == status:
            return
        now = asyncio.get_running_loop().time()
        every_s = _written_every_s(before, status)
        wait_s = self._written_at.get(item, -every_s) + every_s - now
        if wait_s > 0:
            self._queue.add_later(item, wait_s)
            return
        self._written_at[item] = now
        namespace, name = item.key
        body = await self._api.replace_status(API_VERSION, item.kind, namespace, name, uid=meta.uid, status=status)
        self._store.observe(item.kind, body, gone=False)
        degraded = _condition(status, "Degraded")
        warning = degraded.get("status") == "True"
        if _changed(before, status, "Ready"):
            reported = _condition(status, "Ready")
        elif warning and _changed(before, status, "Degraded"):
            reported = degraded
        else:
            return
        await record_event(
            self._api, item.kind, meta, warning=warning, reason=reported["reason"], message=reported["message"]
        )

    def forget(self, item: WorkItem) -> None:
        """An object was deleted."""
        self._written_at.pop(item, None)


def without_volatile(value: Any) -> Any:
    """A status without the fields that change with every session."""
    if isinstance(value, dict):
        return {key: without_volatile(each) for key, each in value.items() if key not in VOLATILE_FIELDS}
    if isinstance(value, list):
        return [without_volatile(each) for each in value]
    return value


def _written_every_s(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """How often a change like this one is written; 0 for at once."""
    old, new = without_volatile(before), without_volatile(after)
    if old == new:
        return VOLATILE_EVERY_S
    return PROGRESS_EVERY_S if _without_progress(old) == _without_progress(new) else 0.0


def _without_progress(value: Any) -> Any:
    """A status without what tells how far a fetch is."""
    if isinstance(value, dict):
        left_out = PROGRESS_FIELDS | ({"message"} if value.get("type") == "Fetched" else set())
        return {key: _without_progress(each) for key, each in value.items() if key not in left_out}
    return [_without_progress(each) for each in value] if isinstance(value, list) else value


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], type_: str) -> bool:
    """Whether a condition has another status or reason."""
    old, new = _condition(before, type_), _condition(after, type_)
    return (old.get("status"), old.get("reason")) != (new.get("status"), new.get("reason"))


def _condition(status: Mapping[str, Any], type_: str) -> dict[str, Any]:
    return next((dict(each) for each in status.get("conditions") or () if each["type"] == type_), {})

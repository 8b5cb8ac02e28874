"""A local copy of some of the cluster's objects, kept true by a watch that only asks for those."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from voiceplane_common.kube.api import ApiError, Key
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_common.kube.api import Api

FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 10.0
# A watch that lasted this long did not fail at once, and the backoff starts again.
STEADY_S = 30.0
GONE = 410

_log = get_logger("informer")


class Informer:
    """The objects of one kind and one selector, in one namespace or in all.

    Attributes:
        kind: Such as Pod.
        objects: As they were last seen.
        synced: Set once the first list is in.
        contact: When the server was last heard of, in the event loop's seconds.
    """

    def __init__(
        self,
        api: Api,
        *,
        api_version: str,
        kind: str,
        namespace: str | None,
        changed: Callable[[Key, dict[str, Any] | None], None],
        selector: str = "",
    ) -> None:
        """Prepare; `run` watches.

        Args:
            api: The server.
            api_version: Of the kind.
            kind: Such as Pod.
            namespace: None for all.
            changed: Called with each object that is new or changed, and with None for one that has gone.
            selector: A label selector that the server applies.
        """
        self._api = api
        self.kind = kind
        self._what = (api_version, kind, namespace)
        self._selector = selector
        self._changed = changed
        self.objects: dict[Key, dict[str, Any]] = {}
        self.synced = asyncio.Event()
        self.contact = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s, version = FIRST_PAUSE_S, ""
        while True:
            began, before = loop.time(), version
            try:
                before = version = version or await self._relist()
                async for event in self._api.watch(*self._what, selector=self._selector, resource_version=version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._note(event)
                self._heard()
                if version != before:
                    pause_s = FIRST_PAUSE_S
                    continue
            except ApiError as error:
                if error.status != GONE:
                    _log.warning("watch_broken", kind=self._what[1], error=str(error))
            # The version may be too old. Or it lies in the future, since etcd was restored from a backup: then a watch
            # from it gets nothing until history has come so far, not even an error. So the objects are listed again.
            if version != before or loop.time() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            version = ""
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311  # jitter
            pause_s = min(LAST_PAUSE_S, pause_s * 2)

    async def _relist(self) -> str:
        answer = await self._api.list(*self._what, self._selector)
        present = {_key(item): item for item in answer["items"]}
        for key in [key for key in self.objects if key not in present]:
            del self.objects[key]
            self._changed(key, None)
        for key, item in present.items():
            if item != self.objects.get(key):
                self.objects[key] = item
                self._changed(key, item)
        self._heard()
        self.synced.set()
        return str(answer["metadata"]["resourceVersion"])

    def _note(self, event: dict[str, Any]) -> None:
        self._heard()
        item = event["object"]
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self.objects[_key(item)] = item
                self._changed(_key(item), item)
            case "DELETED":
                self.objects.pop(_key(item), None)
                self._changed(_key(item), None)

    def _heard(self) -> None:
        self.contact = asyncio.get_running_loop().time()


def _key(item: dict[str, Any]) -> Key:
    return Key(item["metadata"]["namespace"], item["metadata"]["name"])

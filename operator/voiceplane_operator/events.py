"""Kubernetes Events, as `kubectl describe` shows them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from voiceplane_common.kube.api import ApiError
from voiceplane_common.kube.names import API_VERSION
from voiceplane_common.logs import get_logger

from voiceplane_operator.names import FIELD_MANAGER

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Api

    from voiceplane_operator.resources import Meta

MAX_MESSAGE_CHARS = 1024
# An event's name is the object's, shortened so that a dot and 16 digits fit.
MAX_NAME_CHARS = 253 - 17

_log = get_logger("events")


async def record_event(api: Api, kind: str, meta: Meta, *, warning: bool, reason: str, message: str) -> None:
    """Write an event about one of our objects. A failure is logged only: nothing depends on an event."""
    try:
        await api.create(event(kind, meta, warning=warning, reason=reason, message=message, now=datetime.now(UTC)))
    except ApiError as error:
        _log.warning("event_not_written", kind=kind, name="/".join(meta.key), error=str(error))


def event(kind: str, meta: Meta, *, warning: bool, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """The manifest of an event about one of our objects."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    stem = meta.key.name[:MAX_NAME_CHARS].rstrip("-.")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{stem}.{uuid.uuid4().hex[:16]}", "namespace": meta.key.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "namespace": meta.key.namespace,
            "name": meta.key.name,
            "uid": meta.uid,
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:MAX_MESSAGE_CHARS] or reason,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": "",
    }

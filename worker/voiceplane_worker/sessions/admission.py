"""Admission of sessions: whether the worker takes one more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from voiceplane_common.errors import VoiceplaneError, exhausted, unavailable

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

RETRY_AFTER_MS = 1000


def admit_session(session_id: str, *, taken: AbstractSet[str], limit: int, draining: bool) -> None:
    """Refuse a session that the worker can't take.

    Args:
        session_id: Of the new session.
        taken: The ids of the open sessions, and of those that are being opened.
        limit: Sessions at once.
        draining: Whether the worker is about to exit.

    Raises:
        VoiceplaneError: UNAVAILABLE, DRAINING. RESOURCE_EXHAUSTED, SESSIONS_EXHAUSTED. ALREADY_EXISTS, SESSION_EXISTS.
    """
    if draining:
        raise draining_error()
    if len(taken) >= limit:
        message = f"all {limit} sessions of this worker are in use: end one, or use another worker"
        raise exhausted("SESSIONS_EXHAUSTED", message, retry_after_ms=RETRY_AFTER_MS)
    if session_id in taken:
        message = f"session {session_id!r} is open: end it first, or choose another id"
        raise VoiceplaneError(grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS", message, field="session_id")


def draining_error() -> VoiceplaneError:
    """The error of a session that a draining worker refuses."""
    return unavailable("DRAINING", "this worker is about to exit and takes no new session: use another worker")

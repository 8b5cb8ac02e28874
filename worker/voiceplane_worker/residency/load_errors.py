"""Errors of failed loads, and the backoff before a retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from voiceplane_common.errors import VoiceplaneError, unavailable

if TYPE_CHECKING:
    import asyncio

    from voiceplane_worker.residency.model_status import ModelState

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0


def backoff_s(failures: int) -> float:
    """How long sessions must not start another load, after `failures` earlier failures."""
    return float(min(FIRST_BACKOFF_S * 2.0 ** min(failures, 16), LONGEST_BACKOFF_S))


def load_failed(model_id: str, work: asyncio.Task[Any]) -> VoiceplaneError | None:
    """Why a load that has ended failed; None if it did not."""
    error = None if work.cancelled() else work.exception()
    if error is None and not work.cancelled():
        return None
    if isinstance(error, VoiceplaneError):
        return error
    what = f"{type(error).__name__}: {error}" if error else "it was cancelled"
    message = f"model {model_id!r} could not be loaded: {' '.join(what.split())}"
    return VoiceplaneError(grpc.StatusCode.INTERNAL, "LOAD_FAILED", message)


def load_timed_out(model_id: str, phase: ModelState, *, timeout_s: float) -> VoiceplaneError:
    """The error of a load that took too long."""
    message = (
        f"model {model_id!r} was still {phase.value} after {timeout_s:g} s: raise model_manager.load_timeout_ms, "
        "or the model's own load_timeout_ms"
    )
    return unavailable("LOAD_TIMEOUT", message)

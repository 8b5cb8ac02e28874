"""When a failed call of a worker is made again: exponential backoff for each model and declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

FIRST_RETRY_S = 5.0
MAX_RETRY_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryState:
    """A call that failed on a worker.

    Attributes:
        declaration: What was to be loaded; empty if the model was to be unloaded.
        error: The error of LoadModel; None if the call succeeded and the load itself failed, which the worker's state
            reports.
        attempts: Failed attempts so far.
        retry_at: Monotonic seconds before which the call is not made again.
    """

    declaration: str
    error: VoiceplaneError | None
    attempts: int
    retry_at: float

    def delays(self, declaration: str, *, now: float) -> bool:
        """Whether a call for this declaration has to wait."""
        return self.declaration == declaration and now < self.retry_at


def after_failure(
    before: RetryState | None, declaration: str, error: VoiceplaneError | None, *, now: float
) -> RetryState:
    """The state after another failure; a new declaration starts from the first delay."""
    attempts = before.attempts + 1 if before and before.declaration == declaration else 1
    delay_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** (attempts - 1))
    return RetryState(declaration=declaration, error=error, attempts=attempts, retry_at=now + delay_s)

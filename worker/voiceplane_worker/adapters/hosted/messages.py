"""What a worker and the child process of a model say to each other: calls and their answers, as pickles on a socket.

Both ends are the same program on the same machine; nothing of this comes from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A method of the child's Host, with its arguments; each is answered once."""

    number: int
    method: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the method returned, or why it failed."""

    number: int
    value: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model in the child.

    Attributes:
        number: Its name in later calls.
        sample_rate_hz: See Model.
        voices: See Model.
        memory_bytes: See Model.
    """

    number: int
    sample_rate_hz: int
    voices: tuple[Voice, ...]
    memory_bytes: int


def portable(error: Exception) -> Exception:
    """An error as the other side can read it, who may not have the library that raised it."""
    if isinstance(error, VoiceplaneError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")

"""What a TTS family implements: load a pack, then turn one piece of text into chunks of samples.

Everything else is done once, for all families, outside of the adapter: splitting text into pieces, scheduling on the
device, resampling, loudness, frames, pacing, PAUSE, RESUME, STOP and metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.packs.pack import VoicePack

Samples = NDArray[np.float32]
"""Mono audio, shape (n,), nominally within -1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice of a model.

    Attributes:
        name: Unique within its model.
        language: BCP 47, such as "en-US".
    """

    name: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTraits:
    """What every model of a family can do."""

    name: str
    streaming: bool
    voice_cloning: bool = False
    lora: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of text for the model: a clause, a sentence, or a few of them.

    Attributes:
        text: Not empty, without surrounding white space.
        voice: The name of one of the model's voices.
        language: BCP 47.
        speed: Speaking rate; 2.0 is twice as fast.
    """

    text: str
    voice: str
    language: str
    speed: float = 1.0


class Model(Protocol):
    """A loaded model. Its methods run on compute threads, several at once, never on the event loop."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate of the samples that synthesize yields."""
        ...

    @property
    def voices(self) -> tuple[Voice, ...]:
        """At least one; the first is the default."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Memory that the model holds: its weights, and what it keeps between calls."""
        ...

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield the piece's audio in chunks, the first as early as the model can.

        The base asks for the next chunk only when it has room for it, and closes the iterator to cancel; so the compute
        between two chunks is the longest time that a STOP has to wait for. Text without anything to speak yields
        nothing.
        """
        ...

    def close(self) -> None:
        """Free everything; called once, when nothing uses the model any more."""
        ...


@runtime_checkable
class LoraBase(Model, Protocol):
    """A loaded model to which LoRA adapters can be attached; that of a family whose traits say so."""

    def attach(self, pack: VoicePack) -> Model:
        """Attach an adapter beside those that are there; blocking, run on a loader thread.

        The base is not loaded again and goes on speaking as before. It outlives what this returns, whose close()
        frees the adapter alone.

        Args:
            pack: The checked voice pack of the adapter.

        Raises:
            VoiceplaneError: The adapter can't be attached: FAILED_PRECONDITION, with a reason such as PACK_INVALID.
        """
        ...


@runtime_checkable
class Crashable(Protocol):
    """A loaded model whose process may crash."""

    def on_crash(self, notify: Callable[[VoiceplaneError], None]) -> None:
        """Register a callback for a crash, called on any thread; utterances of the model end with the same error."""
        ...


class Adapter(Protocol):
    """A TTS family."""

    @property
    def traits(self) -> FamilyTraits:
        """What its models can do."""
        ...

    def load(self, pack: VoicePack, *, device: str, threads: int) -> Model:
        """Load a pack; blocking, run on a loader thread.

        Args:
            pack: The checked voice pack.
            device: "cpu", "cuda" or "cuda:N".
            threads: Threads that one inference call may use on a CPU.

        Raises:
            VoiceplaneError: The pack can't be loaded: FAILED_PRECONDITION, with a reason such as PACK_INVALID.
        """
        ...

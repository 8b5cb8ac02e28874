"""Any family, each of its base models in a child process: the same to the outside."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

from voiceplane_common.errors import VoiceplaneError

from voiceplane_worker.adapters.hosted.process import ChildProcess
from voiceplane_worker.adapters.plugins import traits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voiceplane_worker.adapters.base import FamilyTraits, Piece, Samples
    from voiceplane_worker.adapters.hosted.messages import ModelFacts
    from voiceplane_worker.packs.pack import VoicePack


class HostedAdapter:
    """A family whose libraries this process never imports."""

    def __init__(self, family: str) -> None:
        """Prepare.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION: the family or a library that it needs is not installed here.
        """
        self._traits = traits_of(family)

    @property
    def traits(self) -> FamilyTraits:
        """The family's own."""
        return self._traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> HostedModel:
        """Load a pack in a new process; see Adapter.load."""
        process = ChildProcess(pack.metadata.model_id)
        try:
            facts = cast("ModelFacts", process.call("load", self._traits.name, pack, device, threads))
        except BaseException:
            process.close()
            raise
        return HostedBase(process, facts) if self._traits.lora else HostedModel(process, facts)


class HostedVoices:
    """A model in a child process, which may crash; see Crashable."""

    def __init__(self, process: ChildProcess, facts: ModelFacts) -> None:
        self._process = process
        self._number = facts.number
        self.sample_rate_hz = facts.sample_rate_hz
        self.voices = facts.voices
        self.memory_bytes = facts.memory_bytes

    @property
    def pid(self) -> int:
        """The child process."""
        return self._process.pid

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio; see Model.synthesize. The child computes a chunk when it is asked for, and no more."""
        stream = self._process.call("start", self._number, piece)
        try:
            while (samples := cast("Samples | None", self._process.call("step", stream))) is not None:
                yield samples
        finally:
            with contextlib.suppress(VoiceplaneError):  # it has ended, and the stream with it
                self._process.call("stop", stream)

    def on_crash(self, notify: Callable[[VoiceplaneError], None]) -> None:
        """See Crashable.on_crash."""
        self._process.on_crash(notify)

    def close(self) -> None:
        """Free the adapter, and leave the process to its base; see Model.close."""
        with contextlib.suppress(VoiceplaneError):
            self._process.call("close", self._number)


class HostedModel(HostedVoices):
    """A model that has the process for itself."""

    def close(self) -> None:
        """End the process; see Model.close."""
        self._process.close()


class HostedBase(HostedModel):
    """A model that takes adapters, which live in its process; see LoraBase."""

    def attach(self, pack: VoicePack) -> HostedVoices:
        """Attach an adapter; see LoraBase.attach."""
        return HostedVoices(self._process, cast("ModelFacts", self._process.call("attach", self._number, pack)))

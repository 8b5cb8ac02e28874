"""What a session hands to its stream: the client's choices, and the services that all sessions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voiceplane_worker.residency.memory_recovery import MemoryRecovery
    from voiceplane_worker.residency.model_reference import ModelReference
    from voiceplane_worker.scheduler import DeadlineScheduler
    from voiceplane_worker.sessions.load_metrics import LoadMetrics
    from voiceplane_worker.sessions.synthesizer import VoiceSettings
    from voiceplane_worker.settings import WorkerSection
    from voiceplane_worker.text.policy import TextPolicy
    from voiceplane_worker.text.segmenter import Segmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionProfile:
    """The choices of the client in StartSession."""

    voice_settings: VoiceSettings
    segmentation: Segmentation
    text_policy: TextPolicy
    credit_flow_control: bool
    unpaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """What all sessions of a worker share."""

    settings: WorkerSection
    scheduler: DeadlineScheduler
    load: LoadMetrics
    memory: MemoryRecovery


class StreamSession(Protocol):
    """A session as its stream sees it.

    Attributes:
        epoch: The generation epoch; frames of an older one are never sent.
    """

    session_id: str
    model_ref: ModelReference
    profile: SessionProfile
    services: SessionServices
    epoch: int

    def next_sequence(self) -> int:
        """The sequence number of the next frame."""
        ...

    def raise_epoch(self, epoch: int) -> int:
        """Enter a newer epoch and drop the frames of older ones; returns how many were dropped."""
        ...

"""What routing knows of the workers at one moment: plain data, so that decisions can be tested and explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceView:
    """A voice and its language (BCP 47)."""

    name: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A model on one worker; the fields are those of the ABI's ModelStatus.

    Attributes:
        languages: The languages that it speaks; if empty, those of its voices.
        prefetched: Whether its pack lies on the worker's machine, though it is not loaded.
        unloadable: Whether this worker can never load it; reason and message say why.
    """

    model_id: str
    family: str
    state: str
    reason: str = ""
    message: str = ""
    references: int = 0
    memory_bytes: int = 0
    is_default: bool = False
    voices: tuple[VoiceView, ...] = ()
    languages: tuple[str, ...] = ()
    fetched_bytes: int = 0
    fetch_bytes: int = 0
    fetch_bytes_per_s: int = 0
    prefetched: bool = False
    unloadable: bool = False

    @property
    def availability(self) -> Literal["now", "loadable", "never"]:
        """Whether it can speak now, after a load, or never on this worker."""
        if self.unloadable:
            return "never"
        return "now" if self.resident else "loadable"

    @property
    def resident(self) -> bool:
        """Whether a session can begin without loading."""
        return self.state == "resident"

    def speaks(self, language: str) -> bool:
        """Whether it speaks the language; True if none is requested or its languages are unknown."""
        languages = self.languages or tuple(voice.language for voice in self.voices)
        return not language or not languages or primary(language) in map(primary, languages)

    def has_voice(self, name: str) -> bool:
        """Whether it has a voice of that name; True if none is requested or its voices are unknown."""
        return not name or not self.voices or any(voice.name == name for voice in self.voices)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker; the fields are those of the ABI's WorkerState and GetCapabilities.

    Attributes:
        address: Where it listens.
        open: Whether discovery allows new sessions.
        connected: Whether its state is being watched; if not, the other fields are the last known ones.
        barred: Whether the circuit breaker keeps sessions away.
        full: Whether it is barred because it had no room for a session.
        device_memory_bytes: The memory of its GPU; 0 if it has none, or if it can't be measured.
        device_memory_used_bytes: What of it is in use.
        families: The families whose models it can load.
    """

    address: str
    open: bool = True
    connected: bool = False
    barred: bool = False
    full: bool = False
    ready: bool = False
    draining: bool = False
    worker_id: str = ""
    device: str = ""
    families: tuple[str, ...] = ()
    models: tuple[ModelView, ...] = ()
    sessions: int = 0
    max_sessions: int = 0
    queue_depth: int = 0
    first_audio_p50_ms: float = 0.0
    rtf_p50: float = 0.0
    device_memory_bytes: int = 0
    device_memory_used_bytes: int = 0

    @property
    def takes_sessions(self) -> bool:
        """Whether a new session may be sent here."""
        full = self.max_sessions > 0 and self.sessions >= self.max_sessions
        return self.open and self.connected and not self.barred and not self.draining and not full

    @property
    def status(self) -> str:
        """One of metrics.WORKER_STATES."""
        if not self.connected:
            return "lost"
        if self.draining:
            return "draining"
        if self.barred and not self.full:
            return "barred"
        if not self.ready:
            return "not_ready"
        return "ready" if self.takes_sessions else "full"

    def model(self, model_id: str) -> ModelView | None:
        """A model that the worker knows; empty for its default."""
        for model in self.models:
            if model.model_id == model_id or (not model_id and model.is_default):
                return model
        return None


def primary(language: str) -> str:
    """The primary subtag of a BCP 47 tag."""
    return language.replace("_", "-").partition("-")[0].lower()

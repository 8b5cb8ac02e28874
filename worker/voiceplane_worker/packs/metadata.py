"""The schema of a voice pack's metadata.yaml."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section


class PackVoice(Section):
    """A voice: its name and its language (BCP 47)."""

    name: str
    language: str


class PackSource(Section):
    """Where the pack's files come from."""

    uri: str
    sha256: str = ""


class PackMetadata(Section):
    """metadata.yaml."""

    model_id: str
    family: str
    description: str = ""
    licence: str
    source: PackSource | None = None
    voices: tuple[PackVoice, ...] = Field(min_length=1)
    warm_up_text: str = "Hello there."
    files: dict[str, str] = Field(default_factory=dict)
    options: dict[str, str] = Field(default_factory=dict)

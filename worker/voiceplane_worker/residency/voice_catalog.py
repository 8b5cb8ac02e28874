"""The voices and languages that a model offers to sessions: those of its pack, limited by its declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from voiceplane_common.errors import invalid

from voiceplane_worker.adapters.base import Voice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceplane_worker.residency.model_spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceCatalog:
    """Voices and languages.

    Attributes:
        voices: The first is the default. At least one, if the model is resident.
        languages: BCP 47; empty: those of the voices.
    """

    voices: tuple[Voice, ...]
    languages: tuple[str, ...] = ()


class Named(Protocol):
    """A voice of a pack or of a loaded model."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def language(self) -> str: ...  # noqa: D102


def expected_voice_catalog(spec: ModelSpec, voices: Sequence[Named]) -> VoiceCatalog:
    """The voice catalog of a model before its load, as far as it is known; wrong names show at the load."""
    languages = {voice.name: voice.language for voice in voices}
    wanted = [(voice.name, voice.language or languages.get(voice.name, "")) for voice in spec.voices]
    named = wanted or list(languages.items())
    return VoiceCatalog(voices=tuple(Voice(name=name, language=tag) for name, tag in named), languages=spec.languages)


def voice_catalog_of(spec: ModelSpec, voices: Sequence[Named]) -> VoiceCatalog:
    """The voices of a model that a spec names, in the spec's order and with its languages.

    Args:
        spec: The declaration; if it names no voices, all are offered.
        voices: Of the model.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: the spec names a voice that the model does not have.
    """
    names = [voice.name for voice in voices]
    for voice in spec.voices:
        if voice.name not in names:
            message = f"model {spec.model_id!r} has no voice {voice.name!r}: its voices are {', '.join(names)}"
            raise invalid("voices", message, reason="UNKNOWN_VOICE")
    return expected_voice_catalog(spec, voices)

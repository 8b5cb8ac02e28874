"""Validates StartSession requests, and selects the voice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voiceplane_common.errors import invalid, not_found
from voiceplane_common.frames import SAMPLE_RATE_HZ
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.text.policy import Emoji, Markup, Normalise, TextPolicy

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Voice
    from voiceplane_worker.residency.voice_catalog import VoiceCatalog
    from voiceplane_worker.settings import WorkerSection

MIN_SPEED, MAX_SPEED = 0.25, 4.0
MAX_ID_CHARS = 128
MARKUPS: dict[int, Markup] = {
    tts_pb2.MARKUP_STRIP: "strip",
    tts_pb2.MARKUP_SPEAK: "speak",
    tts_pb2.MARKUP_SSML: "ssml",
}
EMOJIS: dict[int, Emoji] = {tts_pb2.EMOJI_DROP: "drop", tts_pb2.EMOJI_NAME: "name"}
NORMALISES: dict[int, Normalise] = {tts_pb2.NORMALISE_FULL: "full", tts_pb2.NORMALISE_NONE: "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """A validated StartSessionRequest; the fields are the proto's. None leaves a choice to the worker's settings."""

    session_id: str
    model_id: str
    voice: str
    language: str
    speed: float
    segmentation: Literal["clause", "sentence"]
    markup: Markup | None
    emoji: Emoji | None
    normalise: Normalise | None
    inline_phonemes: bool
    credit_flow_control: bool
    only_if_resident: bool
    unpaced: bool

    @classmethod
    def from_proto(cls, request: tts_pb2.StartSessionRequest) -> SessionRequest:
        """Validate a request.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT, naming the field and what is accepted.
        """
        if request.sample_rate_hz not in {0, SAMPLE_RATE_HZ}:
            raise invalid(
                "sample_rate_hz",
                f"sample_rate_hz {request.sample_rate_hz} is not supported: leave it 0 or set it to {SAMPLE_RATE_HZ}",
            )
        speed = request.speed or 1.0
        if not (math.isfinite(speed) and MIN_SPEED <= speed <= MAX_SPEED):
            raise invalid("speed", f"speed {speed:g} is out of range: use {MIN_SPEED} to {MAX_SPEED}, or 0 for 1.0")
        if len(request.session_id) > MAX_ID_CHARS:
            raise invalid("session_id", f"session_id is longer than {MAX_ID_CHARS} characters: shorten it")
        for field, known in (("markup", MARKUPS), ("emoji", EMOJIS), ("normalise", NORMALISES)):
            value = getattr(request, field)
            if value and value not in known:
                raise invalid(field, f"{field} {value} is unknown: use one of {', '.join(map(str, known))}, or 0")
        if request.pacing not in tts_pb2.Pacing.values():
            raise invalid("pacing", f"pacing {request.pacing} is unknown: use PACING_REALTIME or PACING_UNPACED")
        sentence = request.segmentation == tts_pb2.SEGMENTATION_SENTENCE
        return cls(
            session_id=request.session_id,
            model_id=request.model_id,
            voice=request.voice,
            language=request.language,
            speed=speed,
            segmentation="sentence" if sentence else "clause",
            markup=MARKUPS.get(request.markup),
            emoji=EMOJIS.get(request.emoji),
            normalise=NORMALISES.get(request.normalise),
            inline_phonemes=request.inline_phonemes,
            credit_flow_control=request.credit_flow_control,
            only_if_resident=request.only_if_resident,
            unpaced=request.pacing == tts_pb2.PACING_UNPACED,
        )

    def text_policy(self, settings: WorkerSection) -> TextPolicy:
        """How the session's text is read: as requested, else as the worker's settings say."""
        return TextPolicy(
            markup=self.markup or settings.markup,
            emoji=self.emoji or settings.emoji,
            normalise=self.normalise or settings.normalise,
            inline_phonemes=self.inline_phonemes,
        )

    def choose_voice(self, catalog: VoiceCatalog) -> Voice:
        """The voice with the requested name, else the first of the requested language, else the default voice.

        Raises:
            VoiceplaneError: NOT_FOUND, with the available voices or languages.
        """
        voices = catalog.voices
        languages = catalog.languages or tuple(sorted({voice.language for voice in voices}))
        if self.language and _primary(self.language) not in map(_primary, languages):
            message = f"the model does not support language {self.language!r}: use one of {', '.join(languages)}"
            raise not_found("language", message, reason="LANGUAGE_NOT_SUPPORTED")
        if self.voice:
            for voice in voices:
                if voice.name == self.voice:
                    return voice
            names = ", ".join(voice.name for voice in voices)
            message = f"the model has no voice {self.voice!r}: use one of {names}"
            raise not_found("voice", message, reason="VOICE_NOT_FOUND")
        if self.language:
            wanted = self.language.lower()
            ranked = [voice for voice in voices if voice.language.lower() == wanted]
            ranked += [voice for voice in voices if _primary(voice.language) == _primary(wanted)]
            return (ranked or voices)[0]  # a voice may support more languages than its own
        return voices[0]


def _primary(language: str) -> str:
    return language.lower().replace("_", "-").partition("-")[0]

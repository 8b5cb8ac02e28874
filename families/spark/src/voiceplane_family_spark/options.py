"""The options of a Spark pack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field
from voiceplane_common.settings import Section
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack

GENDERS = ("female", "male")
LEVELS = ("very_low", "low", "moderate", "high", "very_high")


class SparkOptions(Section):
    """Options of a Spark pack. The first four are lists, separated by commas, in the voices' order; one is for all.

    Attributes:
        genders: female or male.
        pitches: very_low, low, moderate, high or very_high.
        speeds: The same words.
        voice_seeds: Numbers; another one makes another speaker of the same kind.
        reference_text: What the pack's reference recording says; empty: not known.
        temperature: Of the sampling.
        top_k: Words to sample from.
        top_p: The share of the probability that they must have.
        seed: With one, the same text gives the same audio; None: each time another.
        look_ahead_tokens: How far the codec sees ahead of what it gives out: more is nearer to the whole, and later.
        longest_ms_per_character: Speech that goes on for longer has lost its way, and is ended. Wide ones count twice.
        longest_ms_besides: What is allowed on top of that.
    """

    genders: str = "female"
    pitches: str = "moderate"
    speeds: str = "moderate"
    voice_seeds: str = "0"
    reference_text: str = ""
    temperature: float = Field(default=0.8, gt=0.0, le=2.0)
    top_k: int = Field(default=50, ge=1)
    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    look_ahead_tokens: int = Field(default=15, ge=1, le=200)
    longest_ms_per_character: float = Field(default=250.0, gt=0.0)
    longest_ms_besides: float = Field(default=2_000.0, ge=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a voice that is made up is to sound.

    Attributes:
        gender: A place in GENDERS.
        pitch: A place in LEVELS.
        speed: A place in LEVELS.
        seed: Decides who it is, of all who sound like that.
    """

    gender: int
    pitch: int
    speed: int
    seed: int


def refuse_styles(pack: VoicePack, options: SparkOptions) -> None:
    """Refuse options that describe a voice, for a pack whose voice is a recording's.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    for name in ("genders", "pitches", "speeds", "voice_seeds"):
        if name in options.model_fields_set:
            message = f"options.{name} describes a voice to be made up, and this one is its reference's: leave it out"
            raise broken(pack, message, field=f"options.{name}")


def styles_of(pack: VoicePack, options: SparkOptions) -> list[Style]:
    """The styles of the pack's voices, in their order.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: they are not as many, or none that the model knows.
    """
    genders = _words(pack, "genders", options.genders, GENDERS)
    pitches = _words(pack, "pitches", options.pitches, LEVELS)
    speeds = _words(pack, "speeds", options.speeds, LEVELS)
    seeds = _one_each(pack, "voice_seeds", options.voice_seeds)
    if not all(seed.isdecimal() and len(seed) <= 18 for seed in seeds):
        raise broken(pack, "options.voice_seeds must be numbers: 0,1,2", field="options.voice_seeds")
    each = zip(genders, pitches, speeds, map(int, seeds), strict=True)
    return [Style(gender=gender, pitch=pitch, speed=speed, seed=seed) for gender, pitch, speed, seed in each]


def _words(pack: VoicePack, name: str, given: str, known: tuple[str, ...]) -> list[int]:
    words = _one_each(pack, name, given)
    for word in words:
        if word not in known:
            message = f"options.{name} has {word!r}, and the model knows {', '.join(known)}"
            raise broken(pack, message, field=f"options.{name}")
    return [known.index(word) for word in words]


def _one_each(pack: VoicePack, name: str, given: str) -> list[str]:
    words = [word.strip() for word in given.split(",")]
    voices = len(pack.metadata.voices)
    if len(words) not in {1, voices}:
        message = f"options.{name} must be one for all voices, or one for each of the {voices}, separated by commas"
        raise broken(pack, message, field=f"options.{name}")
    return words if len(words) == voices else words * voices

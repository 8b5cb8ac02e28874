"""The options of a CSM pack, and the recording that its voice is cloned from."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr
from pydantic import Field
from voiceplane_common.errors import VoiceplaneError, failed_precondition
from voiceplane_common.settings import Section

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack


class CsmOptions(Section):
    """Options of a CSM pack.

    Attributes:
        speakers: The speaker ids of the pack's voices, in their order, separated by commas; empty: 0, 1, 2 ...
        reference_text: What the pack's reference recording says.
        temperature: Of the backbone's sampling; None: as generation_config.json says.
        top_k: Codes to sample from; None: as generation_config.json says.
        seed: With one, the same text gives the same audio; None: each time another.
        unsloth: Whether Unsloth, which must be installed and needs a GPU, is to make the base's inference faster.
        longest_ms_per_character: Speech that goes on for longer has lost its way, and is ended.
        longest_ms_besides: What is allowed on top of that.
    """

    speakers: str = ""
    reference_text: str = ""
    temperature: float | None = Field(default=None, gt=0.0, le=2.0)
    top_k: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    unsloth: bool = False
    longest_ms_per_character: float = Field(default=250.0, gt=0.0)
    longest_ms_besides: float = Field(default=2_000.0, ge=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A recording whose voice is to be cloned.

    Attributes:
        samples: At the model's rate.
        text: What it says.
    """

    samples: Samples
    text: str


def speakers_of(pack: VoicePack, options: CsmOptions) -> dict[str, str]:
    """The speaker ids by the names of the pack's voices.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: they are not as many.
    """
    names = [voice.name for voice in pack.metadata.voices]
    given = [each.strip() for each in options.speakers.split(",")] if options.speakers else None
    ids = given or [str(number) for number in range(len(names))]
    if len(ids) != len(names) or not all(each.isdecimal() for each in ids):
        message = f"options.speakers must be numbers, one for each of the {len(names)} voices: 0,1,2"
        raise broken(pack, message, field="options.speakers")
    return dict(zip(names, ids, strict=True))


def reference_of(pack: VoicePack, options: CsmOptions, *, sample_rate_hz: int) -> Reference | None:
    """The pack's reference recording, if it has one. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: it is no 16-bit WAV file, or its text is missing.
    """
    if bool(pack.metadata.reference) != bool(options.reference_text):
        message = "a voice is cloned from a reference and options.reference_text, what it says: give both or neither"
        raise broken(pack, message, field="options.reference_text")
    if not pack.metadata.reference:
        return None
    if len(pack.metadata.voices) > 1:
        raise broken(pack, "a reference is one voice's: name one voice only", field="voices")
    samples, rate_hz = _read_wav(pack, pack.path / pack.metadata.reference)
    return Reference(samples=soxr.resample(samples, rate_hz, sample_rate_hz), text=options.reference_text)


def broken(pack: VoicePack, problem: str, *, field: str = "") -> VoiceplaneError:
    """The error of a pack that can't be loaded."""
    return failed_precondition("PACK_INVALID", f"voice pack {pack.metadata.model_id!r}: {problem}", field=field)


def _read_wav(pack: VoicePack, file: Path) -> tuple[Samples, int]:
    try:
        with wave.open(str(file), "rb") as reader:
            if reader.getsampwidth() != 2 or not reader.getnframes():
                raise broken(pack, f"{file.name} must be a WAV file of 16-bit samples", field="reference")
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, reader.getnchannels())
            return (pcm.mean(axis=1) / 32_768.0).astype(np.float32), reader.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise broken(pack, f"{file.name} can't be read as a WAV file: {error}", field="reference") from None

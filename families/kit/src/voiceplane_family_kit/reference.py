"""The recording that a pack's voice is cloned from."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.adapters.base import Samples
    from voiceplane_worker.packs.pack import VoicePack


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A recording whose voice is to be cloned.

    Attributes:
        samples: At the model's rate.
        text: What it says; empty if that is not known.
    """

    samples: Samples
    text: str


def reference_of(
    pack: VoicePack, *, reference_text: str, sample_rate_hz: int, text_needed: bool = True
) -> Reference | None:
    """The pack's reference recording, if it has one. Blocking.

    Args:
        pack: Whose metadata may name one.
        reference_text: The pack's option of that name: what the recording says.
        sample_rate_hz: To resample it to.
        text_needed: Whether the family can't clone a voice without knowing what the recording says.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: it is no 16-bit WAV file, or its text is missing.
    """
    if reference_text and not pack.metadata.reference:
        message = "options.reference_text is what a reference says: name the recording in reference, or leave it out"
        raise broken(pack, message, field="reference")
    if pack.metadata.reference and text_needed and not reference_text:
        message = "a voice is cloned from a reference and options.reference_text, what it says: give both or neither"
        raise broken(pack, message, field="options.reference_text")
    if not pack.metadata.reference:
        return None
    if len(pack.metadata.voices) > 1:
        raise broken(pack, "a reference is one voice's: name one voice only", field="voices")
    samples, rate_hz = _read_wav(pack, pack.reference or pack.path / pack.metadata.reference)
    return Reference(samples=soxr.resample(samples, rate_hz, sample_rate_hz), text=reference_text)


def _read_wav(pack: VoicePack, file: Path) -> tuple[Samples, int]:
    try:
        with wave.open(str(file), "rb") as reader:
            if reader.getsampwidth() != 2 or not reader.getnframes():
                raise broken(pack, f"{file.name} must be a WAV file of 16-bit samples", field="reference")
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, reader.getnchannels())
            return (pcm.mean(axis=1) / 32_768.0).astype(np.float32), reader.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise broken(pack, f"{file.name} can't be read as a WAV file: {error}", field="reference") from None

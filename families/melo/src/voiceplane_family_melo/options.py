"""The options of a MeloTTS pack."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section


class MeloOptions(Section):
    """Options of a MeloTTS pack; the defaults are MeloTTS's own.

    Attributes:
        bert: Whether the folder bert/ is read, by which the model knows what its text is about.
        sdp_ratio: How much of the durations is drawn by chance; the rest is predicted.
        noise_scale: How much the sound varies.
        noise_scale_w: How much the drawn durations vary.
        seed: With one, the same text gives the same audio; None: each time another.
    """

    bert: bool = True
    sdp_ratio: float = Field(default=0.2, ge=0.0, le=1.0)
    noise_scale: float = Field(default=0.6, ge=0.0, le=2.0)
    noise_scale_w: float = Field(default=0.8, ge=0.0, le=2.0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)

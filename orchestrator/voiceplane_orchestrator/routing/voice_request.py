"""The voice that a session asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Segmentation = Literal["", "clause", "sentence"]
Pacing = Literal["realtime", "unpaced"]
"""When audio leaves the worker: at the pace of speech, or as fast as it is computed and read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceRequest:
    """The requested voice; an empty field accepts any.

    Attributes:
        model_id: A model's id.
        voice: A voice of the model.
        language: BCP 47.
        speed: Speaking rate.
        segmentation: "clause" or "sentence".
    """

    model_id: str = ""
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    segmentation: Segmentation = ""

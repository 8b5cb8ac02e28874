"""The voice that a session asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Segmentation = Literal["", "clause", "sentence"]


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

"""The voice that a session asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Segmentation = Literal["", "clause", "sentence"]
Markup = Literal["", "strip", "speak", "ssml"]
Emoji = Literal["", "drop", "name"]
Normalise = Literal["", "full", "none"]
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
        markup: What becomes of markup in a text: "strip", "speak" or "ssml".
        emoji: "drop" or "name".
        normalise: Whether the worker writes numbers and the like as words: "full" or "none".
    """

    model_id: str = ""
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    segmentation: Segmentation = ""
    markup: Markup = ""
    emoji: Emoji = ""
    normalise: Normalise = ""

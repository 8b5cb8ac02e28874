"""Endpointing: how long a silence must be to end the user's turn, given the words so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_speech_input.turns.words import UNFINISHED, base_language, words_of

if TYPE_CHECKING:
    from voiceplane_speech_input.turns.settings import EndpointingSection

_FINISHING = (".", "!", "?", "\u3002", "\uff01", "\uff1f", "\u061f", "\u0964")
_TRAILING_OFF = ("...", "\u2026", "-", "\u2013", "\u2014", ",")


def closing_silence_ms(text: str | None, *, language: str, settings: EndpointingSection) -> int:
    """Milliseconds of silence that end the turn.

    Recognizers end almost every transcript with a full stop, so the last word counts more: "I would like to." is not
    finished, "What is it for?" is.

    Args:
        text: The transcript of the turn so far; None if it is not known yet.
        language: BCP 47.
        settings: The three lengths.
    """
    words = words_of(text or "")
    if not words:
        return settings.min_silence_ms
    ending = (text or "").rstrip("\"'\u201d\u2019\u00bb ")
    finished = ending.endswith(_FINISHING) and not ending.endswith("...")
    asked = finished and not ending.endswith(".")
    if ending.endswith(_TRAILING_OFF) or (not asked and words[-1] in UNFINISHED.get(base_language(language), ())):
        return settings.unfinished_silence_ms
    if words[-1].isdigit():  # a telephone number may continue, even after a full stop
        return settings.min_silence_ms if finished else settings.unfinished_silence_ms
    return settings.finished_silence_ms if finished else settings.min_silence_ms

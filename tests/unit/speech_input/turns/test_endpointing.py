"""How long a silence must be to end a turn."""

from __future__ import annotations

import pytest
from voiceplane_speech_input.turns.endpointing import closing_silence_ms
from voiceplane_speech_input.turns.settings import EndpointingSection

SETTINGS = EndpointingSection(finished_silence_ms=300, min_silence_ms=500, unfinished_silence_ms=1000)


@pytest.mark.parametrize(
    ("text", "language", "expected_ms"),
    [
        (None, "en-US", 500),
        ("", "en-US", 500),
        ("...", "en-US", 500),
        ("Turn the light on.", "en-US", 300),
        ("What time is it?", "en-US", 300),
        ("What is it for?", "en-US", 300),
        ("Stop it!", "en-US", 300),
        ("\u201cStop it!\u201d", "en-US", 300),
        ("turn the light on", "en-US", 500),
        ("I would like to.", "en-US", 1000),
        ("I would like a coffee and", "en-US", 1000),
        ("I want um", "en-US", 1000),
        ("Well, let me think...", "en-US", 1000),
        ("First,", "en-US", 1000),
        ("My number is 555", "en-US", 1000),
        ("My number is 555 12.", "en-US", 500),
        ("Ich möchte einen Kaffee und", "de-DE", 1000),
        ("Ich möchte einen Kaffee.", "de", 300),
        ("I would like to.", "", 1000),
        ("quelque chose et", "fr-CA", 1000),
        ("something in an unlisted language and.", "xx", 300),
    ],
)
def test_the_words_so_far_choose_the_silence(text: str | None, language: str, expected_ms: int) -> None:
    assert closing_silence_ms(text, language=language, settings=SETTINGS) == expected_ms

"""Text to Kokoro's phonemes by espeak-ng, whose state is one for the whole process.

Kokoro was trained on American and British English, Spanish, French, Hindi, Italian, Portuguese, Japanese and Mandarin.
espeak-ng reads all but the last two well enough. Those need dictionaries of their own, so they are not supported here.
"""

from __future__ import annotations

import functools
import logging
import threading

import espeakng_loader
from kokoro_onnx.config import DEFAULT_VOCAB
from phonemizer.backend import EspeakBackend
from phonemizer.backend.espeak.wrapper import EspeakWrapper
from voiceplane_common.errors import invalid

# BCP 47 in lower case to espeak-ng's name. A tag that is not here is read as its primary language.
ESPEAK_LANGUAGES = {
    "en": "en-us",
    "en-us": "en-us",
    "en-gb": "en-gb",
    "es": "es",
    "fr": "fr-fr",
    "hi": "hi",
    "it": "it",
    "pt": "pt-br",
}

# espeak-ng is a library of global variables: two calls at once give each other's phonemes, or crash.
_espeak = threading.Lock()


def espeak_language(language: str) -> str:
    """espeak-ng's name of a language.

    Args:
        language: BCP 47.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: a language that this family does not read.
    """
    tag = language.replace("_", "-").lower()
    found = ESPEAK_LANGUAGES.get(tag) or ESPEAK_LANGUAGES.get(tag.partition("-")[0])
    if found is None:
        known = ", ".join(tag for tag in ESPEAK_LANGUAGES if "-" not in tag)
        raise invalid("language", f"Kokoro's phonemes can't be made for {language!r} here: it reads {known}")
    return found


def phonemes_of(text: str, *, language: str) -> str:
    """The phonemes of a text, with its punctuation; empty if nothing in it can be spoken.

    Args:
        text: One piece of text.
        language: BCP 47.

    Returns:
        Symbols of Kokoro's vocabulary only, of any number.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: see `espeak_language`.
    """
    name = espeak_language(language)
    plain = " ".join(text.replace("\0", " ").split())  # espeak-ng ends at a NUL, and begins again at a line's end
    if not any(character.isalnum() for character in plain):
        return ""
    with _espeak:
        spoken: str = _backend(name).phonemize([plain])[0]
    known = "".join(symbol for symbol in spoken if symbol in DEFAULT_VOCAB)
    return " ".join(known.split()) if any(symbol.isalpha() for symbol in known) else ""


def token_ids(phonemes: str) -> list[int]:
    """The model's numbers of phonemes that phonemes_of gave."""
    return [DEFAULT_VOCAB[symbol] for symbol in phonemes]


@functools.cache
def _backend(name: str) -> EspeakBackend:
    """A language's phonemizer, for the life of the process: each is a library of its own that is never closed."""
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    # It marks words of another language as "(fr)", and the model would read the letters out.
    return EspeakBackend(
        name, preserve_punctuation=True, with_stress=True, language_switch="remove-flags", logger=_quiet_logger()
    )


def _quiet_logger() -> logging.Logger:
    """For a library that warns of each text whose words and phonemes are not as many, such as one with a number."""
    logger = logging.getLogger("voiceplane.phonemizer")
    logger.setLevel(logging.ERROR)
    return logger

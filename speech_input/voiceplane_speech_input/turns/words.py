"""Word lists for turn-taking, by language (the primary subtag of a BCP 47 tag)."""

from __future__ import annotations

import re
import unicodedata

BACKCHANNELS: dict[str, tuple[str, ...]] = {
    "de": (
        "aha",
        "ach",
        "achso",
        "genau",
        "gut",
        "hm",
        "hmm",
        "ja",
        "jo",
        "klar",
        "mhm",
        "ok",
        "okay",
        "richtig",
        "so",
    ),
    "en": (
        *("ah", "aha", "alright", "cool", "good", "great", "hm", "hmm", "huh", "mhm", "mm", "mmhmm", "mmm", "oh", "ok"),
        *("okay", "right", "sure", "uh", "uhhuh", "uhuh", "um", "wow", "yeah", "yep", "yes", "yup"),
    ),
    "es": ("ah", "ajá", "bien", "bueno", "claro", "exacto", "hm", "mhm", "ok", "okay", "sí", "vale", "ya"),
    "fr": ("ah", "bien", "bon", "d'accord", "exact", "hm", "hum", "mhm", "ok", "okay", "oui", "ouais", "voilà"),
    "it": ("ah", "bene", "certo", "esatto", "già", "hm", "mhm", "ok", "okay", "sì", "va", "bene"),
    "nl": ("aha", "goed", "hm", "hmm", "ja", "jawel", "juist", "mhm", "ok", "oké", "okay", "precies"),
    "pt": ("ah", "bem", "certo", "claro", "exato", "hm", "mhm", "ok", "okay", "pois", "sim", "tá"),
}
"""Backchannels: what a listener says to show attention, without taking the turn."""

_UNFINISHED_WORDS = {
    "de": """aber als am an auf aus bei das dass dem den der die ein eine für im in mit oder ob und von weil wenn zu äh
        ähm""",
    "en": """a about an and at because but by for from hmm i if into is my of or than the to uh um when which with
        your""",
    "es": "a al con cuando de del el en eh es la las los mi o para pero por porque que si su un una y",
    "fr": "à au avec de des donc du en est et euh il je la le les mais mon ou par parce pour que qui si un une",
    "it": "a al allora che con da del di e ehm il in la le lo ma mio o per perché se su un una",
    "nl": "aan als dat de die door een eh en het ik maar met naar of om omdat te uit van voor want",
    "pt": "a ao as com da de do e em eu hum mas meu na no o os ou para porque por que se um uma",
}
UNFINISHED = {language: frozenset(words.split()) for language, words in _UNFINISHED_WORDS.items()}
"""Words that rarely end a sentence, and hesitation sounds."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a transcript in lower case, without punctuation; "uh-huh" is two words."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(unicodedata.normalize("NFC", text).casefold())]


def base_language(tag: str) -> str:
    """The language of a BCP 47 tag: "en" of "en-US"; English if there is no tag."""
    return tag.partition("-")[0].casefold() or "en"

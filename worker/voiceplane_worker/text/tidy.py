"""The last touch on a segment: what is left of signs becomes a pause or nothing."""

from __future__ import annotations

import re
import unicodedata

_EMOTICON = re.compile(r"(?<![\w:;])[:;][-'^o]?[)(\]\[DPp/\\|*3](?![\w/])|(?<!\w)(?:=[)(D]|8-\)|<3|\^_\^|[xX]D)(?!\w)")
_SHORTCODE = re.compile(r"(?<![\w:]):([a-z][a-z0-9_+-]{1,31}):(?![\w:])")
_SPACES = re.compile(r"[\x00-\x1f\x7f]|\s+")
_PAUSES = (
    (re.compile(r"[•·◦▪‣←-⇿⟵-⟿]+"), ", "),
    (re.compile(r"(?<=\s)--+(?=\w)"), ""),
    (re.compile(r"(?<=\w)\s?--+\s?(?=\w)"), ", "),
    (re.compile(r"\s[-–—―]+(?=\s)|\s?[—―]+\s?(?=\S)"), ", "),
    # A run of stops is read once, from its first one: it may be as long as the segment.
    (re.compile(r"(?<![.… ]) ?(?:…|\.\.|\. \.)[.… ]*(?=[?!])"), ""),
    (re.compile(r"(?<![.… ]) ?(?:…|\.\.|\. \.)[.… ]*(?=[^\s…\"'”’»)\].,])"), ", "),
    (re.compile(r"(?<![.… ]) ?(?:…|\.\.|\. \.)[.… ]*"), ". "),
    (re.compile(r"([!?]){3,}"), r"\1"),
)
_LEFTOVERS = (
    (re.compile(r"[*_`~^|\\{}#$]+"), " "),
    (re.compile(r"(?:^|(?<=\s))!(?=\w)"), ""),
    (re.compile(r"\(\s*\)|\[\s*\]|[\[\]]"), " "),
    (re.compile(r"\s+"), " "),
    (re.compile(r" +(?=[,.;:!?…](?:\s|$))"), ""),
    (re.compile(r"[,;:](?:\s*,)+"), ","),
    (re.compile(r",\s*(?=[.;:!?](?:\s|$))"), ""),
    (re.compile(r"([!?;:])\s*,|(\.)\s+,"), r"\1\2"),
    (re.compile(r"^(?:[\s,;:.]|[-–—]\s)+(?=\S)|[\s,]+$"), ""),
)
_PHONEMES = re.compile(r"\[\[[^\[\]]*\]\]")


def without_pictures(text: str, *, named: bool) -> str:
    """Text without emoticons and short codes; named: with the words of the codes."""
    text = _SHORTCODE.sub(lambda found: found[1].replace("_", " ") if named else "", text)
    return _EMOTICON.sub("", text)


def with_pauses(text: str) -> str:
    """Text in one line, in NFC, whose ellipses, dashes and bullets are marks at which every model pauses."""
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
    for pattern, replacement in _PAUSES:
        text = pattern.sub(replacement, text)
    return text


def tidied(text: str) -> str:
    """Text without signs that have no sound, and without doubled marks and blanks."""
    text = _SPACES.sub(" ", text)
    for pattern, replacement in _LEFTOVERS:
        text = pattern.sub(replacement, text)
    return text.strip()


def outside_phonemes(text: str) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it is phonemes in double brackets."""
    parts, end = [], 0
    for found in _PHONEMES.finditer(text):
        parts += [(text[end : found.start()], False), (found[0], True)]
        end = found.end()
    return [*parts, (text[end:], False)]

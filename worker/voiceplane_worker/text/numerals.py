"""Ordinals and Roman numerals as words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voiceplane_worker.text.dates import german_ordinal, word_before
from voiceplane_worker.text.words import CENTURY, COUNTED, REGNAL_NAMES, word_set

if TYPE_CHECKING:
    from voiceplane_worker.text.numbers import NumberWords, Rule

ROMAN = r"(?=[IVXLCM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
# Words in capitals that are no numbers.
NO_ROMANS = word_set("I V X C D M L CD DC DI MI XL XXL LI CC CV DIM DIX MIX MD MC MM CM CIV DIV VI MCC MDC LC")


def ordinal_rules(numbers: NumberWords) -> list[Rule]:
    """Rules for ordinals, and for the numbers of a list."""

    def plain(found: re.Match[str]) -> str:
        return numbers.ordinal(int(found[1].replace(",", "")))

    def gendered(found: re.Match[str]) -> str:
        words = numbers.ordinal(int(found[1]))
        if found[2] in "ªa":
            return " ".join(f"{word[:-1]}a" for word in words.split())
        return words

    def french(found: re.Match[str]) -> str:
        first = "première" if found[2] in {"re", "ère"} else "premier"
        return first if int(found[1]) == 1 else numbers.ordinal(int(found[1]))

    def listed(found: re.Match[str]) -> str:
        return f"{numbers.cardinal(int(found[1]))}, "

    def german(found: re.Match[str]) -> str:
        return german_ordinal(numbers, int(found[1]), word_before(found))

    def polish(found: re.Match[str]) -> str:
        words = numbers.ordinal(int(found[1]))
        located = word_before(found).lower() in {"na", "w", "we", "po", "o", "przy"}
        return " ".join(f"{word}m" for word in words.split()) if located else words

    first_in_list: Rule = (re.compile(r"^(\d{1,3})[.)]\s+(?=\w)"), listed)
    rules: dict[str, list[Rule]] = {
        "en": [(re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,2}|\d{1,9})(?:st|nd|rd|th)\b"), plain)],
        "de": [
            (re.compile(r"(?<=\s)(\d{1,2})\.(?=\s[A-ZÄÖÜ])"), german),
            (re.compile(r"(?<![\w.,])(\d{1,3}0)er\b"), lambda found: f"{numbers.year(int(found[1]))}er"),
        ],
        "fr": [(re.compile(r"(?<![\w.,])(\d{1,9})(er|re|ère|e|ème|ième|nd|nde)\b"), french)],
        "es": [
            (re.compile(r"(?<![\w.,])([13])\.?(?:er)\b"), lambda found: {"1": "primer", "3": "tercer"}[found[1]]),
            (re.compile(r"(?<![\w.,])(\d{1,9})\.?([ºª])"), gendered),
        ],
        "it": [(re.compile(r"(?<![\w.,])(\d{1,9})\.?([ºª]|°(?=\s[a-z]))"), gendered)],
        "pt": [(re.compile(r"(?<![\w.,])(\d{1,9})\.?([ºª])"), gendered)],
        "nl": [(re.compile(r"(?<![\w.,])(\d{1,9})(?:e|de|ste)\b"), plain)],
        "pl": [(re.compile(r"(?<=\s)(\d{1,2})\.(?=\s[a-zćłśźż])"), polish)],
    }
    return [first_in_list, *rules[numbers.language]]


def roman_rules(numbers: NumberWords) -> list[Rule]:
    """Rules for Roman numerals after names and counted things."""
    centuries = CENTURY[numbers.language].split()
    ordinal = numbers.language in {"en", "de", "it", "nl", "pl"}
    definite = {"en": "the ", "de": "der ", "nl": "de "}.get(numbers.language, "")

    def roman(found: re.Match[str]) -> str:
        numeral, stop = found[2], found[3]
        before, after = found[1].strip(), found.string[found.end() :].split()[:1]
        following = after[0].strip(".,;!?").lower() if after else ""
        number = _roman_value(numeral)
        kept_stop = stop if stop and (numbers.language != "de" or not after) else ""
        if following in centuries or before.lower() in centuries:
            words = numbers.ordinal(number)
            words = numbers.cardinal(number) if numbers.language in {"es", "pt"} else words
            return f"{found[1]}{words}{kept_stop}"
        if before in REGNAL_NAMES:
            words = f"{definite}{numbers.ordinal(number)}" if ordinal else numbers.cardinal(number)
            if number == 1 and numbers.language == "fr":
                words = "premier"
            if numbers.language in {"es", "pt"} and number < 11:
                words = numbers.ordinal(number)
            return f"{found[1]}{words}{kept_stop}"
        named = (
            before[:1].isupper() and not before.isupper() and numeral not in NO_ROMANS and set(numeral) <= set("IVX")
        )
        if before.lower() in COUNTED or named:
            return f"{found[1]}{numbers.cardinal(number)}{stop}"
        return found[0]

    def century(found: re.Match[str]) -> str:
        return numbers.ordinal(_roman_value(found[1]))

    rules: list[Rule] = [(re.compile(rf"(\b[^\W\d_]+\s)({ROMAN})(?![\w’'])(\.?)"), roman)]
    after = rf"(?<!\w)({ROMAN})\.?(?=\s(?:{'|'.join(centuries)})\b)"
    rules.append((re.compile(after), century))
    if numbers.language == "fr":
        rules.insert(0, (re.compile(rf"(?<!\w)({ROMAN})(?:e|ème|er)(?!\w)"), century))
    return rules


def _roman_value(numeral: str) -> int:
    values = [ROMAN_VALUES[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)

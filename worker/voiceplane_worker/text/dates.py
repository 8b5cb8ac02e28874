"""Dates and times as words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from babel.dates import get_month_names

from voiceplane_worker.text.words import word_set

if TYPE_CHECKING:
    from voiceplane_worker.text.numbers import NumberWords, Rule

MONTH_FIRST = frozenset(["en", "en_US"])
# Words after which a German ordinal ends in -n, and those after which it ends in -e.
DATIVE = ["am", "vom", "zum", "dem", "den", "bis", "ab", "seit", "im", "des", "beim", "einem", "einer", "der"]
NOMINATIVE = ["der", "die", "das"]
# What may follow "8 a.m." with a capital in the same sentence.
AFTER_TIME = word_set(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August "
    "September October November December EST EDT CST CDT MST MDT PST PDT GMT UTC BST CET CEST ET CT MT PT Eastern "
    "Central Mountain Pacific"
)
_TIME = r"(?<![\d:.,/])([01]?\d|2[0-4]):([0-5]\d)(?::[0-5]\d)?(?![\d:])"


def date_rules(numbers: NumberWords) -> list[Rule]:  # noqa: C901 - the functions share the months
    """Rules for the dates of a language, each a pattern and what is said for it."""
    months = get_month_names("wide", context="format", locale=numbers.locale)
    short = get_month_names("abbreviated", context="format", locale=numbers.locale)
    by_name = {name.lower().rstrip("."): number for number, name in (*short.items(), *months.items())}
    names = "|".join(sorted((re.escape(name) for name in by_name), key=len, reverse=True))
    us = str(numbers.locale) in MONTH_FIRST

    def spoken(day: str, month: int, year: str, *, before: str = "", standing: bool = False) -> str:
        name = months[month]
        if numbers.language == "en":
            said = f"{name} {numbers.ordinal(int(day))}" if us or standing else f"{numbers.ordinal(int(day))} of {name}"
        else:
            said = f"{_day(numbers, int(day), before)} {'de ' if numbers.language in {'es', 'pt'} else ''}{name}"
        if not year:
            return said
        if numbers.language == "pl":
            return f"{said} {_polish_year(numbers, int(year))}"
        between = " de" if numbers.language in {"es", "pt"} else ""
        return f"{said}{between} {numbers.year(int(year))}"

    def numeric(found: re.Match[str]) -> str:
        first, second, year = int(found["a"]), int(found["b"]), found["y"]
        day, month = (second, first) if (us and first <= 12) or second > 12 else (first, second)
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return found[0]
        return spoken(str(day), month, year if len(year) == 4 else f"20{year}", before=word_before(found))

    def iso(found: re.Match[str]) -> str:
        month, day = int(found["m"]), int(found["d"])
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return found[0]
        return spoken(str(day), month, found["y"], before=word_before(found), standing=True)

    rules: list[Rule] = [
        (re.compile(r"(?<![\d-])(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?![\d-])"), iso),
        (
            re.compile(r"(?<![\d./-])(?P<a>\d{1,2})(?P<s>[./-])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})(?![\d/-]|\.\d)"),
            numeric,
        ),
    ]

    def month_first(found: re.Match[str]) -> str:
        return spoken(found["d"], by_name[found["m"].lower()], found["y"] or "", standing=True)

    def day_first(found: re.Match[str]) -> str:
        return spoken(found["d"], by_name[found["m"].lower()], found["y"] or "", before=word_before(found))

    def day_and_month(found: re.Match[str]) -> str:
        return spoken(found["d"], int(found["m"]), "", before=word_before(found)) + _stop(found)

    day, year = r"(?P<d>[12]\d|3[01]|0?[1-9])", r"(?P<y>1\d{3}|2[01]\d{2})"
    if numbers.language == "en":
        rules += [
            (
                re.compile(
                    rf"\b(?P<m>{names})\.?\s{day}(?:st|nd|rd|th)?(?:,?\s{year})?(?![\w%]|[.,:]\d)", re.IGNORECASE
                ),
                month_first,
            ),
            (
                re.compile(
                    rf"(?<![\w.,:]){day}(?:st|nd|rd|th)?\s(?P<m>{names})\b\.?(?:,?\s{year})?(?![\w])", re.IGNORECASE
                ),
                day_first,
            ),
        ]
    elif numbers.language == "de":
        pattern = rf"(?<![\w.,:]){day}\.\s?(?P<m>{names})\b\.?(?:\s{year})?(?!\w)"
        without_year = rf"(?<![\w.,:]){day}\.(?P<m>1[0-2]|0?[1-9])\.(?=\s|$)(?P<y>)"
        rules += [(re.compile(pattern, re.IGNORECASE), day_first), (re.compile(without_year), day_and_month)]
    elif numbers.language == "pl":
        rules.append(
            (re.compile(rf"(?<![\w.,:]){day}\s(?P<m>{names})\b(?:\s{year}(?:\s(?:roku|r\.))?)?(?!\w)"), day_first)
        )
    return rules


def time_rules(numbers: NumberWords) -> list[Rule]:
    """Rules for times of the day."""
    say = numbers.symbols

    def clock(hour: str, minute: str, half: str = "") -> str:
        return _clock(numbers, int(hour), int(minute), half)

    suffix = {
        "en": r"(?:\s?(?P<h>[AaPp])\.?[Mm]\b\.?|\s?o'clock)?",
        "de": r"(?:\sUhr)?",
        "fr": r"(?:\s?(?:h|heures?)\b)?",
        "nl": r"(?:\suur)?",
        "pt": r"(?:\s?(?:h|horas)\b)?",
        "es": r"(?:\s?(?:h|horas)\b\.?)?",
    }.get(numbers.language, "")

    def half_of(found: re.Match[str]) -> str:
        return (found.groupdict().get("h") or "").upper()

    rules: list[Rule] = [
        (
            re.compile(rf"{_TIME}\s?[-–—]\s?{_TIME}{suffix}"),
            lambda found: f"{clock(found[1], found[2])} {say['to']} {clock(found[3], found[4], half_of(found))}",
        ),
        (re.compile(_TIME + suffix), lambda found: clock(found[1], found[2], half_of(found)) + _stop(found)),
    ]
    if numbers.language == "en":
        half = re.compile(r"(?<![\w.:,])(1[0-2]|[1-9])\s?(?P<h>[AaPp])\.?[Mm]\b\.?")
        rules.append((half, lambda found: f"{numbers.cardinal(int(found[1]))} {half_of(found)}M{_stop(found)}"))
    if numbers.language in {"fr", "pt"}:
        short = re.compile(r"(?<![\w.:,])([01]?\d|2[0-4])\s?h\s?([0-5]\d)?\b")
        rules.append((short, lambda found: clock(found[1], found[2] or "0")))
    if numbers.language in {"de", "nl"}:
        dotted = re.compile(r"(?<![\w.:,])([01]?\d|2[0-4])(?:\.([0-5]\d))?\s(?:Uhr|uur)\b")
        rules.append((dotted, lambda found: clock(found[1], found[2] or "0")))
    return rules


def _stop(found: re.Match[str]) -> str:
    """A stop that also ends the sentence."""
    following = found.string[found.end() :].split()[:1]
    ends = not following or (following[0][:1].isupper() and following[0].strip(".,;:!?)") not in AFTER_TIME)
    return "." if found[0].endswith(".") and ends else ""


def _clock(numbers: NumberWords, hour: int, minute: int, half: str) -> str:
    language = numbers.language
    hours = numbers.cardinal(hour)
    minutes = numbers.cardinal(minute)
    if language == "en":
        if not minute:
            return f"{hours} {half}M" if half else f"{hours} o'clock"
        said = f"{hours} oh {minutes}" if minute < 10 else f"{hours} {minutes}"
        return f"{said} {half}M" if half else said
    if language == "pl":
        hours = _polish_feminine(numbers.ordinal(hour) if hour else "zerowy")
    elif hour == 1:
        hours = {"de": "ein", "fr": "une", "es": "una", "it": "una", "pt": "uma", "nl": "één"}[language]
    elif language == "pt" and hours.endswith("dois"):
        hours = f"{hours[:-4]}duas"
    name = {"de": " Uhr", "fr": " heure" if hour < 2 else " heures", "nl": " uur", "pt": "" if minute else " horas"}
    before = {"it": " e", "pt": " e", "es": ""}
    said = f"{hours}{name.get(language, '')}"
    return f"{said}{before.get(language, '')} {minutes}" if minute else said


def _day(numbers: NumberWords, day: int, before: str) -> str:
    language = numbers.language
    if language == "de":
        return german_ordinal(numbers, day, before, standing="r")
    if language == "pl":
        return _polish_genitive(numbers.ordinal(day))
    if day == 1 and language in {"fr", "it", "pt"}:
        return {"fr": "premier", "it": "primo", "pt": "primeiro"}[language]
    return numbers.cardinal(day)


def german_ordinal(numbers: NumberWords, number: int, before: str, *, standing: str = "") -> str:
    """A German ordinal with the ending that the word before it asks for."""
    word = numbers.ordinal(number)
    if before.lower() in NOMINATIVE:
        return word
    return f"{word}n" if before.lower() in DATIVE else f"{word}{standing}"


def word_before(found: re.Match[str]) -> str:
    """The word that stands before a match."""
    words = found.string[max(found.start() - 24, 0) : found.start()].split()
    return words[-1] if words else ""


def _polish_genitive(words: str) -> str:
    return " ".join(re.sub(r"i$", "iego", re.sub(r"y$", "ego", word)) for word in words.split())


def _polish_feminine(words: str) -> str:
    return " ".join(
        re.sub(r"(?<=[kg])i$", "a", re.sub(r"(?<![kg])i$", "ia", re.sub(r"y$", "a", each))) for each in words.split()
    )


def _polish_year(numbers: NumberWords, year: int) -> str:
    rest = year % 100
    if not rest:
        return f"{numbers.cardinal(year)} roku"
    head = numbers.cardinal(year - rest) if year > rest else ""
    return f"{head} {_polish_genitive(numbers.ordinal(rest))} roku".strip()

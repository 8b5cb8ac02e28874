"""Numbers as words, by num2words, in the way that each language writes them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from decimal import Decimal

from babel.core import Locale, UnknownLocaleError
from babel.numbers import get_currency_name
from babel.units import format_unit
from num2words import num2words

from voiceplane_worker.text.words import SCALES, SYMBOLS

# Languages whose decimal mark is a comma, and those that also group thousands by a space.
DECIMAL_POINT = frozenset(["en"])
GROUPED_BY_SPACE = frozenset(["fr", "pl", "es", "pt"])
# Longer ones are read digit by digit, as a speaker would.
MAX_NUMBER_DIGITS = 15
PLURAL = 5
"""A count of which every language here has the plural that follows a large number."""
# What num2words raises for forms that it does not know, such as the ordinal of 0, in one language or another.
UNREADABLE = (NotImplementedError, OverflowError, ValueError, KeyError, IndexError, TypeError, RecursionError)
MAX_COUNTED = 10**9
CENTS_JOINED_BY = {"en": "and", "de": "und", "fr": "et", "es": "con", "it": "e", "pt": "e", "nl": "en", "pl": "i"}
# num2words's names that no one says.
SHORT_NAMES = {
    "en": {"euro": "euros", "pounds sterling": "pounds", "pound sterling": "pound"},
    "pl": {"dolarów amerykańskich": "dolarów", "dolar amerykański": "dolar", "dolary amerykańskie": "dolary"},
    "pt": {"péni": "penny"},
}


class NumberWords:
    """The numbers of one language."""

    def __init__(self, language: str, locale: str) -> None:
        """Prepare.

        Args:
            language: Primary subtag; one of SYMBOLS.
            locale: BCP 47, which tells currencies' and units' names.
        """
        self.language = language
        self.symbols = SYMBOLS[language]
        self.locale = _locale(locale, language)
        self._converter = "pt_BR" if str(self.locale) == "pt_BR" else language
        point, group = (r"\.", ",") if language in DECIMAL_POINT else (",", r"\.")
        groups = f"[{group} ]" if language in GROUPED_BY_SPACE else group
        self.pattern = rf"(?:\d{{1,3}}(?:{groups}\d{{3}})+(?!\d)|\d+)(?:{point}\d+)?"
        """A number without a sign."""
        self.amount_pattern = rf"{self.pattern}(?:\s?[-–—]\s?{self.pattern})?"
        """A number or a range of two."""
        self._mark = "." if language in DECIMAL_POINT else ","

    def value(self, text: str) -> Decimal:
        """The value of what `pattern` matches."""
        drop = "," if self._mark == "." else "."
        return Decimal(text.replace(drop, "").replace(" ", "").replace(self._mark, "."))

    def cardinal(self, number: int) -> str:
        """A whole number, 0 or more, as words."""
        return _convert(number, "cardinal", self._converter)

    def ordinal(self, number: int) -> str:
        """The ordinal, in the masculine singular."""
        return _convert(number, "ordinal", self._converter)

    def year(self, number: int) -> str:
        """A year as words."""
        kind = "year" if self.language in {"en", "de", "nl"} else "cardinal"
        return _convert(number, kind, self._converter).replace(" honderd", "honderd")

    def digits(self, text: str) -> str:
        """Each digit as a word."""
        return " ".join(self.cardinal(int(digit)) for digit in text if digit.isdecimal())

    def number(self, text: str) -> str:
        """What `pattern` matches, as words."""
        whole, mark, decimals = text.partition(self._mark)
        digits = re.sub(r"\D", "", whole)
        grouped = len(digits) != len(whole)
        if len(digits) > MAX_NUMBER_DIGITS or (digits[0] == "0" and len(digits) > 1 and not grouped):
            words = self.digits(digits)
        else:
            words = self.cardinal(int(digits))
        return f"{words} {self.symbols['point']} {self.digits(decimals)}" if mark else words

    def plain(self, text: str) -> str:
        """A number that may be a year."""
        if re.fullmatch(r"1[1-9]\d\d|20\d\d", text) and self.language in {"en", "de", "nl"}:
            return self.year(int(text))
        return self.number(text)

    def before_noun(self, words: str) -> str:
        """A number's words in front of what is counted: "eins" becomes "ein"."""
        if self.language == "de" and words.endswith("eins"):
            return words[:-1]
        if self.language in {"es", "it"} and re.search(r"\buno$", words):
            return words[:-1]
        return words

    def amount(self, text: str) -> str:
        """A number or a range of two, as words."""
        first, _, second = re.sub(r"\s*[-–—]\s*", "-", text).partition("-")
        if not second:
            return self.number(first)
        return f"{self.number(first)} {self.symbols['to']} {self.number(second)}"

    def money(self, text: str, code: str, scale: str) -> str:
        """An amount of money as words.

        Args:
            text: A number or a range.
            code: Of the currency, ISO 4217.
            scale: "million" and the like, as it is written; empty for none.
        """
        single = not re.search(r"[-–—]", text)
        plural = self._currency(Decimal(PLURAL), code)[0].removeprefix(self.cardinal(PLURAL)).strip()
        if scale:
            return f"{self.amount(text)} {SCALES[self.language][scale]} {plural}"
        value = self.value(text) if single else Decimal(0)
        cents = -int(value.as_tuple().exponent)
        if not single or cents not in {0, 2} or value >= 10**MAX_NUMBER_DIGITS:
            return f"{self.amount(text)} {plural}"
        main, minor = self._currency(value, code)
        if not minor:
            return main
        joined = f"{main} {CENTS_JOINED_BY[self.language]} {minor}"
        return minor if value < 1 else joined

    def unit(self, text: str, unit: str) -> str:
        """A measured quantity as words.

        Args:
            text: A number or a range.
            unit: Its name in CLDR, such as "length-kilometer".
        """
        value = self.value(re.split(r"[-–—]", text)[-1].strip())
        # Only the plural depends on it, and Babel formats no number of many digits.
        counted = value if value < MAX_COUNTED else Decimal(PLURAL)
        pattern = _unit_pattern(unit, str(self.locale), f"{counted:.3f}".rstrip("0").rstrip("."))
        return pattern.replace("\0", self.before_noun(self.amount(text)))

    def _currency_words(self, value: float, code: str) -> str:
        """num2words's phrase, with a bar before the cents."""
        if self.language == "pt" and code == "BRL":
            code = "USD"  # the library knows no other with cents; the names are replaced
        words: str = num2words(value, lang=self.language, to="currency", currency=code, separator=" |")
        return words

    def _currency(self, value: Decimal, code: str) -> tuple[str, str]:
        """Its whole units and its cents as words; the second is empty for none."""
        try:
            text = self._currency_words(float(value), code)
        except UNREADABLE:
            name = get_currency_name(code, count=value, locale=self.locale)
            return f"{self.before_noun(self.number(str(value).replace('.', self._mark)))} {name}", ""
        if code == "BRL" and self.language == "pt":
            text = re.sub(r"\bdólares\b", "reais", re.sub(r"\bdólar\b", "real", text))
        if code == "BRL" or self.locale.territory == "BR":
            text = text.replace("cêntimo", "centavo")
        for long, short in SHORT_NAMES.get(self.language, {}).items():
            text = re.sub(rf"\b{long}\b", short, text)
        if self.language == "en" and value == 1:
            text = text.replace("one euros", "one euro")
        main, _, minor = text.replace(",", "").partition("|")
        has_cents = value != int(value)
        # Some languages say "and" before the cents.
        minor = re.sub(r"^\s*(?:und|et|con|e|en|i|y)\s+", "", minor).strip() if has_cents else ""
        return re.sub(r"\s+(?:und|et|con|e)$", "", main.strip()), minor


def _locale(tag: str, language: str) -> Locale:
    try:
        return Locale.parse(tag.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError, TypeError):
        return Locale.parse(language)


@functools.lru_cache(maxsize=4096)
def _convert(number: int, kind: str, converter: str) -> str:
    try:
        words: str = num2words(number, to=kind, lang=converter)
    except UNREADABLE:
        words = num2words(number, lang=converter)
    return " ".join(words.replace(",", " ").split())


@functools.lru_cache(maxsize=1024)
def _unit_pattern(unit: str, locale: str, value: str) -> str:
    """The unit with a NUL in place of the number."""
    text: str = format_unit(Decimal(value), unit, length="long", locale=locale)
    return re.sub(r"-?\d(?:[\d.,\u00a0\u202f\u2009’]*\d)?", "\0", text, count=1).replace("\u00a0", " ")


Replacement = Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Replacement]
"""A pattern, and what is said for a match."""

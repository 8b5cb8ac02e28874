"""Normalisation: numbers, money, dates, times, units, addresses and abbreviations as the words that are said.

It reads one segment at a time. A language without rules here is left as it is, for the model to read.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

from voiceplane_worker.text.dates import date_rules, german_ordinal, time_rules, word_before
from voiceplane_worker.text.numbers import NumberWords
from voiceplane_worker.text.words import (
    ABBREVIATIONS,
    AFTER_NUMBER,
    BEFORE_NAME,
    BEFORE_NUMBER,
    CENTURY,
    COUNTED,
    FRACTIONS,
    MIXED_FRACTIONS,
    REGNAL_NAMES,
    SCALES,
    SYMBOLS,
    word_set,
)

if TYPE_CHECKING:
    from voiceplane_worker.text.numbers import Replacement, Rule

CURRENCIES = {
    "US$": "USD", "C$": "CAD", "A$": "AUD", "R$": "BRL", "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR",
    "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH", "₪": "ILS", "₿": "XBT", "zł": "PLN", "EUR": "EUR", "USD": "USD",
    "GBP": "GBP", "CHF": "CHF", "JPY": "JPY", "PLN": "PLN", "BRL": "BRL", "CAD": "CAD", "AUD": "AUD", "INR": "INR",
}  # fmt: skip
UNITS = {
    "km/h": "speed-kilometer-per-hour", "km/u": "speed-kilometer-per-hour", "kmh": "speed-kilometer-per-hour",
    "mph": "speed-mile-per-hour", "m/s": "speed-meter-per-second", "km²": "area-square-kilometer",
    "m²": "area-square-meter", "cm²": "area-square-centimeter", "m³": "volume-cubic-meter",
    "cm³": "volume-cubic-centimeter", "km": "length-kilometer", "cm": "length-centimeter", "mm": "length-millimeter",
    "nm": "length-nanometer", "µm": "length-micrometer", "μm": "length-micrometer", "m": "length-meter",
    "mi": "length-mile", "ft": "length-foot", "yd": "length-yard", "kg": "mass-kilogram", "mg": "mass-milligram",
    "g": "mass-gram", "lbs": "mass-pound", "lb": "mass-pound", "oz": "mass-ounce", "ml": "volume-milliliter",
    "mL": "volume-milliliter", "cl": "volume-centiliter", "l": "volume-liter", "L": "volume-liter",
    "°C": "temperature-celsius", "° C": "temperature-celsius", "°F": "temperature-fahrenheit",
    "° F": "temperature-fahrenheit", "°": "angle-degree", "kWh": "energy-kilowatt-hour", "kW": "power-kilowatt",
    "MW": "power-megawatt", "W": "power-watt", "V": "electric-volt", "kHz": "frequency-kilohertz",
    "MHz": "frequency-megahertz", "GHz": "frequency-gigahertz", "Hz": "frequency-hertz", "TB": "digital-terabyte",
    "GB": "digital-gigabyte", "MB": "digital-megabyte", "KB": "digital-kilobyte", "kB": "digital-kilobyte",
    "Mbit": "digital-megabit", "Gbit": "digital-gigabit", "ms": "duration-millisecond", "s": "duration-second",
    "sec": "duration-second", "min": "duration-minute", "h": "duration-hour", "hrs": "duration-hour",
    "px": "graphics-pixel", "kcal": "energy-kilocalorie", "hPa": "pressure-hectopascal",
}  # fmt: skip
# Endings of hosts that are written without a scheme.
TOP_LEVEL = (
    "com|org|net|io|dev|ai|edu|gov|mil|info|biz|app|me|tv|co|uk|us|ca|au|nz|ie|de|at|ch|fr|be|es|it|pt|br|nl|pl|eu|mx|ar|"
    "jp|cn|kr|ru|se|no|dk|fi|cz|cloud|tech|xyz|online|site|shop|blog|wiki"
)
HOST = rf"(?:[A-Za-z0-9](?:[\w-]*[A-Za-z0-9])?\.)+(?:{TOP_LEVEL})"
ROMAN = r"(?=[IVXLCM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
# Words in capitals that are no numbers.
NO_ROMANS = word_set("I V X C D M L CD DC DI MI XL XXL LI CC CV DIM DIX MIX MD MC MM CM CIV DIV VI MCC MDC LC")
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


class Normaliser:
    """Writes a language as it is said."""

    def __init__(self, tag: str) -> None:
        """Prepare.

        Args:
            tag: BCP 47; its primary subtag is one of SYMBOLS.
        """
        self._language = tag.replace("_", "-").partition("-")[0].lower()
        self._numbers = NumberWords(self._language, tag)
        self._say = self._numbers.symbols
        self._rules: list[Rule] = [
            *self._addresses(),
            *self._names(),
            *self._money(),
            *date_rules(self._numbers),
            *time_rules(self._numbers),
            *self._codes(),
            *self._ordinals(),
            *self._quantities(),
            *self._romans(),
            *self._powers(),
            *self._plain_numbers(),
            *self._signs(),
        ]

    def spoken(self, text: str) -> str:
        """What is said for a text; in one line, of any length."""
        for pattern, replace in self._rules:
            text = pattern.sub(replace, text)
        return text

    # Each group of rules leaves words, which the next ones do not touch.

    def _addresses(self) -> list[Rule]:
        def host(name: str) -> str:
            name = re.sub(
                r"^www\.", "", name.partition("/")[0].partition("?")[0].partition("#")[0], flags=re.IGNORECASE
            )
            name = re.sub(r":\d+$", "", name)
            return f" {self._say['dot']} ".join(name.replace("-", " ").replace("_", " ").split("."))

        def url(found: re.Match[str]) -> str:
            address = found[0].rstrip(".,;:!?)]}'\"»”")
            return host(re.sub(r"^\w+://(?:[^/@]*@)?", "", address)) + found[0][len(address) :]

        def mail(found: re.Match[str]) -> str:
            name = re.sub(r"[._+-]", lambda mark: f" {self._say['dot']} " if mark[0] == "." else " ", found[1])
            return f"{name} {self._say['at']} {host(found[2])}"

        return [
            (re.compile(r"(?i)\b(?:https?|ftp|wss?)://[^\s<>\"]+|\bwww\.[^\s<>\"]+"), url),
            (re.compile(r"(?:mailto:)?\b([A-Za-z0-9][\w.+-]{0,63})@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"), mail),
            (re.compile(rf"(?<![\w.@-]){HOST}(?![\w-]|\.\w)(?:/[^\s<>\"]*)?"), url),
            # A file, a member, a product: "main.py", "Node.js".
            (
                re.compile(r"(?<=[a-zA-Z_]{2})\.(?=[a-z]{2})|(?<=[a-z]{4})\.(?=[a-z](?![\w.]))"),
                lambda _: f" {self._say['dot']} ",
            ),
        ]

    def _names(self) -> list[Rule]:
        table = ABBREVIATIONS[self._language]
        forms = dict(table)
        forms |= {
            form[0].upper() + form[1:]: words[0].upper() + words[1:]
            for form, words in table.items()
            if form[0].islower() and form[0].upper() + form[1:] not in table
        }
        known = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))

        def expand(found: re.Match[str]) -> str:
            form, rest = found[0], found.string[found.end() :]
            before = found.string[: found.start()].rstrip()
            numbered, named = rest.lstrip()[:1].isdecimal(), rest.lstrip()[:1].isupper()
            lower = form if form in table else form[0].lower() + form[1:]
            allowed = (lower in BEFORE_NUMBER and numbered) or (lower in BEFORE_NAME and named)
            if not allowed and (lower in BEFORE_NUMBER or lower in BEFORE_NAME):
                return form
            if lower.lower() in {"a.m.", "p.m."} and before[-1:].isdecimal():
                return form  # a part of a time
            if lower in AFTER_NUMBER and not before[-1:].isdecimal():
                return form
            words = forms[form]
            if self._language == "en" and form == "St." and not named:
                words = "Street"
            ends = form.endswith(".") and not rest.strip("\"'”’»)]")
            return f"{words}." if ends else words + (" " if rest[:1].isalnum() else "")

        letters = re.compile(
            r"(?<![\w.])(?:[^\W\d_]\.\s?){1,}(?:[^\W\d_]\b\.?)(?=\s|$|[,;:!?)'’\"-])|(?<![\w.])[A-ZÄÖÜ]\.(?=\s?[A-Z])"
        )

        def spell(found: re.Match[str]) -> str:
            plain = found[0].replace(" ", "").replace(".", "")
            of_time = plain in {"AM", "PM"} and found.string[: found.start()].rstrip()[-1:].isdecimal()
            if of_time or not plain.isupper():
                return found[0]
            ends = found[0].endswith(".") and not found.string[found.end() :].strip("\"'”’»)]")
            between = " " if re.match(r"\w", found.string[found.end() :]) else ""
            return " ".join(re.findall(r"\w", found[0])) + ("." if ends else between)

        return [(re.compile(rf"(?<![\w.])(?:{known})(?:(?!\w)|(?<=\.)(?=[A-ZÀ-Þ]))"), expand), (letters, spell)]

    def _money(self) -> list[Rule]:
        amount = self._amount
        signs = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
        scales = "|".join(re.escape(scale) for scale in sorted(SCALES[self._language], key=len, reverse=True))

        def money(found: re.Match[str]) -> str:
            sign = found["before"] if found.groupdict().get("before") else found["after"]
            minus = f"{self._say['minus']} " if found["minus"] else ""
            return minus + self._numbers.money(found["n"], CURRENCIES[sign], found["scale"] or "")

        return [
            (
                re.compile(
                    rf"(?P<minus>[-−]?)(?<!\w)(?P<before>{signs})\s?(?P<n>{amount})(?:\s?(?P<scale>{scales})(?!\w))?(?!\w)"
                ),
                money,
            ),
            (
                re.compile(
                    rf"(?<![\w.,])(?P<minus>[-−]?)(?P<n>{amount})(?:\s?(?P<scale>{scales}))?\s?(?P<after>{signs})(?!\w)"
                ),
                money,
            ),
        ]

    @property
    def _amount(self) -> str:
        number = self._numbers.pattern
        return rf"{number}(?:\s?[-–—]\s?{number})?"

    def _codes(self) -> list[Rule]:
        """Numbers that are no quantities: of a telephone, a card, a version, a network address."""

        def groups(found: re.Match[str]) -> str:
            parts = [self._numbers.digits(part) for part in re.findall(r"\d+", found[0])]
            plus = f"{self._say['plus']} " if found[0].lstrip("(").startswith("+") else ""
            return plus + ", ".join(parts)

        def dotted(found: re.Match[str]) -> str:
            parts = [self._numbers.number(part) for part in found[2].split(".")]
            version = f"{self._say['version']} " if found[1] else ""
            point = self._say["point"] if self._language == "en" else self._say["dot"]
            return version + f" {point} ".join(parts)

        return [
            (
                re.compile(r"(?<![\w.,])\+\d{1,3}(?:[\s().-]{1,2}\d{1,5}){2,6}(?![\w])|(?<![\w.,])\+\d{8,15}(?!\w)"),
                groups,
            ),
            (re.compile(r"(?<![\w.,/-])(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])"), groups),
            (re.compile(r"(?<![\w.,/-])0\d{1,4}(?:[ /-]\d{2,8}){1,5}(?![\w-])"), groups),
            (re.compile(r"(?<![\w.,/-])\d{2,3}(?: \d{2,3}){3,6}(?![\w-]|[.,]\d)"), groups),
            (re.compile(r"(?<![\w.,/-])\d{3}-\d{4}(?![\w-])|(?<![\w.,/-])\d{4}(?:[ -]\d{4}){2,3}(?![\w-])"), groups),
            (re.compile(r"(?<![\w.,])([vV]?)(\d+(?:\.\d+){2,})(?![\w]|,\d)"), self._unless_grouped(dotted)),
            (re.compile(r"(?<![\w.,])([vV])\.?\s?(\d+(?:\.\d+)*)(?!\w)"), dotted),
            *(
                []
                if self._language == "en"
                else [(re.compile(r"(?<![\w.,])()(\d+\.(?:\d{1,2}|\d{4,}))(?![\w.,])"), dotted)]
            ),
        ]

    def _unless_grouped(self, dotted: Replacement) -> Replacement:
        """`1.234.567` is a number where thousands are grouped by stops."""
        grouped = re.compile(r"\d{1,3}(?:\.\d{3})+")

        def choose(found: re.Match[str]) -> str:
            if self._language != "en" and not found[1] and grouped.fullmatch(found[2]):
                return self._numbers.number(found[2])
            return dotted(found)

        return choose

    def _quantities(self) -> list[Rule]:  # noqa: C901 - the functions share the patterns
        amount, number, say = self._amount, self._numbers.pattern, self._say
        units = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
        minus = r"(?P<minus>(?<![\w.])[-−])?"

        def signed(found: re.Match[str], words: str) -> str:
            return f"{say['minus']} {words}" if found["minus"] else words

        def unit(found: re.Match[str]) -> str:
            return signed(found, self._numbers.unit(found["n"], UNITS[found["u"]]))

        def percent(found: re.Match[str]) -> str:
            return signed(
                found, f"{self._numbers.amount(found['n'])} {say['percent' if found['u'] == '%' else 'permille']}"
            )

        def fraction(found: re.Match[str]) -> str:
            whole, sign = found["w"], found["f"]
            if len(sign) == 1:
                sign = unicodedata.normalize("NFKC", sign)
            top, _, bottom = sign.replace("⁄", "/").partition("/")
            if (top, bottom) == ("24", "7"):
                return f"{self._numbers.cardinal(24)} {self._numbers.cardinal(7)}"
            key = f"{top}/{bottom}"
            words = (
                FRACTIONS[self._language].get(key)
                or f"{self._numbers.number(top)} {say['over']} {self._numbers.number(bottom)}"
            )
            if not whole:
                return words
            mixed = MIXED_FRACTIONS[self._language].get(key) or f"{say['and']} {words}"
            said = self._numbers.number(whole.strip())
            return said + mixed if mixed == "einhalb" else f"{said} {mixed}"

        def decade(found: re.Match[str]) -> str:
            words = self._numbers.year(int(found[1])) if len(found[1]) == 4 else self._numbers.cardinal(int(found[1]))
            return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"

        def span(found: re.Match[str]) -> str:
            return f"{self._plain(found[1])} {say['to']} {self._plain(found[2])}"

        def feet(found: re.Match[str]) -> str:
            return f"{self._numbers.cardinal(int(found[1]))} foot {self._numbers.cardinal(int(found[2]))}"

        def scaled(found: re.Match[str]) -> str:
            return f"{self._numbers.number(found[1])} {SCALES['en'][found[2]]}"

        english: list[Rule] = [
            (re.compile(r"(?<![\w.,])(\d)['′’](\d{1,2})[\"″”]"), feet),
            (re.compile(r"(?<![\w.,])[’']?(\d{3}0|[2-9]0)s\b"), decade),
            (re.compile(rf"(?<![\w.,])({number})(k(?!\w)|[MB](?=\s[a-z]+s\b))"), scaled),
            (re.compile(r"(?<![\w.,])(\d+\.\d+)([MB])(?!\w)"), scaled),
        ]
        return [
            *(english if self._language == "en" else []),
            (re.compile(rf"(?<![\w.,]){minus}(?P<n>{amount})\s?(?P<u>[%‰])"), percent),
            (re.compile(rf"(?<![\w.,]){minus}(?P<n>{amount})[\s-]?(?P<u>{units})(?![\w²³/])"), unit),
            (re.compile(r"(?<![\w.,/])(?P<w>\d+\s)?(?P<f>\d{1,3}[/⁄]\d{1,3})(?![\w/]|[.,]\d)"), fraction),
            (re.compile(r"(?<![.,])(?P<w>\d+\s?)?(?P<f>[¼½¾⅐-⅞])"), fraction),
            (re.compile(rf"(?<![\w.,–-])({number})\s?[-–—]\s?({number})(?![\w–-]|[.,]\d)"), span),
        ]

    def _plain(self, text: str) -> str:
        """A number that may be a year."""
        if re.fullmatch(r"1[1-9]\d\d|20\d\d", text) and self._language in {"en", "de", "nl"}:
            return self._numbers.year(int(text))
        return self._numbers.number(text)

    def _ordinals(self) -> list[Rule]:
        numbers = self._numbers

        def plain(found: re.Match[str]) -> str:
            return numbers.ordinal(int(found[1]))

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
            "en": [(re.compile(r"(?<![\w.,])(\d{1,9})(?:st|nd|rd|th)\b"), plain)],
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
        return [first_in_list, *rules[self._language]]

    def _romans(self) -> list[Rule]:
        centuries = CENTURY[self._language].split()
        ordinal = self._language in {"en", "de", "it", "nl", "pl"}
        definite = {"en": "the ", "de": "der ", "nl": "de "}.get(self._language, "")

        def roman(found: re.Match[str]) -> str:
            numeral, stop = found[2], found[3]
            before, after = found[1].strip(), found.string[found.end() :].split()[:1]
            following = after[0].strip(".,;!?").lower() if after else ""
            number = _roman_value(numeral)
            kept_stop = stop if stop and (self._language != "de" or not after) else ""
            if following in centuries or before.lower() in centuries:
                words = self._numbers.ordinal(number)
                words = self._numbers.cardinal(number) if self._language in {"es", "pt"} else words
                return f"{found[1]}{words}{kept_stop}"
            if before in REGNAL_NAMES:
                words = f"{definite}{self._numbers.ordinal(number)}" if ordinal else self._numbers.cardinal(number)
                if number == 1 and self._language == "fr":
                    words = "premier"
                if self._language in {"es", "pt"} and number < 11:
                    words = self._numbers.ordinal(number)
                return f"{found[1]}{words}{kept_stop}"
            named = (
                before[:1].isupper()
                and not before.isupper()
                and numeral not in NO_ROMANS
                and set(numeral) <= set("IVX")
            )
            if before.lower() in COUNTED or named:
                return f"{found[1]}{self._numbers.cardinal(number)}{stop}"
            return found[0]

        def century(found: re.Match[str]) -> str:
            return self._numbers.ordinal(_roman_value(found[1]))

        rules: list[Rule] = [(re.compile(rf"(\b[^\W\d_]+\s)({ROMAN})(?![\w’'])(\.?)"), roman)]
        after = rf"(?<!\w)({ROMAN})\.?(?=\s(?:{'|'.join(centuries)})\b)"
        rules.append((re.compile(after), century))
        if self._language == "fr":
            rules.insert(0, (re.compile(rf"(?<!\w)({ROMAN})(?:e|ème|er)(?!\w)"), century))
        return rules

    def _plain_numbers(self) -> list[Rule]:
        number, say = self._numbers.pattern, self._say
        return [
            (re.compile(r"(?<=\b[CF])#(?!\w)"), lambda _: " sharp"),
            (
                re.compile(r"(?<=[A-Za-z])\d{5,}|\d{5,}(?=[A-Za-z])"),
                lambda found: f" {self._numbers.digits(found[0])} ",
            ),
            (re.compile(r"#(?=\d)"), lambda _: f"{say['number']} "),
            (re.compile(r"(?<=[A-Za-z])-(?=\d)|(?<=[A-Za-z])(?=\d)"), lambda _: " "),
            (re.compile(r"(?<![\w.,])[-−](?=\d)"), lambda _: f"{say['minus']} "),
            (re.compile(r"\+(?=\d)"), lambda _: f" {say['plus']} "),
            (re.compile(r"~\s?(?=\d)"), lambda _: f"{say['about']} "),
            (re.compile(r"(?<=\d)\s?[*x×]\s?(?=\d)"), lambda _: f" {say['times']} "),
            (re.compile(r"(?<=\d)\s?/\s?(?=\d)"), lambda _: f" {say['over']} "),
            (re.compile(r"(?<=\d)\s[-−–]\s(?=\d)"), lambda _: f" {say['minus']} "),
            (re.compile(number), lambda found: self._spaced(found, self._plain(found[0]))),
        ]

    @staticmethod
    def _spaced(found: re.Match[str], words: str) -> str:
        before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
        return f"{' ' if before.isalnum() else ''}{words}{' ' if after.isalnum() else ''}"

    def _powers(self) -> list[Rule]:
        say = self._say
        raised = {"²": say["squared"], "³": say["cubed"], "^2": say["squared"], "^3": say["cubed"]}

        def exponent(found: re.Match[str]) -> str:
            return f" {say['power']} {unicodedata.normalize('NFKC', found[0])}"

        def power(found: re.Match[str]) -> str:
            short = re.search(r"(?:\b\w{1,3}|\))$", found.string[max(found.start() - 12, 0) : found.start()])
            return f" {raised[found[0]]}" if short or found[0][0] == "^" else ""

        return [
            (re.compile(r"[²³]|\^[23](?!\d)"), power),
            (re.compile(rf"(?:(?<=\d)|(?<=\b[A-Za-z]))[{SUPERSCRIPTS}]+"), exponent),
            (re.compile(rf"[{SUPERSCRIPTS}]+"), lambda _: ""),
            (re.compile(r"(?<=\w)\^(?=\w)"), lambda _: f" {say['power']} "),
        ]

    def _signs(self) -> list[Rule]:
        say = self._say
        signs = {
            "&": say["and"], "=": say["equals"], "×": say["times"], "÷": say["divided"], "±": say["plus_minus"], "≈":
            say["about"], "≤": say["at_most"], "≥": say["at_least"], "≠": say["unequal"], "%": say["percent"], "‰":
            say["permille"], "°": say["degrees"], "§": say["section"], "@": say["at"], "№": say["number"], "∞":
            say["infinity"], "√": say["root"], "<": say["less"], ">": say["greater"], "+": say["plus"], "€": "Euro",
            "∑": say["sum"], "∫": say["integral"],
        }  # fmt: skip
        return [
            (re.compile(r"(?<=\w)<-|[-=]+>(?=\s|$)|<[-=]+(?=\s|$)"), lambda _: ", "),
            (re.compile(r"(?<=[A-Za-z]{2})\s>\s(?=[A-Z][a-z])"), lambda _: ", "),
            (re.compile(r"(?<=\w)–(?=\w)"), lambda _: f" {say['to']} "),
            (re.compile(f"[{re.escape(''.join(signs))}]"), lambda found: f" {signs[found[0]]} "),
            (re.compile(r"(?<=[^\W_])/(?=[^\W_])"), lambda _: " "),
        ]


@functools.lru_cache(maxsize=32)
def normaliser(tag: str) -> Normaliser | None:
    """The normaliser of a language; None if there are no rules for it."""
    language = tag.replace("_", "-").partition("-")[0].lower()
    return Normaliser(tag) if language in SYMBOLS else None


def _roman_value(numeral: str) -> int:
    values = [ROMAN_VALUES[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)

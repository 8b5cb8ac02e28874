"""Quantities: money, units, percentages, fractions and ranges as words."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from voiceplane_worker.text.words import FRACTIONS, MIXED_FRACTIONS, SCALES

if TYPE_CHECKING:
    from voiceplane_worker.text.numbers import NumberWords, Rule

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
    "°C": "temperature-celsius", "° C": "temperature-celsius", "ºC": "temperature-celsius",
    "°F": "temperature-fahrenheit", "° F": "temperature-fahrenheit", "°": "angle-degree",
    "kWh": "energy-kilowatt-hour", "kW": "power-kilowatt", "MW": "power-megawatt", "W": "power-watt",
    "V": "electric-volt", "kHz": "frequency-kilohertz", "MHz": "frequency-megahertz", "GHz": "frequency-gigahertz",
    "Hz": "frequency-hertz", "TB": "digital-terabyte", "GB": "digital-gigabyte", "MB": "digital-megabyte",
    "KB": "digital-kilobyte", "kB": "digital-kilobyte", "Mbit": "digital-megabit", "Gbit": "digital-gigabit",
    "ms": "duration-millisecond", "s": "duration-second", "sec": "duration-second", "min": "duration-minute",
    "h": "duration-hour", "hrs": "duration-hour", "px": "graphics-pixel", "kcal": "energy-kilocalorie",
    "hPa": "pressure-hectopascal",
}  # fmt: skip


def money_rules(numbers: NumberWords) -> list[Rule]:
    """Rules for amounts of money."""
    amount = numbers.amount_pattern
    signs = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
    scales = "|".join(re.escape(scale) for scale in sorted(SCALES[numbers.language], key=len, reverse=True))

    def money(found: re.Match[str]) -> str:
        sign = found["before"] if found.groupdict().get("before") else found["after"]
        minus = f"{numbers.symbols['minus']} " if found["minus"] else ""
        return minus + numbers.money(found["n"], CURRENCIES[sign], found["scale"] or "")

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


def quantity_rules(numbers: NumberWords) -> list[Rule]:  # noqa: C901 - the functions share the patterns
    """Rules for what is measured or counted."""
    amount, number, say = numbers.amount_pattern, numbers.pattern, numbers.symbols
    units = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
    minus = r"(?P<minus>(?<![\w.])[-−])?"

    def signed(found: re.Match[str], words: str) -> str:
        return f"{say['minus']} {words}" if found["minus"] else words

    def unit(found: re.Match[str]) -> str:
        return signed(found, numbers.unit(found["n"], UNITS[found["u"]]))

    def percent(found: re.Match[str]) -> str:
        return signed(found, f"{numbers.amount(found['n'])} {say['percent' if found['u'] == '%' else 'permille']}")

    def fraction(found: re.Match[str]) -> str:
        whole, sign = found["w"], found["f"]
        if len(sign) == 1:
            sign = unicodedata.normalize("NFKC", sign)
        top, _, bottom = sign.replace("⁄", "/").partition("/")
        if top == bottom or (top, bottom) in {("24", "7"), ("9", "11")}:
            return f"{numbers.number(top)} {numbers.number(bottom)}"
        key = f"{top}/{bottom}"
        words = FRACTIONS[numbers.language].get(key) or f"{numbers.number(top)} {say['over']} {numbers.number(bottom)}"
        if not whole:
            return words
        mixed = MIXED_FRACTIONS[numbers.language].get(key) or f"{say['and']} {words}"
        said = numbers.number(whole.strip())
        return said + mixed if mixed == "einhalb" else f"{said} {mixed}"

    def decade(found: re.Match[str]) -> str:
        digits = found[found.lastindex or 1]
        words = numbers.year(int(digits)) if len(digits) == 4 else numbers.cardinal(int(digits))
        return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"

    def span(found: re.Match[str]) -> str:
        return f"{numbers.plain(found[1])} {say['to']} {numbers.plain(found[2])}"

    def feet(found: re.Match[str]) -> str:
        return f"{numbers.cardinal(int(found[1]))} foot {numbers.cardinal(int(found[2]))}"

    def scaled(found: re.Match[str]) -> str:
        return f"{numbers.number(found[1])} {SCALES['en'][found[2]]}"

    english: list[Rule] = [
        (re.compile(r"(?<![\w.,])(\d)['′’](\d{1,2})[\"″”]"), feet),
        (re.compile(r"(?<![\w.,])[’']?(\d{3}0)s\b|(?<!\w)[’']([2-9]0)s\b"), decade),
        (re.compile(r"(?:(?<=the )|(?<=his )|(?<=her )|(?<=mid-)|(?<=early )|(?<=late ))([2-9]0)s\b"), decade),
        (re.compile(rf"(?<![\w.,])({number})(k(?!\w)|[MB](?=\s[a-z]+s\b))"), scaled),
        (re.compile(r"(?<![\w.,])(\d+\.\d+)([MB])(?!\w)"), scaled),
    ]
    return [
        *(english if numbers.language == "en" else []),
        (re.compile(rf"(?<![\w.,]){minus}(?P<n>{amount})\s?(?P<u>[%‰])"), percent),
        (re.compile(rf"(?<![\w.,]){minus}(?P<n>{amount})[\s-]?(?P<u>{units})(?![\w²³/])(?:\.(?=\s*[,;:a-z]))?"), unit),
        (re.compile(r"(?<![\w.,/])(?P<w>\d+\s)?(?P<f>\d{1,3}[/⁄]\d{1,3})(?![\w/]|[.,]\d)"), fraction),
        (re.compile(r"(?<![.,])(?P<w>\d+\s?)?(?P<f>[¼½¾⅐-⅞])"), fraction),
        (re.compile(rf"(?<![\w.,–-])({number})\s?[-–—]\s?({number})(?![\w–-]|[.,]\d)"), span),
    ]

"""Normalisation: numbers, money, dates, times, units, addresses and abbreviations as the words that are said.

It reads one segment at a time. A language without rules here is left as it is, for the model to read.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

from voiceplane_worker.text.addresses import address_rules, code_rules
from voiceplane_worker.text.dates import date_rules, time_rules
from voiceplane_worker.text.numbers import NumberWords
from voiceplane_worker.text.numerals import ordinal_rules, roman_rules
from voiceplane_worker.text.quantities import money_rules, quantity_rules
from voiceplane_worker.text.words import ABBREVIATIONS, AFTER_NUMBER, BEFORE_NAME, BEFORE_NUMBER, SYMBOLS

if TYPE_CHECKING:
    from voiceplane_worker.text.numbers import Rule

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
            *address_rules(self._numbers),
            *self._names(),
            *self._comparisons(),
            *money_rules(self._numbers),
            *date_rules(self._numbers),
            *time_rules(self._numbers),
            *code_rules(self._numbers),
            *ordinal_rules(self._numbers),
            *quantity_rules(self._numbers),
            *roman_rules(self._numbers),
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

    def _comparisons(self) -> list[Rule]:
        """Signs of two characters, and what stands before a quantity."""
        return [
            (re.compile(r"!="), lambda _: "≠"),
            (re.compile(r"<=(?!\w)"), lambda _: "≤"),
            (re.compile(r">="), lambda _: "≥"),
            (re.compile(r"~\s?(?=[\d$€£])"), lambda _: f"{self._say['about']} "),
            (re.compile(r"(?<=\d)\s?¢"), lambda _: " cents"),
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
            (re.compile(r"(?<=\d):(?=\d)"), lambda _: f" {say['to']} " if self._language == "en" else " "),
            (re.compile(r"(?<=\d)\s?[*x×]\s?(?=\d)"), lambda _: f" {say['times']} "),
            (re.compile(r"(?<=\d)\s?/\s?(?=\d)"), lambda _: f" {say['over']} "),
            (re.compile(r"(?<=\d)\s[-−–]\s(?=\d)"), lambda _: f" {say['minus']} "),
            (re.compile(number), lambda found: self._spaced(found, self._numbers.plain(found[0]))),
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

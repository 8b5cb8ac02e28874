"""Addresses and codes: of the web, of mail, of telephones, of versions; none of them is a quantity."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceplane_worker.text.numbers import NumberWords, Replacement, Rule

# Endings of hosts that are written without a scheme.
TOP_LEVEL = (
    "com|org|net|io|dev|ai|edu|gov|mil|info|biz|app|me|tv|co|uk|us|ca|au|nz|ie|de|at|ch|fr|be|es|it|pt|br|nl|pl|eu|mx|ar|"
    "jp|cn|kr|ru|se|no|dk|fi|cz|cloud|tech|xyz|online|site|shop|blog|wiki"
)
HOST = rf"(?:[A-Za-z0-9](?:[\w-]*[A-Za-z0-9])?\.)+(?:{TOP_LEVEL})"


def address_rules(numbers: NumberWords) -> list[Rule]:
    """Rules for addresses, which are spoken shortly."""

    def host(name: str) -> str:
        name = re.sub(r"^www\.", "", name.partition("/")[0].partition("?")[0].partition("#")[0], flags=re.IGNORECASE)
        name = re.sub(r":\d+$", "", name)
        return f" {numbers.symbols['dot']} ".join(name.replace("-", " ").replace("_", " ").split("."))

    def url(found: re.Match[str]) -> str:
        address = found[0].rstrip(".,;:!?)]}'\"»”")
        return host(re.sub(r"^\w+://(?:[^/@]*@)?", "", address)) + found[0][len(address) :]

    def mail(found: re.Match[str]) -> str:
        name = re.sub(r"[._+-]", lambda mark: f" {numbers.symbols['dot']} " if mark[0] == "." else " ", found[1])
        return f"{name} {numbers.symbols['at']} {host(found[2])}"

    return [
        (re.compile(r"(?i)\b(?:https?|ftp|wss?)://[^\s<>\"]+|\bwww\.[^\s<>\"]+"), url),
        (re.compile(r"(?:mailto:)?\b([A-Za-z0-9][\w.+-]{0,63})@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"), mail),
        (re.compile(rf"(?<![\w.@-]){HOST}(?![\w-]|\.\w)(?:/[^\s<>\"]*)?"), url),
        # A file, a member, a product: "main.py", "Node.js".
        (
            re.compile(r"(?<=[a-zA-Z_]{2})\.(?=[a-z]{2})|(?<=[a-z]{4})\.(?=[a-z](?![\w.]))"),
            lambda _: f" {numbers.symbols['dot']} ",
        ),
    ]


def code_rules(numbers: NumberWords) -> list[Rule]:
    """Numbers that are no quantities: of a telephone, a card, a version, a network address."""

    def groups(found: re.Match[str]) -> str:
        parts = [numbers.digits(part) for part in re.findall(r"\d+", found[0])]
        plus = f"{numbers.symbols['plus']} " if found[0].lstrip("(").startswith("+") else ""
        return plus + ", ".join(parts)

    def dotted(found: re.Match[str]) -> str:
        parts = [numbers.number(part) for part in found[2].split(".")]
        version = f"{numbers.symbols['version']} " if found[1] else ""
        point = numbers.symbols["point"] if numbers.language == "en" else numbers.symbols["dot"]
        return version + f" {point} ".join(parts)

    return [
        (
            re.compile(r"(?<![\w.,])\+\d{1,3}(?:[\s().-]{1,2}\d{1,5}){2,6}(?![\w])|(?<![\w.,])\+\d{8,15}(?!\w)"),
            groups,
        ),
        (re.compile(r"(?<![\w.,/-])(?:1[-. ])?(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])"), groups),
        (re.compile(r"(?<![\w.,/-])0\d{1,4}(?:[ /-]\d{2,8}){1,5}(?![\w-])"), groups),
        (re.compile(r"(?<![\w.,/-])\d{2,3}(?: \d{2,3}){3,6}(?![\w-]|[.,]\d)"), groups),
        (re.compile(r"(?<![\w.,/-])\d{3}-\d{4}(?![\w-])|(?<![\w.,/-])\d{4}(?:[ -]\d{4}){2,3}(?![\w-])"), groups),
        (re.compile(r"(?<![\w.,])([vV]?)(\d+(?:\.\d+){2,})(?![\w]|,\d)"), _unless_grouped(numbers, dotted)),
        (re.compile(r"(?<![\w.,])([vV])\.?\s?(\d+(?:\.\d+)*)(?!\w)"), dotted),
        *(
            []
            if numbers.language == "en"
            else [(re.compile(r"(?<![\w.,])()(\d+\.(?:\d{1,2}|\d{4,}))(?![\w.,])"), dotted)]
        ),
    ]


def _unless_grouped(numbers: NumberWords, dotted: Replacement) -> Replacement:
    """`1.234.567` is a number where thousands are grouped by stops."""
    grouped = re.compile(r"\d{1,3}(?:\.\d{3})+")

    def choose(found: re.Match[str]) -> str:
        if numbers.language != "en" and not found[1] and grouped.fullmatch(found[2]):
            return numbers.number(found[2])
        return dotted(found)

    return choose

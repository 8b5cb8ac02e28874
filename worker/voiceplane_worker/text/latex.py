"""LaTeX formulas as words. What has no words here is left out."""

from __future__ import annotations

import re

from voiceplane_worker.text.words import SYMBOLS, word_set

GREEK = word_set(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi "
    "psi omega"
)
COMMANDS = {
    "times": "times",
    "cdot": "times",
    "div": "divided",
    "pm": "plus_minus",
    "leq": "at_most",
    "le": "at_most",
    "geq": "at_least",
    "ge": "at_least",
    "neq": "unequal",
    "ne": "unequal",
    "approx": "about",
    "sim": "about",
    "infty": "infinity",
    "sum": "sum",
    "int": "integral",
    "to": "to",
    "rightarrow": "to",
    "in": "in",
    "sqrt": "root",
    "percent": "percent",
}
SIGNS = {"+": "plus", "-": "minus", "−": "minus", "=": "equals", "<": "less", ">": "greater", "/": "divided"}
_GROUP = r"\{([^{}]*)\}"
MAX_DEPTH = 8
MAX_SPOKEN_CHARS = 400


def command(name: str, language: str) -> str:
    """A command as words, with spaces around them; empty if it has none."""
    if name.lower() in GREEK:
        return f" {name.lower()} "
    key = COMMANDS.get(name)
    return f" {SYMBOLS[language][key]} " if key and language in SYMBOLS else ""


def words(source: str, language: str) -> str:
    """A formula as words; a blank for one that is too long to follow, or in a language without words for it.

    Args:
        source: Without its marks.
        language: Primary subtag.
    """
    if language not in SYMBOLS or len(source) > MAX_SPOKEN_CHARS:
        return " "
    say = SYMBOLS[language]
    text = re.sub(
        r"\\(?:text|mathrm|mathbf|mathit|mathbb|operatorname|boxed|vec|hat|bar|overline)\s*(?=\{)", "", source
    )
    text = re.sub(r"\\(?:left|right|displaystyle|quad|qquad|limits|[,;:! ])", " ", text)
    for _ in range(MAX_DEPTH):
        shorter = re.sub(rf"\\[dt]?frac\s*{_GROUP}\s*{_GROUP}", rf" \1 {say['over']} \2 ", text)
        shorter = re.sub(rf"\\sqrt\s*{_GROUP}", rf" {say['root']} \1 ", shorter)
        shorter = re.sub(rf"\^\s*{_GROUP}", _raised, shorter)
        shorter = re.sub(rf"_\s*{_GROUP}", r" \1 ", shorter)
        if shorter == text:
            text = shorter = re.sub(r"(?<![\^_\\])\{([^{}]*)\}", r" \1 ", text)
            if "{" not in text:
                break
        text = shorter
    text = re.sub(r"\^\s*(\\?[A-Za-z]+|\d+)", _raised, text)
    text = re.sub(r"\x02(.*?)\x03", lambda found: f" {_power(found[1].strip(), say)} ", text)
    text = re.sub(r"\\([A-Za-z]+)", lambda found: command(found[1], language) or f" {found[1]} ", text)
    text = re.sub(r"[-+−=<>/]", lambda found: f" {say[SIGNS[found[0]]]} ", text)
    text = re.sub(r"(?<=[a-zA-Z])(?=\d)|(?<=\d)(?=[a-zA-Z])", " ", text)
    known = re.sub(r"[^\w\s.,()!%]|_", " ", text)
    return f" {' '.join(known.split())} "


def _raised(found: re.Match[str]) -> str:
    return f"\x02{found[1]}\x03"


def _power(exponent: str, say: dict[str, str]) -> str:
    return {"2": say["squared"], "3": say["cubed"]}.get(exponent, f"{say['power']} {exponent}")

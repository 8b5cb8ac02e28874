"""What tags of HTML and SSML mean for speech."""

from __future__ import annotations

import re

from voiceplane_worker.text.words import word_set

# Elements whose content is not for the listener: programs and styles, and what a model says to itself or to tools.
MUTED_ELEMENTS = word_set(
    "script style svg head title metadata desc template noscript think thinking thought thoughts reasoning "
    "reflection scratchpad analysis tool_call tool_calls tool_response tool_responses tool_result tool_results "
    "tool_use tool_code tool function_call function_calls function_response function_results invoke"
)
MUTED_BRACKETS = {"[THINK]": "[/THINK]", "[TOOL_CALLS]": "\n", "[TOOL_RESULTS]": "[/TOOL_RESULTS]"}
"""Mistral's marks around the same."""
BLOCK_ELEMENTS = word_set(
    "p div br li ul ol dl dt dd h1 h2 h3 h4 h5 h6 tr table thead tbody section article blockquote pre hr header "
    "footer nav main aside figure figcaption form fieldset option details summary address paragraph sentence "
    "speak"
)
CELL_ELEMENTS = frozenset(["td", "th"])
SPELLED = frozenset(["characters", "spell-out", "verbatim", "digits", "telephone"])
"""Values of interpret-as that are read one character at a time (SSML 1.1 say-as)."""
BREAK_MS = {"none": 0, "x-weak": 100, "weak": 250, "medium": 500, "strong": 1000, "x-strong": 1500}
"""SSML leaves the length of a break's strengths to the processor."""

TAG = re.compile(
    r"(?P<close>/?)(?P<name>[A-Za-z][\w:.-]*)"
    r"(?P<attributes>(?:\s+[A-Za-z_:@][\w:.-]*(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>=]+))?)*)\s*(?P<empty>/?)"
)
ATTRIBUTE = re.compile(r"([A-Za-z_:@][\w:.-]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>=]+)))?")
BARE_ATTRIBUTES = word_set(
    "allowfullscreen async checked controls defer disabled hidden open readonly required selected"
)
AUTOLINK = re.compile(r"[a-z][a-z0-9+.-]{1,31}://\S*|mailto:\S+|[^\s@]+@[^\s@]+\.[^\s@]+", re.IGNORECASE)


def parse_tag(inside: str) -> tuple[str, dict[str, str], bool, bool] | None:
    """A tag's name in lower case, its attributes, whether it closes, and whether it is empty.

    Args:
        inside: What stands between the angle brackets.

    Returns:
        None if it is no tag: "a < b and c > d" has none.
    """
    found = TAG.fullmatch(inside)
    if found is None:
        return None
    attributes = {}
    for name, *values in ATTRIBUTE.findall(found["attributes"]):
        if not any(values) and f"{name}=" not in found["attributes"].replace(" ", "") and name not in BARE_ATTRIBUTES:
            return None
        attributes[name.lower()] = next(filter(None, values), "")
    return found["name"].lower(), attributes, bool(found["close"]), bool(found["empty"])


def break_ms(attributes: dict[str, str]) -> float:
    """The length of an SSML break."""
    found = re.fullmatch(r"\+?(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})\s*(ms|s)", attributes.get("time", "").strip().lower())
    if found is not None:
        return float(found[1]) * (1000 if found[2] == "s" else 1)
    return BREAK_MS.get(attributes.get("strength", "medium"), BREAK_MS["medium"])

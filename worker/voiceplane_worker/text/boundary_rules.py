"""Sentence and clause boundaries: sentences by a library, clauses and long sentences by rules of our own.

Everything here is pure, and depends on the text before a position and the next non-space character only.
"""

from __future__ import annotations

import sentencex

from voiceplane_worker.text.words import ABBREVIATIONS, BEFORE_NUMBER, word_set

CLOSERS = frozenset("\"'”’»)]}›」』】）")
CJK_STOPS = frozenset("。！？｡")
CJK_CLAUSE_MARKS = frozenset("，、；：")
STOPS = frozenset(".!?…।॥؟۔") | CJK_STOPS
CLAUSE_MARKS = frozenset(",;:—–،؛") | CJK_CLAUSE_MARKS

# Maximum context of the sentence rules: an abbreviation, an initial, a number.
CONTEXT_CHARS = 80

# Languages that write an ordinal as a number with a full stop: "am 3. Mai".
ORDINAL_STOP_LANGUAGES = frozenset(
    ["cs", "da", "de", "et", "fi", "hr", "hu", "is", "lv", "nb", "nn", "no", "pl", "sk", "sl", "sr", "tr"]
)

# Abbreviations that often end a sentence; the library's rules decide about them.
FINAL_ABBREVIATIONS = word_set(
    "etc. usw. itd. itp. enz. ecc. a.m. p.m. A.M. P.M. Inc. Ltd. Corp. Co. Jr. r. gr zł Ave. Blvd. Rd. St. min. "
    "max. Min. Std. Str. n.e. p.n.e. d.C. a.C. Ph.D. Ud. Uds. EE.UU. al. maks. ca. est. dept. s. w. tel. o.Ä."
)
# Those after which a capital begins a sentence.
LAST_WORDS = word_set("etc. usw. itd. itp. enz. ecc.")
# Names that end with a mark.
MARKED_NAMES = ("Yahoo!", "Jeopardy!", "Wham!")
QUOTES = (("“", "”"), ("«", "»"), ("(", ")"), ("„", "“"))
# A line that is at least this long was wrapped; a shorter one ends where its writer wanted it to.
WRAPPED_LINE_CHARS = 60

# Words before which a speaker may pause: conjunctions and relative pronouns, and prepositions in a long clause.
STRONG_BREAKS = {
    "en": "and but or so because although though while when where which who that if unless until than",
    "de": "und aber oder denn weil obwohl während wenn wo welche welcher welches dass ob bis als",
    "fr": "et mais ou donc car parce quoique pendant quand où qui que si jusque",
    "es": "y pero o porque aunque mientras cuando donde que quien si hasta",
    "it": "e ma o perché sebbene mentre quando dove che chi se finché",
    "pt": "e mas ou porque embora enquanto quando onde que quem se até",
    "nl": "en maar of want omdat hoewel terwijl wanneer waar die dat als tot",
}
WEAK_BREAKS = {
    "en": "of in on at by for from with to into over under about after before between through during",
    "de": "in an auf bei für von mit zu nach vor über unter zwischen durch aus",
    "fr": "de dans sur à par pour avec vers entre après avant sous chez",
    "es": "de en sobre a por para con hacia entre después antes bajo",
    "it": "di in su a da per con verso tra dopo prima sotto",
    "pt": "de em sobre a por para com entre depois antes sob",
    "nl": "van in op aan bij voor met naar over onder tussen door",
}


def speakable(text: str) -> bool:
    """Whether text has a letter or digit of any script; other text yields no speech."""
    return any(letter.isalnum() for letter in text)


def primary_language(language: str) -> str:
    """The primary subtag of a BCP 47 tag, in lower case."""
    return language.replace("_", "-").partition("-")[0].lower() or "en"


def ends_sentence(language: str, before: str, following: str) -> bool:
    """Whether a sentence ends at the end of `before`, which white space separates from the following character."""
    last = before.rstrip("".join(CLOSERS))[-1:]
    if last not in STOPS:
        return False
    if last == "." and (following.islower() or _abbreviates(language, before, following)):
        return False
    if last == "." and not following.isupper() and before.count("(") > before.count(")"):
        return False  # "(pop. 2 million)"
    if before.endswith("No.") and before[:-3][-1:].strip() == "":
        return True  # the library takes it for "number"
    if following.isupper() and before.rsplit(maxsplit=1)[-1] in LAST_WORDS:
        return True
    context = before[-CONTEXT_CHARS:]
    boundaries = [end for _, end in _spans(language, f"{context} {following}")]
    return len(context) in boundaries


def ends_clause(before: str, following: str) -> bool:
    """Whether `before`, which white space separates from the following character, ends with a clause mark."""
    ending = before.rstrip("".join(CLOSERS))
    if ending[-1:] not in CLAUSE_MARKS:
        return False
    return not (ending[-2:-1].isdigit() and following.isdigit())  # "May 5, 2024"


def is_final(language: str, before: str, *, line_ends: bool) -> bool:
    """Whether a sentence ends at the end of `before`, whatever follows its white space.

    After a question or exclamation mark it does, outside of quotes; at the end of a line after any stop, too.
    """
    last = before[-1:]
    if last in "!?" and last:
        if before.endswith(MARKED_NAMES) or before.count('"') % 2:
            return False
        word = before.rstrip("!?")[-1:]
        return not word.isspace() and word != "" and all(before.count(a) <= before.count(b) for a, b in QUOTES[:3])
    return line_ends and ends_sentence(language, before, "A")


def ends_line(before: str, following: str) -> bool:
    """Whether a speaker pauses at the end of a line, which comes after `before`; a wrapped line goes on."""
    length = len(before) - before.rfind("\n") - 1
    last = before[-1:]
    if following.islower() or last == ",":
        return False
    return length < WRAPPED_LINE_CHARS or last in STOPS or last in ":;"


def runs_on(language: str, text: str, index: int) -> int:
    """Where a sentence begins without a space before it, seen from the character at index; 0 for nowhere.

    "for you.It opens" and "Ready?Go!" are two sentences; "example.com", "Node.JS", "U.S." and an address are none.
    """
    letter, before = text[index], text[index - 1]
    if before in "!?" and (letter.isalpha() or letter in "¡¿") and index > 1:
        word = text[:index].rsplit(maxsplit=1)[-1].rstrip("!?")
        return index if word[-1:].isalpha() and not set(word) & set("./:@=&#") else 0
    if index < 3 or not before.isupper() or text[index - 2] != "." or not (letter.islower() or letter in " '’"):
        return 0
    words = text[: index - 2].split()
    word = words[-1].strip("\"'“”‘’()«»") if words and not text[index - 3].isspace() else ""
    plain = (word.isalpha() and len(word) > 1 and word[-1].islower()) or (word.isdecimal() and len(word) > 2)
    return index - 1 if plain and ends_sentence(language, text[: index - 1], before) else 0


def breaks_before(language: str, word: str, *, strong_only: bool) -> bool:
    """Whether a speaker may pause before a word."""
    known = STRONG_BREAKS.get(language, "").split()
    if not strong_only:
        known += WEAK_BREAKS.get(language, "").split()
    return word.lower() in known


def _abbreviates(language: str, before: str, following: str) -> bool:
    """Whether the stop at the end belongs to an initial ("J. Smith"), an ordinal or a list's number."""
    words = before[-CONTEXT_CHARS:].split()
    word = words[-1].rstrip(".")
    if len(word) == 1 and word.isalpha():
        return True
    if not word:
        return following in STOPS  # ". . ."
    form = words[-1].lstrip("\"'“‘(«")
    if form in BEFORE_NUMBER:
        return following.isdecimal()
    if form in ABBREVIATIONS.get(language, {}) and form not in FINAL_ABBREVIATIONS:
        return True
    number = word.isdecimal() and len(word) <= 2
    return number and (len(words) == 1 or language in ORDINAL_STOP_LANGUAGES)


def _spans(language: str, text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for sentence in sentencex.segment(language, text):
        spans.append((start, start + len(sentence.rstrip())))
        start += len(sentence)
    return spans

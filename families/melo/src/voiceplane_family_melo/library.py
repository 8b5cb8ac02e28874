"""The modules of MeloTTS that speaking needs, imported so that nothing is fetched.

As they are, its text modules ask the Hub for their tokenizers when they are imported, and g2p_en and g2pkk ask nltk's
server for dictionaries that MeloTTS has, too. So while they are imported here, stand-ins lie in their places.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import sqlite3
import sys
import tempfile
import threading
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_Syllables = tuple[tuple[str, ...], ...]

# Imports replace what is the whole process's; and the text modules keep their tokenizers in global variables.
in_library = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A language of MeloTTS.

    Attributes:
        code: MeloTTS's name of it.
        module: Its module in melo.text.
        bert: The BERT on the Hub that MeloTTS reads it with.
    """

    code: str
    module: str
    bert: str


# By the primary language of BCP 47. Each public model speaks one of them; the Chinese one reads English words, too.
LANGUAGES = {
    "en": Language(code="EN", module="english", bert="google-bert/bert-base-uncased"),
    "es": Language(code="ES", module="spanish", bert="dccuchile/bert-base-spanish-wwm-uncased"),
    "fr": Language(code="FR", module="french", bert="dbmdz/bert-base-french-europeana-cased"),
    "zh": Language(code="ZH_MIX_EN", module="chinese_mix", bert="google-bert/bert-base-multilingual-uncased"),
    "ja": Language(code="JP", module="japanese", bert="tohoku-nlp/bert-base-japanese-v3"),
    "ko": Language(code="KR", module="korean", bert="kykim/bert-kor-base"),
}

# Codes of languages whose modules know English words, too.
WITH_ENGLISH = frozenset({"EN", "ZH_MIX_EN", "KR"})


@functools.cache
def synthesizer_class() -> Any:
    """MeloTTS's SynthesizerTrn."""
    # Training aligns text and sound by it, compiled by numba. Speaking does not call it.
    name = "melo.monotonic_align"
    with in_library:
        sys.modules[name] = ModuleType(name)
        try:
            return importlib.import_module("melo.models").SynthesizerTrn
        finally:
            del sys.modules[name]


@functools.cache
def text_module(language: Language) -> Any:
    """MeloTTS's text front end of a language, without a tokenizer."""
    with in_library, contextlib.ExitStack() as replaced:
        transformers, nltk, corpus = (importlib.import_module(name) for name in ("transformers", "nltk", "nltk.corpus"))
        no_tokenizer = SimpleNamespace(from_pretrained=lambda *_, **__: None)
        replaced.enter_context(_replaced(transformers, "AutoTokenizer", no_tokenizer))
        replaced.enter_context(_replaced(corpus, "cmudict", SimpleNamespace(dict=_Pronunciations)))
        replaced.enter_context(_replaced(nltk.data, "find", lambda *_, **__: None))
        if language.code in WITH_ENGLISH:
            _import_english()
        if language.code == "ZH_MIX_EN":
            _prepare_jieba()
        if language.code in {"ES", "FR"}:
            _prepare_gruut()
        if language.code == "KR":
            importlib.import_module("g2pkk")  # its module would import it at the first text
        return importlib.import_module(f"melo.text.{language.module}")


@functools.cache
def _import_english() -> None:
    # It takes one function of the Japanese module, which would load two dictionaries. The Korean one has the same.
    korean = importlib.import_module("melo.text.korean")
    name = "melo.text.japanese"
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = korean
    try:
        english: Any = importlib.import_module("melo.text.english")
    finally:
        if absent:
            del sys.modules[name]
    english.eng_dict = _compact(english.eng_dict)
    english._g2p = _spell_with(english._g2p)  # noqa: SLF001
    # The tagger's data is not here. It tells apart words that are spelt alike; the dictionary knows nearly all of them,
    # and then g2p_en is not asked.
    sys.modules["g2p_en.g2p"].pos_tag = lambda words: [(word, "") for word in words]  # type: ignore[attr-defined]


class _Pronunciations:
    """The CMU dictionary as nltk has it, from MeloTTS's own copy."""

    def __contains__(self, word: str) -> bool:
        return word.upper() in _english_dictionary()

    def __getitem__(self, word: str) -> list[list[str]]:
        return [[sound for syllable in _english_dictionary()[word.upper()] for sound in syllable]]


def _english_dictionary() -> dict[str, _Syllables]:
    words: dict[str, _Syllables] = sys.modules["melo.text.english"].eng_dict
    return words


def _compact(words: dict[str, list[list[str]]]) -> dict[str, _Syllables]:
    """A dictionary in which the garbage collector has nothing to look through; its lists cost it a second each time."""
    same: dict[tuple[str, ...], tuple[str, ...]] = {}
    compact = {}
    for word, syllables in words.items():
        sounds = (tuple(syllable) for syllable in syllables)
        compact[word] = tuple(same.setdefault(each, each) for each in sounds)
    return compact


def _spell_with(g2p: Any) -> Any:
    """How an unknown word is spoken. BERT's mark for what it can't read at all would be spoken as a word."""
    return lambda word: [] if word == "[UNK]" else g2p(word)


def _prepare_gruut() -> None:
    """Have one gruut for all threads, which takes a word from its dictionary at once.

    It would begin again in each thread, and look through all 600,000 Spanish words for each that it has not met yet.
    """
    gruut, lang = (importlib.import_module(name) for name in ("gruut", "gruut.lang"))
    gruut._LOCAL = SimpleNamespace()  # type: ignore[attr-defined]  # noqa: SLF001
    lang.sqlite3 = SimpleNamespace(connect=_with_an_index)  # type: ignore[attr-defined]


def _with_an_index(file: str) -> sqlite3.Connection:
    """A copy of gruut's dictionary in memory; used within `in_library` only, so by one thread at a time."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    copy.execute("ATTACH ? AS file", (file,))
    copy.execute("CREATE TABLE word_phonemes AS SELECT word, pron_order, role, phonemes FROM file.word_phonemes")
    copy.execute("CREATE INDEX by_word ON word_phonemes (word)")
    copy.commit()
    copy.execute("DETACH file")
    return copy


def _prepare_jieba() -> None:
    """Load its dictionary, without the copy that it would leave in, and trust from, the machine's temporary folder."""
    jieba = importlib.import_module("jieba")
    jieba.setLogLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        jieba.dt.tmp_dir = folder
        jieba.initialize()


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)

"""Text as MeloTTS's network takes it: the numbers of sounds, tones and language, and BERT's features for each sound."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from melo.text import language_id_map, language_tone_start_map
from voiceplane_common.errors import invalid
from voiceplane_worker.adapters.options import broken
from voiceplane_worker.adapters.pack_files import one_line

from voiceplane_family_melo.library import in_library, text_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_melo.bert import Bert
    from voiceplane_family_melo.library import Language

# The network reads a text as a whole, which costs more than twice as much for one of twice the length, and BERT has 512
# places. Pieces are sentences, and hardly ever as long.
MOST_CHARACTERS = 250
# Where a longer one may be parted, the better places first.
PARTINGS = (r"[.!?…](?=\s)|[。！？]", r"[,;:](?=\s)|[，、；：]", r"\s")
# Signs that have no sound (pictures, accents without a letter, what is no character), for which there are no sounds.
UNSPOKEN = frozenset({"So", "Sk", "Me", "Cs", "Co", "Cn", "Cc"})
SILENT = frozenset({"_", "SP", "UNK", "!", "?", "…", ",", ".", "'", "-", "¿", "¡"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A text that has been read; all of its tensors are on the CPU, and as long as there are sounds.

    Attributes:
        sounds: Their numbers, with a blank between any two.
        tones: Of each.
        languages: Of each.
        tokens: The text's tokens, as BERT takes them; None without BERT.
        counts: How many sounds each token has.
    """

    sounds: torch.Tensor
    tones: torch.Tensor
    languages: torch.Tensor
    tokens: Any
    counts: torch.Tensor

    def features(self, bert: Bert | None, *, size: int, device: torch.device) -> torch.Tensor:
        """BERT's features of each sound, of the shape (size, sounds); zeros without BERT."""
        if bert is None:
            return torch.zeros(size, self.sounds.numel(), device=device)
        rows = bert.rows(self.tokens)
        # Mixed Chinese and English may have a token more or less than it has been counted with.
        rows = rows[torch.arange(self.counts.numel()).clamp_max(rows.shape[0] - 1)]
        return rows.repeat_interleave(self.counts.to(device), dim=0).T


class Reader:
    """MeloTTS's text front end for a model's language; it may be used on several threads."""

    def __init__(self, language: Language, bert: Bert | None, *, symbols: Sequence[str], with_blanks: bool) -> None:
        """Prepare; imports the language's modules, which takes seconds the first time.

        Args:
            language: The model's.
            bert: By whose tokens words are cut; None: by spaces and marks.
            symbols: The model's sounds in their order.
            with_blanks: Whether the model was trained with blanks between sounds.
        """
        self._module = text_module(language)
        self._code = language.code
        self._bert = bert
        self._tokenizer: Any = _Words() if bert is None else bert.tokenizer
        self._numbers = {symbol: number for number, symbol in enumerate(symbols)}
        self._with_blanks = with_blanks

    def read(self, text: str) -> Reading | None:
        """Read a text, or say by None that nothing in it can be spoken.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: MeloTTS's rules for the language can't read it.
        """
        if self._code in {"EN", "ZH_MIX_EN"}:
            text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
        with in_library:
            self._module.tokenizer = self._tokenizer  # where its rules look for it
            try:
                normal = self._module.text_normalize(text)
                sounds, tones, counts = self._module.g2p(normal)
            except Exception as error:  # each language's rules have their own
                raise invalid("text", f"{text!r} can't be read as {self._code}: {one_line(error)}") from None
            finally:
                self._module.tokenizer = None
            tokens = None if self._bert is None else self._bert.tokens(normal)
        if SILENT.issuperset(sounds):
            return None
        first_tone = language_tone_start_map[self._code]
        unknown = self._numbers.get("UNK", 0)
        columns = torch.tensor(
            [
                [self._numbers.get(sound, unknown) for sound in sounds],
                [tone + first_tone for tone in tones],
                [language_id_map[self._code]] * len(sounds),
            ]
        )
        spread = torch.tensor(counts)
        if self._with_blanks:
            columns, spread = _with_blanks(columns), spread * 2
            spread[0] += 1
        return Reading(sounds=columns[0], tones=columns[1], languages=columns[2], tokens=tokens, counts=spread)


def plain(text: str) -> str:
    """Text without what is not spoken, and without what MeloTTS's rules stumble over."""
    joined = "".join(each for each in text if unicodedata.category(each) != "Cf")  # a soft hyphen is within a word
    known = "".join(" " if each == "#" or unicodedata.category(each) in UNSPOKEN else each for each in joined)
    # Digits that are no number of which there are words; and letters that are no word, over which gruut takes minutes.
    known = re.sub(r"\d{13,}", lambda digits: " ".join(digits[0]), known)
    known = re.sub(r"[a-zA-ZÀ-ɏ]{25}(?=[a-zA-ZÀ-ɏ]{15})", r"\g<0> ", known)
    return " ".join(known.split())


def parts_of(text: str) -> Iterator[str]:
    """Cut a text into parts of at most MOST_CHARACTERS, at the best places that there are."""
    while len(text) > MOST_CHARACTERS:
        head = text[:MOST_CHARACTERS]
        ends = (max((found.end() for found in re.finditer(mark, head)), default=0) for mark in PARTINGS)
        end = next((end for end in ends if end > MOST_CHARACTERS // 3), MOST_CHARACTERS)
        yield head[:end].strip()
        text = text[end:].strip()
    if text:
        yield text


def check_language(pack: VoicePack, language: Language, *, languages: int, tones: int) -> None:
    """Refuse a model that was not trained for a language.

    Args:
        pack: Whose voices have the language.
        language: The language.
        languages: As many as the model has.
        tones: As many as the model has, of all languages.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID.
    """
    if language_id_map[language.code] >= languages or language_tone_start_map[language.code] >= tones:
        problem = f"config.json has num_languages {languages} and num_tones {tones}, too few for {language.code}"
        raise broken(pack, f"{problem}: correct the language of its voices", field="voices")


class _Words:
    """Cuts text as BERT's tokenizers do, but for the parts of words."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return re.findall(r"[^\W_]+|[^\s]", text)


def _with_blanks(columns: torch.Tensor) -> torch.Tensor:
    """A zero before, between and after."""
    spread = columns.new_zeros(columns.shape[0], 2 * columns.shape[1] + 1)
    spread[:, 1::2] = columns
    return spread

"""What the language model reads and writes: text, the two kinds of words of the codec, and the marks between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_family_spark.options import Style

_MARK = re.compile(r"<\|[^<>|]*\|>")


class Vocabulary:
    """The token ids of a Spark-TTS tokenizer.

    Attributes:
        semantic: Of the codec's semantic tokens, in their order: what is said, 50 a second.
        speaker: Of its global tokens: who says it.
        pitch_values: Of a voice's pitch, in mel.
        speed_values: Of its syllables a second.
        ends: Any of them ends the speech.
    """

    def __init__(self, tokenizer: Any, *, semantic: int, speaker: int, ends: Iterable[int]) -> None:
        """Look the words up.

        Args:
            tokenizer: A tokenizer of transformers.
            semantic: How many semantic tokens the codec has.
            speaker: How many global tokens it has.
            ends: Ids that end the speech by the model's configuration.

        Raises:
            ValueError: A word is missing: the tokenizer is another model's.
        """
        self._tokenizer = tokenizer
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self.semantic = [self._id(f"bicodec_semantic_{number}") for number in range(semantic)]
        self.speaker = [self._id(f"bicodec_global_{number}") for number in range(speaker)]
        self.pitch_values = self._series("pitch_value")
        self.speed_values = self._series("speed_value")
        self.ends = sorted({self._id("end_semantic_token"), tokenizer.eos_token_id, *ends})

    def marks(self, *names: str) -> list[int]:
        """The ids of marks, which are named without their brackets."""
        return [self._id(name) for name in names]

    def text(self, text: str) -> list[int]:
        """The ids of a text that is plain."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _series(self, name: str) -> list[int]:
        """The ids of all marks of a name and a number."""
        pattern = re.compile(rf"<\|{name}_\d+\|>")
        ids = sorted(number for mark, number in self._ids.items() if pattern.fullmatch(mark))
        return ids or [self._id(f"{name}_0")]

    def _id(self, name: str) -> int:
        mark = f"<|{name}|>"
        if mark not in self._ids:
            raise ValueError(f"its tokenizer does not know {mark}")
        return self._ids[mark]


def plain(text: str) -> str:
    """Text without marks, which would mean something else to the model, and without characters that it never saw."""
    return _MARK.sub(" ", text).replace("\0", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is put to the model for each text of a voice.

    Attributes:
        before: Ids before the text.
        after: Ids after it, up to where the semantic tokens follow.
        said: What a recording says whose semantic tokens are the last of `after`; the text continues it.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    said: str = ""

    def of(self, text: str, vocabulary: Vocabulary) -> list[int]:
        """The ids for a text that is plain."""
        return [*self.before, *vocabulary.text(self.said + text), *self.after]


def cloned_prompt(
    vocabulary: Vocabulary, *, speaker: list[int], said: str = "", semantic: Iterable[int] = ()
) -> Prompt:
    """The prompt of a voice that a recording has.

    Args:
        vocabulary: The model's.
        speaker: The recording's global tokens.
        said: What it says, if that is known.
        semantic: Then also its semantic tokens.
    """
    return Prompt(
        before=tuple(vocabulary.marks("task_tts", "start_content")),
        after=(
            *vocabulary.marks("end_content", "start_global_token"),
            *(vocabulary.speaker[token] for token in speaker),
            *vocabulary.marks("end_global_token", "start_semantic_token"),
            *(vocabulary.semantic[token] for token in semantic),
        ),
        said=plain(said),
    )


def styled_prompt(vocabulary: Vocabulary, style: Style) -> Prompt:
    """The prompt by which the model makes a voice up: its pitch, speed and global tokens come next."""
    labels = (f"gender_{style.gender}", f"pitch_label_{style.pitch}", f"speed_label_{style.speed}")
    return Prompt(
        before=tuple(vocabulary.marks("task_controllable_tts", "start_content")),
        after=tuple(vocabulary.marks("end_content", "start_style_label", *labels, "end_style_label")),
    )

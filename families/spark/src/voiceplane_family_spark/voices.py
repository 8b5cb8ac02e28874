"""The voices of a Spark pack: made up once when it is loaded, or taken from a recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from voiceplane_family_spark.options import SparkOptions, styles_of
from voiceplane_family_spark.vocabulary import Prompt, cloned_prompt, styled_prompt

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_spark.codec import Codec
    from voiceplane_family_spark.language_model import LanguageModel
    from voiceplane_family_spark.options import Style
    from voiceplane_family_spark.vocabulary import Vocabulary

# What a voice is made up for. Who it is hardly depends on that, but in which language.
SAMPLE_TEXTS = {
    "en": "Good morning, and thank you for calling; I will help you with your question.",
    "zh": "早上好，感谢您的来电，我会帮您解答您的问题。",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenVoice:
    """A voice as it is put to the models.

    Attributes:
        prompt: For the language model.
        speaker: For the codec; see Codec.speaker.
    """

    prompt: Prompt
    speaker: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes voices: what it takes for it."""

    pack: VoicePack
    options: SparkOptions
    vocabulary: Vocabulary
    language_model: LanguageModel
    codec: Codec
    speaker_tokens: int

    def cloned(self, speaker: list[int], semantic: list[int]) -> dict[str, SpokenVoice]:
        """The pack's one voice, which a recording with these tokens has."""
        prompt = cloned_prompt(self.vocabulary, speaker=speaker, said=self.options.reference_text, semantic=semantic)
        with torch.inference_mode():
            voice = SpokenVoice(prompt=prompt, speaker=self.codec.speaker(speaker))
        return {self.pack.metadata.voices[0].name: voice}

    def made_up(self) -> dict[str, SpokenVoice]:
        """The pack's voices, as its options describe them.

        Upstream makes up another voice for each text, and each sentence of an answer would have another speaker.
        """
        with torch.inference_mode():
            return {
                voice.name: self._make_up(style, SAMPLE_TEXTS[language_of(voice.language)])
                for voice, style in zip(self.pack.metadata.voices, styles_of(self.pack, self.options), strict=True)
            }

    def _make_up(self, style: Style, text: str) -> SpokenVoice:
        """Let the model write what comes before the semantic tokens: a pitch, a speed, and the global tokens."""
        words, model = self.vocabulary, self.language_model
        prompt = styled_prompt(words, style)
        writing = model.begin(seed=style.seed, options=self.options)
        written: list[int] = []

        def put(ids: list[int]) -> None:
            writing.read(ids)
            written.extend(ids)

        def choose(ids: list[int]) -> int:
            place = writing.draw(model.words(ids))
            put([ids[place]])
            return place

        writing.read(prompt.of(text, words))
        put(words.marks("start_acoustic_token"))
        choose(words.pitch_values)
        choose(words.speed_values)
        put(words.marks("end_acoustic_token", "start_global_token"))
        speaker = [choose(words.speaker) for _ in range(self.speaker_tokens)]
        put(words.marks("end_global_token", "start_semantic_token"))
        return SpokenVoice(prompt=replace(prompt, after=(*prompt.after, *written)), speaker=self.codec.speaker(speaker))


def language_of(tag: str) -> str:
    """The language of a BCP 47 tag."""
    return tag.partition("-")[0].lower()

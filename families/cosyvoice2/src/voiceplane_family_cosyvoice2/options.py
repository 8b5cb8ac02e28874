"""The options of a CosyVoice 2 pack."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section


class CosyVoice2Options(Section):
    """Options of a CosyVoice 2 pack.

    Attributes:
        reference_text: What the pack's reference recording says; empty: the voice is cloned across languages.
        instruct_text: How to speak, in words, such as "Speak slowly and softly."; empty: as the reference does.
        average_voice: Whether voices without a recording and without an entry in spk2info.pt may speak nevertheless.
        languages: Languages that the weights were trained for, separated by commas.
        seed: With one, the same text gives the same audio; None: each time another.
        first_chunk_tokens: Of 40 ms: how many make the first sound. Each part after that is up to twice as long.
        longest_ms_per_character: Speech that goes on for longer has lost its way, and is ended.
        longest_ms_besides: What is allowed on top of that.
    """

    reference_text: str = ""
    instruct_text: str = ""
    average_voice: bool = False
    languages: str = "zh,yue,en,ja,ko"
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    first_chunk_tokens: int = Field(default=10, ge=5, le=100)
    longest_ms_per_character: float = Field(default=250.0, gt=0.0)
    longest_ms_besides: float = Field(default=2_000.0, ge=0.0)

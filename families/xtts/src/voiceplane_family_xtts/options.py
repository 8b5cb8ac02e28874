"""The options of an XTTS pack."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section


class XttsOptions(Section):
    """Options of an XTTS pack.

    Attributes:
        temperature: Of the GPT's sampling; None: as config.json says.
        top_k: Tokens to sample from; None: as config.json says.
        top_p: Their probabilities' sum; None: as config.json says.
        repetition_penalty: Of tokens that have come before; None: as config.json says.
        seed: With one, the same text gives the same audio; None: each time another.
        longest_ms_per_character: Speech that goes on for longer has lost its way, and is ended.
        longest_ms_besides: What is allowed on top of that.
    """

    temperature: float | None = Field(default=None, gt=0.0, le=2.0)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    repetition_penalty: float | None = Field(default=None, ge=1.0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    longest_ms_per_character: float = Field(default=250.0, gt=0.0)
    longest_ms_besides: float = Field(default=2_000.0, ge=0.0)

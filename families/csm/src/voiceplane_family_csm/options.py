"""The options of a CSM pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from voiceplane_common.settings import Section
from voiceplane_worker.adapters.options import broken

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack


class CsmOptions(Section):
    """Options of a CSM pack.

    Attributes:
        speakers: The speaker ids of the pack's voices, in their order, separated by commas; empty: 0, 1, 2 ...
        reference_text: What the pack's reference recording says.
        temperature: Of the backbone's sampling; None: as generation_config.json says.
        top_k: Codes to sample from; None: as generation_config.json says.
        seed: With one, the same text gives the same audio; None: each time another.
        unsloth: Whether Unsloth, which must be installed and needs a GPU, is to make the base's inference faster.
        longest_ms_per_character: Speech that goes on for longer has lost its way, and is ended.
        longest_ms_besides: What is allowed on top of that.
    """

    speakers: str = ""
    reference_text: str = ""
    temperature: float | None = Field(default=None, gt=0.0, le=2.0)
    top_k: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    unsloth: bool = False
    longest_ms_per_character: float = Field(default=250.0, gt=0.0)
    longest_ms_besides: float = Field(default=2_000.0, ge=0.0)


def speakers_of(pack: VoicePack, options: CsmOptions) -> dict[str, str]:
    """The speaker ids by the names of the pack's voices.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: they are not as many.
    """
    names = [voice.name for voice in pack.metadata.voices]
    given = [each.strip() for each in options.speakers.split(",")] if options.speakers else None
    ids = given or [str(number) for number in range(len(names))]
    if len(ids) != len(names) or not all(each.isdecimal() for each in ids):
        message = f"options.speakers must be numbers, one for each of the {len(names)} voices: 0,1,2"
        raise broken(pack, message, field="options.speakers")
    return dict(zip(names, ids, strict=True))

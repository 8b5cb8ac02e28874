"""The options of a Parler-TTS pack, and what it says of each voice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field
from voiceplane_common.settings import Section
from voiceplane_worker.adapters.options import broken, read_options

if TYPE_CHECKING:
    from voiceplane_worker.packs.pack import VoicePack

NAME = "{voice}"
"""What stands for the voice's name in a description."""
OF_ONE_VOICE = "description."
"""What an option begins with that describes one voice; its name follows."""


class ParlerOptions(Section):
    """Options of a Parler-TTS pack, besides a `description.NAME` for each voice that is described by itself.

    Attributes:
        description: How the voices speak, in the words that the model was trained on.
        temperature: Of the sampling; None: as generation_config.json says.
        top_k: Codes to sample from; None: as generation_config.json says.
        seed: With one, the same text gives the same audio; None: each time another.
        longest_ms_per_character: Speech that goes on for longer has lost its way, and is ended.
        longest_ms_besides: What is allowed on top of that.
    """

    description: str = (
        f"{NAME} speaks naturally, at a moderate pace, with very clear audio and without background noise."
    )
    temperature: float | None = Field(default=None, gt=0.0, le=2.0)
    top_k: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    longest_ms_per_character: float = Field(default=250.0, gt=0.0)
    longest_ms_besides: float = Field(default=2_000.0, ge=0.0)


def read_parler_options(pack: VoicePack) -> tuple[ParlerOptions, dict[str, str]]:
    """A pack's options, and the descriptions of its voices by their names.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID; names the option.
    """
    given = pack.metadata.options
    own = {key.removeprefix(OF_ONE_VOICE): text for key, text in given.items() if key.startswith(OF_ONE_VOICE)}
    shared = {key: text for key, text in given.items() if not key.startswith(OF_ONE_VOICE)}
    options = read_options(ParlerOptions, replace(pack, metadata=pack.metadata.model_copy(update={"options": shared})))
    names = [voice.name for voice in pack.metadata.voices]
    for name in own:
        if name not in names:
            message = f"options.{OF_ONE_VOICE}{name} describes no voice of this pack: it has {', '.join(names)}"
            raise broken(pack, message, field=f"options.{OF_ONE_VOICE}{name}")
    descriptions = {name: own.get(name, options.description).replace(NAME, name).strip() for name in names}
    for name, text in descriptions.items():
        if not text:
            field = f"options.{OF_ONE_VOICE}{name}" if name in own else "options.description"
            raise broken(pack, f"{field} is empty: say how the voice {name!r} speaks", field=field)
    return options, descriptions

"""The family options of a pack, read into a model of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError
from voiceplane_common.errors import failed_precondition
from voiceplane_common.settings import Section

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

    from voiceplane_worker.packs.pack import VoicePack

S = TypeVar("S", bound=Section)


def read_options(model: type[S], pack: VoicePack) -> S:
    """Read a pack's options.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID; names the option and the known ones.
    """
    try:
        return model.model_validate(pack.metadata.options)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in ("options", *problem["loc"]))
        known = ", ".join(model.model_fields)
        raise broken(pack, f"{key}: {problem['msg']}; known are {known}", field=key) from None


def broken(pack: VoicePack, problem: str, *, field: str = "") -> VoiceplaneError:
    """The error of a pack that can't be loaded."""
    return failed_precondition("PACK_INVALID", f"voice pack {pack.metadata.model_id!r}: {problem}", field=field)

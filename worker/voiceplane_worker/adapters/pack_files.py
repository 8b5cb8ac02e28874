"""The files of a pack as an adapter reads them, and how it refuses one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError, failed_precondition

if TYPE_CHECKING:
    from pathlib import Path

    from voiceplane_worker.packs.pack import VoicePack


def pack_file(pack: VoicePack, role: str) -> Path:
    """The file that a pack names for a role.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: it names none, or the file is not there.
    """
    name = pack.metadata.files.get(role)
    if name is None:
        raise failed_precondition(
            "PACK_INVALID",
            f"voice pack {pack.metadata.model_id!r} names no {role!r} file: add files.{role} to its metadata.yaml",
            field=f"files.{role}",
        )
    file = pack.path / name
    if not file.is_file():
        raise invalid_file(file, "is missing")
    return file


def invalid_file(file: Path, problem: str) -> VoiceplaneError:
    """The error of a file that can't be used; `problem` goes on from its name."""
    return failed_precondition(
        "PACK_INVALID", f"{file} {problem}; fetch the voice pack again, or correct its source in metadata.yaml"
    )


def one_line(error: Exception) -> str:
    """What an exception says, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__

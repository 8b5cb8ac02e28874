"""Folders of plain files: their relative names, checked, so that nothing is read or written outside of them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from voiceplane_common.errors import failed_precondition


def safe_name(name: str) -> str:
    """A relative POSIX path that stays inside its folder.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, reason UNSAFE_PATH.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise failed_precondition("UNSAFE_PATH", f"{name!r} leads out of its folder: such an artifact is not used")
    return path.as_posix()


def files_of(root: Path) -> dict[str, Path]:
    """Every file below a folder, by its relative POSIX path in sorted order; a file is known by its own name.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: UNSAFE_PATH for a symbolic link or a special file, ARTIFACT_MISSING if
            there is nothing.
    """
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise failed_precondition("ARTIFACT_MISSING", f"{root} does not exist: correct the source's uri")
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink():
                raise failed_precondition("UNSAFE_PATH", f"{path} is a symbolic link: replace it with the file")
        for name in names:
            path = Path(folder, name)
            if not path.is_file():
                raise failed_precondition("UNSAFE_PATH", f"{path} is not a plain file: remove it")
            found[path.relative_to(root).as_posix()] = path
    return dict(sorted(found.items()))

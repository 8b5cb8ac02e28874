r"""The digest of an artifact.

A file's is its plain sha256. A folder's is the sha256 over one line for each file, sorted by path (as UTF-8 bytes): the
file's sha256 in hex, two spaces, its relative POSIX path, a newline; which is what
`find . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum` prints.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from voiceplane_common.artifacts.trees import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def digest(path: Path) -> str:
    """The digest of a file or folder: 64 hex digits, lower case. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: see `trees.files_of`.
    """
    if path.is_file():
        return file_digest(path)
    return tree_digest({name: file_digest(file) for name, file in files_of(path).items()})


def tree_digest(files: Mapping[str, str]) -> str:
    """The digest of a folder whose files have these digests, by relative name."""
    ordered = sorted(files.items(), key=lambda item: item[0].encode())
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in ordered)
    return hashlib.sha256(lines.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

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
    from pathlib import Path


def digest(path: Path) -> str:
    """The digest of a file or folder: 64 hex digits, lower case. Blocking.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: see `trees.files_of`.
    """
    if path.is_file():
        return _file_digest(path)
    files = sorted(files_of(path).items(), key=lambda item: item[0].encode())
    lines = "".join(f"{_file_digest(file)}  {name}\n" for name, file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Files that are to be fetched: what a source has resolved to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from voiceplane_common.artifacts.transport import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file somewhere else.

    Attributes:
        name: Its relative POSIX path inside of the artifact.
        identity: What names this content forever, such as a commit and a path, or an address and an ETag.
        is_lasting: Whether it does; otherwise the file is fetched each time, from its start.
        locate: A request that answers with it. Called again when the last one is refused, as a signature that expired.
        size_bytes: None if the server does not say.
        sha256: In hex, if it is known; empty otherwise.
        git_sha1: The id that git gives to its content, if it is known.
        validator: The strong ETag that it has as long as it does not change; empty if there is none.
    """

    name: str
    identity: str
    locate: Callable[[], Request]
    is_lasting: bool = True
    size_bytes: int | None = None
    sha256: str = ""
    git_sha1: str = ""
    validator: str = ""

    def hashes(self) -> list[hashlib._Hash]:
        """What to compute over its content: sha256, and git's id if that is all that is known."""
        hashes = [hashlib.sha256()]
        if self.git_sha1 and not self.sha256 and self.size_bytes is not None:
            git = hashlib.sha1(usedforsecurity=False)
            git.update(f"blob {self.size_bytes}\0".encode())
            hashes.append(git)
        return hashes

    @property
    def expected(self) -> list[str]:
        """The digests that it must have, in the order of the hashes; empty for any."""
        return [self.sha256, self.git_sha1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What an artifact is made of.

    Attributes:
        files: By relative name, one each.
        is_folder: Whether it is a folder; otherwise it has one file.
        assemble: Writes the folder from the fetched files, by name; None: each file under its name.
    """

    files: tuple[RemoteFile, ...]
    is_folder: bool
    assemble: Callable[[Mapping[str, Path], Path], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a source means at this moment.

    Attributes:
        identity: What names this content forever; empty if nothing does, and it has to be fetched each time.
        name: The artifact's last path component.
        listing: Asks for the files.
        pinned_uri: A URI that names this content forever; empty if the scheme has none.
    """

    identity: str
    name: str
    listing: Callable[[], Listing]
    pinned_uri: str = ""

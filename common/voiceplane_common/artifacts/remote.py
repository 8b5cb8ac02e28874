"""Remote sources, read through fsspec."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import fsspec

from voiceplane_common.artifacts.cache import DISK_FULL
from voiceplane_common.artifacts.copying import Progress, copy_all, copy_file
from voiceplane_common.artifacts.ssrf_guard import refusal
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.errors import VoiceplaneError, failed_precondition, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXTRAS = {"https": "http", "s3": "s3", "hf": "hf"}


class Source:
    """A remote file or folder.

    Attributes:
        name: Its last path component.
        size_bytes: Of all of its files; 0 if the server does not say.
    """

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        """Look at what is there.

        Args:
            uri: Where it is.
            options: What the scheme's file system takes besides, such as credentials.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION: EXTRA_MISSING, ARTIFACT_MISSING, UNSAFE_PATH or PRIVATE_SOURCE.
                UNAVAILABLE, FETCH_FAILED.
        """
        self._uri = uri
        scheme = uri.partition(":")[0]
        try:
            self._fs, self._root = fsspec.core.url_to_fs(uri, **options)
        except ImportError as error:
            message = f"{scheme}: sources need the extra voiceplane-common[{EXTRAS[scheme]}]: {error}"
            raise failed_precondition("EXTRA_MISSING", message, field="source.uri") from None
        try:
            # A web server's folder is a page for people, so over https there are files only.
            self._is_file = scheme == "https" or self._fs.isfile(self._root)
            found = {self._root: self._fs.info(self._root)} if self._is_file else self._fs.find(self._root, detail=True)
        except FileNotFoundError as error:
            if cause := _failure_behind(error, scheme=scheme):
                raise self._failed(cause) from error
            found = {}
        except Exception as error:  # each file system raises its own
            raise self._failed(error) from error
        if not found:
            raise failed_precondition("ARTIFACT_MISSING", f"{uri} does not exist", field="source.uri")
        self._files = {self._inside(path): path for path in found}
        self.size_bytes = sum(int(info.get("size") or 0) for info in found.values())
        self.name = PurePosixPath(self._root.partition("?")[0].rstrip("/")).name or "data"

    def write(self, target: Path, *, progress: Progress) -> None:
        """Copy it to a path that does not exist yet.

        Raises:
            VoiceplaneError: UNAVAILABLE, FETCH_FAILED.
            OSError: The disk is full.
        """
        try:
            if self._is_file:
                copy_file([self._open(self._root)], target, progress=progress)
            else:
                files = ((name, iter([self._open(path)])) for name, path in self._files.items())
                copy_all(files, target, progress=progress)
        except VoiceplaneError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            raise self._failed(error) from error

    def _open(self, path: str) -> BinaryIO:
        return cast("BinaryIO", self._fs.open(path, "rb"))

    def _inside(self, path: str) -> str:
        if self._is_file:
            return PurePosixPath(path).name
        name = path.removeprefix(self._root.rstrip("/") + "/")
        return safe_name(name)

    def _failed(self, error: BaseException) -> VoiceplaneError:
        if refused := refusal(self._uri, error):
            return refused
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return unavailable("FETCH_FAILED", f"cannot fetch {self._uri}: {text}", retry_after_ms=1000)


def _failure_behind(error: FileNotFoundError, *, scheme: str) -> BaseException | None:
    """What really failed: fsspec's HTTP file system calls any failure, of the network too, a file that is not there."""
    cause = error.__cause__
    return cause if scheme == "https" and getattr(cause, "status", 0) not in {404, 410} else None

"""The files of a comparison: a report, and a WAV file of each model."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voiceplane_cli.comparison.compare import ModelResult
from voiceplane_cli.comparison.html_report import report, wav
from voiceplane_cli.comparison.recordings import Script
from voiceplane_cli.output import CliError, ExitCode

UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFiles:
    """Where results go.

    Attributes:
        html: The report; None for none.
        folder: Of the WAV files; None for none.
    """

    html: Path | None
    folder: Path | None

    def prepare(self) -> None:
        """Make sure, before anything is measured, that all can be written.

        Raises:
            CliError: It can't; names the file.
        """
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(self.folder, error.strerror) from None
        for path, folder in ((self.html, self.html and self.html.parent), (self.folder, self.folder)):
            if path and folder and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
                raise _unwritable(path, f"{folder} is no folder that can be written to")
        if self.html is not None and self.html.is_dir():
            raise _unwritable(self.html, "it is a folder")

    def write(self, results: Sequence[ModelResult], script: Script) -> None:
        """Write them.

        Raises:
            CliError: A file can't be written.
        """
        if self.html is not None:
            _write(self.html, report(results, script).encode())
        for each in results:
            if self.folder is not None and each.shown is not None:
                _write(self.folder / f"{UNSAFE.sub('_', each.model_id)}.wav", wav(each.shown))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error.strerror) from None


def _unwritable(path: Path, why: str | None) -> CliError:
    return CliError(f"cannot write {path}: {why}", code=ExitCode.USAGE)

"""Layers of an artifact or an image, unpacked with care: what is in one is not to be trusted."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

from voiceplane_common.artifacts.archives import BROKEN, FREE_BYTES, MAX_FILES, MAX_GROWTH
from voiceplane_common.artifacts.blobs import link_or_copy
from voiceplane_common.artifacts.copying import copy_file
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.errors import VoiceplaneError, failed_precondition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from voiceplane_common.artifacts.patterns import Selection

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer.

    Attributes:
        name: Of the file that it is, or a name for it.
        is_archive: It is a tar archive, maybe compressed.
        below: Only what is below this folder is taken, which becomes the root.
        is_image: A later layer's whiteouts remove files of earlier ones.
    """

    name: str
    is_archive: bool = False
    below: str = ""
    is_image: bool = False


def unpack_layers(layers: Sequence[Layer], files: Mapping[str, Path], target: Path, *, selection: Selection) -> None:
    """Write the folder that layers make, one over the other. Blocking.

    Args:
        layers: In the manifest's order.
        files: Where each is, by its name.
        target: The folder to make.
        selection: Which files are wanted.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: UNSAFE_PATH: a name that leads out of the folder, a link or a special
            file. ARTIFACT_INVALID: a layer is broken or too large, or there is nothing in them.
    """
    target.mkdir()
    for layer in layers:
        if not layer.is_archive:
            link_or_copy(files[layer.name], target / layer.name)
            continue
        try:
            _unpack(layer, files[layer.name], target, selection)
        except BROKEN as error:
            raise _invalid(layer, f"can't be unpacked: {type(error).__name__}: {error}") from error
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise _invalid(layer, f"holds two things of one name: {error}") from None
    if not any(path.is_file() for path in target.rglob("*")):
        where = "/models of the image" if any(layer.is_image for layer in layers) else "the artifact"
        raise failed_precondition("ARTIFACT_INVALID", f"{where} holds no file that is wanted", field="source.uri")


def _unpack(layer: Layer, archive: Path, target: Path, selection: Selection) -> None:
    left = archive.stat().st_size * MAX_GROWTH + FREE_BYTES

    def copied(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise _invalid(layer, f"holds more than {MAX_GROWTH} times its own size")

    with tarfile.open(archive) as tar:
        for number, (name, member) in enumerate(_members(layer, tar)):
            if number >= MAX_FILES:
                raise _invalid(layer, f"holds more than {MAX_FILES} files")
            last = PurePosixPath(name).name
            if layer.is_image and last.startswith(_WHITEOUT):
                _remove(target, name, last)
                continue
            if not selection.takes(name):
                continue
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                message = f"{layer.name} holds {member.name!r}, which is no plain file: pack what links point to"
                raise failed_precondition("UNSAFE_PATH", message, field="source.uri")
            (target / name).unlink(missing_ok=True)  # of an earlier layer
            copy_file([cast("BinaryIO", content)], target / name, copied=copied)


def _members(layer: Layer, tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Each file that may be wanted, by its name in the folder."""
    for member in tar:
        name = member.name.removeprefix("./")
        if layer.below:
            if not name.removeprefix("/").startswith(layer.below):
                continue
            name = name.removeprefix("/").removeprefix(layer.below)
        if member.isdir() or not name:
            continue
        yield safe_name(name), member


def _remove(target: Path, name: str, last: str) -> None:
    folder = (target / name).parent
    if last == _OPAQUE:
        shutil.rmtree(folder, ignore_errors=True)
        return
    gone = folder / safe_name(last.removeprefix(_WHITEOUT))
    if gone.is_dir():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        gone.unlink(missing_ok=True)


def _invalid(layer: Layer, problem: str) -> VoiceplaneError:
    return failed_precondition("ARTIFACT_INVALID", f"{layer.name} {problem}", field="source.uri")

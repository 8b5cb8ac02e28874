"""The voice packs that a worker knows by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError, invalid
from voiceplane_common.logs import get_logger

from voiceplane_worker.packs.metadata import METADATA_FILE, read_metadata

if TYPE_CHECKING:
    from voiceplane_worker.packs.metadata import PackMetadata

_log = get_logger("packs")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogPack:
    """A pack of the catalog.

    Attributes:
        folder: Where its metadata.yaml is, and its files too if it names no source.
        metadata: What metadata.yaml says.
    """

    folder: Path
    metadata: PackMetadata


class PackCatalog:
    """The packs of a folder: <family>/<name>/metadata.yaml, by model id.

    A pack that can't be read is left out and logged, so that one broken file does not take the others away; the last
    metadata that could be read goes on standing for it.
    """

    def __init__(self, packs_dir: str | Path | None = None) -> None:
        """Read the folder.

        Args:
            packs_dir: None for the packs that come with Voiceplane.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: it is no folder.
        """
        self._folder = Path(packs_dir) if packs_dir else shipped_packs()
        if not self._folder.is_dir():
            raise invalid("worker.packs_dir", f"{self._folder} is not a folder: set worker.packs_dir to one of packs")
        self._packs: dict[str, CatalogPack] = {}
        self.refresh()

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The models that it knows."""
        return tuple(sorted(self._packs))

    @property
    def families(self) -> frozenset[str]:
        """The families of its packs, installed here or not."""
        return frozenset(pack.metadata.family for pack in self._packs.values())

    def find(self, model_id: str) -> CatalogPack | None:
        """A model's pack."""
        return self._packs.get(model_id)

    def refresh(self) -> dict[str, VoiceplaneError]:
        """Read the folder again; blocking.

        Returns:
            Why the packs of known models can't be read any more, by model id.
        """
        packs: dict[str, CatalogPack] = {}
        problems: dict[str, VoiceplaneError] = {}
        for file in sorted(self._folder.glob(f"*/*/{METADATA_FILE}")):
            try:
                metadata = read_metadata(file)
            except VoiceplaneError as error:
                _log.warning("pack_left_out", file=str(file), message=error.message)
                before = {key: pack for key, pack in self._packs.items() if pack.folder == file.parent}
                packs |= before
                problems |= dict.fromkeys(before, error)
                continue
            if metadata.model_id in packs:
                other = packs[metadata.model_id].folder
                _log.warning("pack_left_out", file=str(file), message=f"{other} has the same model_id")
                continue
            packs[metadata.model_id] = CatalogPack(folder=file.parent, metadata=metadata)
        self._packs = packs
        return problems


def shipped_packs() -> Path:
    """The packs that come with Voiceplane. In the repository a link leads from the package to them."""
    return Path(str(resources.files("voiceplane_worker"))) / "voicepacks"

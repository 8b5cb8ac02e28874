"""Pins voice packs: writes into metadata.yaml what its source means now. It needs voiceplane-worker."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from voiceplane_common.artifacts import pin
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.metadata import METADATA_FILE
from voiceplane_worker.packs.opening import check_files
from voiceplane_worker.packs.selection import escaped, select

from voiceplane_cli.output import CliError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voiceplane_common.artifacts import FetchProgress, Pinned
    from voiceplane_worker.packs.catalog import CatalogPack
    from voiceplane_worker.packs.metadata import PackSource


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPin:
    """What pinning a pack has done.

    Attributes:
        model_id: Its model.
        file: Its metadata.yaml.
        state: "pinned", "unchanged", "no source" (its files lie beside metadata.yaml) or "failed".
        uri: What its source says now.
        sha256: The digest of its files.
        files: How many there are; 0 for one file, an archive or a folder of this machine.
        message: Why it has failed, or what to look at.
    """

    model_id: str
    file: str
    state: str
    uri: str = ""
    sha256: str = ""
    files: int = 0
    message: str = ""


def pin_pack(
    pack: CatalogPack,
    *,
    credentials_dir: Path | None,
    progress: Callable[[FetchProgress], None] | None = None,
) -> PackPin:
    """Resolve a pack's source, and write its revision and the digests of its files into metadata.yaml. Blocking.

    Nothing is written unless the source has the files that the metadata names, and no pickle besides those allowed.
    """
    model_id, source, file = pack.metadata.model_id, pack.metadata.source, pack.folder / METADATA_FILE
    if source is None:
        return PackPin(model_id=model_id, file=str(file), state="no source")
    try:
        pinned = pin_source(selected_source(pack, source), credentials_dir=credentials_dir, progress=progress)
        if pinned.files and METADATA_FILE not in pinned.files:
            check_files(pack.metadata, pinned.files, beside=pack.folder)
    except VoiceplaneError as error:
        return PackPin(model_id=model_id, file=str(file), state="failed", message=one_line(error.message))
    changed = write_pin(file, pinned)
    message = ""
    if pinned.files and not (source.include or source.index or plugins.opens(pack.metadata.family)):
        message = f"family {pack.metadata.family!r} is not installed here: all files were pinned; set include"
    return PackPin(
        model_id=model_id,
        file=str(file),
        state="pinned" if changed else "unchanged",
        uri=pinned.uri,
        sha256=pinned.sha256,
        files=len(pinned.files),
        message=message,
    )


def selected_source(pack: CatalogPack, source: PackSource) -> PackSource:
    """The source of a pack without the digests of an earlier pin, with the files that it selects."""
    if source.uri.startswith("https:"):  # the index is the only list of a web server's files
        return source.model_copy(update={"sha256": ""})
    include = source.include or tuple(escaped(file.name) for file in source.index)
    bare = source.model_copy(update={"sha256": "", "index": (), "include": include})
    return select(bare, opens=plugins.opens(pack.metadata.family), metadata=pack.metadata)


def pin_source(
    source: PackSource, *, credentials_dir: Path | None, progress: Callable[[FetchProgress], None] | None = None
) -> Pinned:
    """What a source means now; raises as `voiceplane_common.artifacts.pin` does."""
    return pin(
        source.uri,
        include=source.include,
        exclude=source.exclude,
        index=source.digests,
        credentials=source.credentials,
        credentials_dir=credentials_dir,
        progress=progress,
    )


def write_pin(file: Path, pinned: Pinned) -> bool:
    """Write a pin into a metadata.yaml, whose comments and order stay.

    Returns:
        Whether the file says something else now.

    Raises:
        CliError: It can't be written.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    yaml.indent(mapping=2, sequence=4, offset=2)
    before = file.read_text(encoding="utf-8")
    document: Any = yaml.load(before)
    source = document["source"]
    index = [{"name": name, "sha256": sha256} for name, sha256 in pinned.files.items()]
    said = (source["uri"], source.get("sha256", ""), [dict(each) for each in source.get("index", ())])
    if said == (pinned.uri, pinned.sha256, index):
        return False
    if source["uri"] != pinned.uri:
        if behind := source.ca.items.get("uri", [None] * 3)[2]:  # a comment, which keeps its distance
            behind.start_mark.column += len(pinned.uri) - len(source["uri"])
        source["uri"] = pinned.uri
    _set(source, "sha256", pinned.sha256, after="uri")
    if index:
        _set(source, "index", _in_lines(index), after="")
    text = io.StringIO()
    yaml.dump(document, text)
    try:
        file.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror}") from None
    return True


def _set(source: CommentedMap, key: str, value: object, *, after: str) -> None:
    """Set a key, behind another one if it is new and that one is named, else at the end."""
    if key in source or not after:
        source[key] = value
    else:
        source.insert(list(source).index(after) + 1, key, value)


def _in_lines(index: list[dict[str, str]]) -> CommentedSeq:
    """A list with one line for each entry."""
    entries = CommentedSeq()
    for each in index:
        entry = CommentedMap(each)
        entry.fa.set_flow_style()
        entries.append(entry)
    return entries

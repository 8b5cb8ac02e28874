"""From what is asked for to a checked voice pack on this machine's disk."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError
from voiceplane_common.artifacts import digest, fetch, find
from voiceplane_common.artifacts.archives import SUFFIXES, is_archive, unpack
from voiceplane_common.artifacts.cache import Cache, default_cache_dir
from voiceplane_common.artifacts.holds import digest_of, hold
from voiceplane_common.artifacts.patterns import Selection
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid, not_found

from voiceplane_worker.packs.licences import check_licence
from voiceplane_worker.packs.metadata import METADATA_FILE, PICKLE_SUFFIXES, PackMetadata, read_metadata
from voiceplane_worker.packs.pack import VoicePack
from voiceplane_worker.packs.selection import select

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from voiceplane_common.artifacts import FetchLimits, FetchProgress
    from voiceplane_common.artifacts.holds import Hold

    from voiceplane_worker.packs.catalog import CatalogPack
    from voiceplane_worker.packs.metadata import PackSource


NO_LICENCE = "NOASSERTION"
"""The licence of files that state none, by its name in SPDX: who names such a source answers for it."""

# Sources that have single files, of which metadata.yaml can be read before the others are fetched.
FOLDER_SCHEMES = frozenset({"hf", "s3", "gs", "az"})


class NamedVoice(Protocol):
    """A voice by name; its language may be empty."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def language(self) -> str: ...  # noqa: D102


class PackRequest(Protocol):
    """What is asked for; the fields mean what they mean in the ABI's LoadModelRequest."""

    @property
    def model_id(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> PackSource | None: ...  # noqa: D102
    @property
    def family(self) -> str: ...  # noqa: D102
    @property
    def warm_up_text(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def voices(self) -> Sequence[NamedVoice]: ...  # noqa: D102


def open_pack(
    spec: PackRequest,
    known: CatalogPack | None,
    *,
    cache_dir: Path | None = None,
    credentials_dir: Path | None = None,
    accept_licences: Collection[str] = (),
    private_sources: Sequence[str] | None = None,
    progress: Callable[[FetchProgress], None] | None = None,
    cancelled: threading.Event | None = None,
    limits: FetchLimits | None = None,
    check: Callable[[PackMetadata], None] = lambda _: None,
    admit: Callable[[PackMetadata | None, Mapping[str, int]], None] = lambda *_: None,
    opens: Callable[[str], Sequence[str]] = lambda _: (),
) -> VoicePack:
    """Fetch a pack and check it. Blocking.

    The files come from the spec's source, else from the catalog's, else they lie beside the catalog's metadata.yaml. A
    source may be an archive of them. Of a remote folder only what the family opens is fetched, unless the source says
    otherwise, see `selection`. A metadata.yaml among them describes the pack; otherwise the catalog's does, or the
    family and the voices of the spec. The spec's options and warm-up text win.

    Args:
        spec: What is asked for.
        known: What the catalog says of the model.
        cache_dir: See `fetch`.
        credentials_dir: See `fetch`.
        accept_licences: Licences that may be used although they forbid commercial use.
        private_sources: See `fetch`.
        progress: See `fetch`.
        cancelled: See `fetch`.
        limits: See `fetch`.
        check: Raises if a pack that is described so can't be loaded here. Called before the pack is fetched, where its
            description is known or can be fetched alone.
        admit: Raises if files of these sizes can't be loaded here; see `fetch`. Gets the description, if it is known.
        opens: The patterns of the files that a family opens, by its name; empty for all.

    Raises:
        VoiceplaneError: NOT_FOUND: neither a source nor the catalog. FAILED_PRECONDITION, PACK_INVALID: the files are
            not what the metadata says; LICENCE_NOT_ACCEPTED. INVALID_ARGUMENT: another model or family than asked for.
            Or fetch's own.
    """
    source = spec.source or (known.metadata.source if known else None)
    described = known.metadata if known and not spec.source else None
    cache = Cache(cache_dir or default_cache_dir())
    holds: list[Hold | None] = []

    def bring(selected: PackSource, **changes: Any) -> Path:
        arguments = {
            "sha256": selected.sha256,
            "include": selected.include,
            "exclude": selected.exclude,
            "index": selected.digests,
            "cache_dir": cache_dir,
            "credentials": selected.credentials,
            "credentials_dir": credentials_dir,
            "private_sources": private_sources,
            "cancelled": cancelled,
            "limits": limits,
        }
        return fetch(selected.uri, **(arguments | changes))

    def bring_pack(selected: PackSource) -> Path:
        fetched = bring(selected, progress=progress, admit=lambda files: admit(described, files))
        holds.append(hold(cache, fetched))
        if fetched.is_file() and is_archive(fetched):
            return inside(unpack(fetched, sha256=selected.sha256, cache_dir=cache_dir))
        return fetched

    if source and described is None and can_preview(source, cache_dir=cache_dir):
        described = _preview(source, bring)
    if described:  # before anything is fetched
        described = described.model_copy(update={"model_id": spec.model_id})
        _check_family(described, spec)
        check_licence(described, accepted=accept_licences)
        check(described)
    if source:
        expected = described or (known.metadata if known else None)
        patterns = opens(spec.family or (expected.family if expected else ""))
        folder = bring_pack(select(source, opens=patterns, metadata=expected))
        own = _metadata_in(folder)
        if patterns and own and any(not (folder / name).is_file() for name in _named(own).values()):
            folder = bring_pack(select(source, opens=patterns, metadata=own))  # it names files that no pattern matches
    elif known:
        folder = known.folder
    else:
        message = f"model {spec.model_id!r} is not in the catalog: give a source, or add its pack to worker.packs_dir"
        raise not_found("model_id", message, reason="MODEL_NOT_FOUND")
    if not folder.is_dir():
        raise _broken(spec, f"{folder} is a file: a pack is a folder, or an archive of one: {', '.join(SUFFIXES)}")
    metadata = _describe(folder, spec, known)
    check_licence(metadata, accepted=accept_licences)
    files = files_of(folder)
    beside = known.folder if known else None
    check_files(metadata, files, beside=beside)
    return VoicePack(
        path=folder,
        metadata=metadata,
        reference=_reference(metadata, files, beside=beside),
        sha256=(source.sha256 if source else "") or _digest(cache, folder),
        size_bytes=sum(path.stat().st_size for path in files.values()),
        holds=tuple(each for each in (*holds, hold(cache, folder)) if each),
    )


def inside(folder: Path) -> Path:
    """The pack in an archive that was unpacked: what it holds, or the one folder that it holds."""
    entries = list(folder.iterdir())
    alone = len(entries) == 1 and (entries[0] / METADATA_FILE).is_file()
    return entries[0] if alone else folder


def _describe(folder: Path, spec: PackRequest, known: CatalogPack | None) -> PackMetadata:
    if own := _metadata_in(folder):
        metadata = own
    elif known:
        metadata = known.metadata
    elif spec.family and spec.voices and all(voice.language for voice in spec.voices):
        metadata = _from_request(spec)
    else:
        remedy = "add one, or load it with a family and with voices that have a language"
        raise _broken(spec, f"{folder} has no {METADATA_FILE}: {remedy}")
    # Whoever names a source names the model, too: one pack may serve as several models with other options.
    if not spec.source and metadata.model_id != spec.model_id:
        raise invalid("model_id", f"the pack is {metadata.model_id!r}, and {spec.model_id!r} is asked for")
    _check_family(metadata, spec)
    changes: dict[str, object] = {"model_id": spec.model_id, "options": {**metadata.options, **spec.options}}
    if spec.warm_up_text:
        changes["warm_up_text"] = spec.warm_up_text
    return metadata.model_copy(update=changes)


def _from_request(spec: PackRequest) -> PackMetadata:
    """The description of files that bring none, such as an adapter as a training wrote it."""
    try:
        voices = [{"name": voice.name, "language": voice.language} for voice in spec.voices]
        values = {"model_id": spec.model_id, "family": spec.family, "licence": NO_LICENCE, "voices": voices}
        return PackMetadata.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise invalid(field, f"{field}: {problem['msg']}") from None


def _check_family(metadata: PackMetadata, spec: PackRequest) -> None:
    if spec.family and metadata.family != spec.family:
        raise invalid("family", f"the pack's family is {metadata.family!r}, and {spec.family!r} is asked for")


def can_preview(source: PackSource, *, cache_dir: Path | None) -> bool:
    """Whether a source's metadata.yaml can be fetched alone, and the pack itself would have to be fetched."""
    is_folder = source.uri.partition(":")[0] in FOLDER_SCHEMES or bool(source.index)
    selection = Selection(include=source.include, exclude=source.exclude)
    if not is_folder or not selection.takes(METADATA_FILE):
        return False
    if source.index and METADATA_FILE not in source.digests:
        return False
    found = find(
        source.uri,
        sha256=source.sha256,
        include=source.include,
        exclude=source.exclude,
        index=source.digests,
        cache_dir=cache_dir,
    )
    return found is None


def _preview(source: PackSource, bring: Callable[..., Path]) -> PackMetadata | None:
    """The description of a pack that is not here yet; None if its source has none that can be fetched alone."""

    def only_metadata(files: Mapping[str, int]) -> None:
        if set(files) != {METADATA_FILE}:
            raise failed_precondition("ARTIFACT_MISSING", f"{source.uri} is no folder")

    try:
        folder = bring(source, sha256="", include=(METADATA_FILE,), admit=only_metadata)
    except VoiceplaneError as error:
        if error.reason == "ARTIFACT_MISSING":
            return None  # the fetch of the whole explains it, if it matters
        raise
    file = folder / METADATA_FILE
    return read_metadata(file) if file.is_file() else None


def _reference(metadata: PackMetadata, files: Mapping[str, Path], *, beside: Path | None) -> Path | None:
    """The recording that the metadata names: among the files or beside the catalog's metadata.yaml."""
    if metadata.reference is None:
        return None
    return files.get(metadata.reference) or (beside / metadata.reference if beside else None)


def check_files(metadata: PackMetadata, files: Collection[str], *, beside: Path | None = None) -> None:
    """Check that a pack has what its metadata names, and no pickle besides those that it allows.

    Args:
        metadata: What the pack's metadata.yaml says.
        files: The names of what is in its folder; see `voiceplane_common.artifacts.trees.files_of`.
        beside: The catalog's folder of the pack, where a reference may lie besides; None for none.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID, with the key of metadata.yaml.
    """
    for key, name in _named(metadata).items():
        is_beside = key == "reference" and beside is not None and (beside / name).is_file()
        if name not in files and not is_beside:
            raise _broken(metadata, f"{key} names {name!r}, which the pack does not have", field=key)
    for name in files:
        if PurePosixPath(name).suffix.lower() in PICKLE_SUFFIXES and name not in metadata.allow_pickle:
            message = (
                f"{name!r} may be a pickle, which can run any code: convert it to safetensors, or if you trust it, "
            )
            raise _broken(metadata, f"{message}name it in allow_pickle", field="allow_pickle")


def _digest(cache: Cache, folder: Path) -> str:
    """The digest of a folder; that of an artifact of the cache is known without reading it."""
    known = digest_of(cache, folder)
    return known if known and folder.parent.name == known else digest(folder)


def _metadata_in(folder: Path) -> PackMetadata | None:
    """What a fetched folder says of itself; None if it says nothing."""
    own = folder / METADATA_FILE
    return read_metadata(own) if own.is_file() else None


def _named(metadata: PackMetadata) -> dict[str, str]:
    """The files that metadata.yaml names, by key."""
    named = {f"files.{role}": name for role, name in metadata.files.items()}
    return {**named, "reference": metadata.reference} if metadata.reference else named


def _broken(pack: PackRequest | PackMetadata, problem: str, *, field: str = "") -> VoiceplaneError:
    return failed_precondition("PACK_INVALID", f"voice pack of model {pack.model_id!r}: {problem}", field=field)

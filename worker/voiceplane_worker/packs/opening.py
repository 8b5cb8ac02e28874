"""From what is asked for to a checked voice pack on this machine's disk."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from voiceplane_common.artifacts import digest, fetch
from voiceplane_common.artifacts.archives import SUFFIXES, is_archive, unpack
from voiceplane_common.artifacts.cache import Cache, default_cache_dir
from voiceplane_common.artifacts.holds import digest_of, hold
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
    opens: Callable[[str], Sequence[str]] = lambda _: (),
) -> VoicePack:
    """Fetch a pack and check it. Blocking.

    The files come from the spec's source, else from the catalog's, else they lie beside the catalog's metadata.yaml. A
    source may be an archive of them. Of a remote folder only what the family opens is fetched, unless the source says
    otherwise, see `selection`. A metadata.yaml among them describes the pack; otherwise the catalog's does. The
    spec's options and warm-up text win.

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
        opens: The patterns of the files that a family opens, by its name; empty for all.

    Raises:
        VoiceplaneError: NOT_FOUND: neither a source nor the catalog. FAILED_PRECONDITION, PACK_INVALID: the files are
            not what the metadata says; LICENCE_NOT_ACCEPTED. INVALID_ARGUMENT: another model or family than asked for.
            Or fetch's own.
    """
    if known and not spec.source:
        check_licence(known.metadata, accepted=accept_licences)  # before anything is fetched
    source = spec.source or (known.metadata.source if known else None)
    cache = Cache(cache_dir or default_cache_dir())
    holds: list[Hold | None] = []
    if source:

        def bring(selected: PackSource) -> Path:
            fetched = fetch(
                selected.uri,
                sha256=selected.sha256,
                include=selected.include,
                exclude=selected.exclude,
                index=selected.digests,
                cache_dir=cache_dir,
                credentials=selected.credentials,
                credentials_dir=credentials_dir,
                private_sources=private_sources,
                progress=progress,
                cancelled=cancelled,
                limits=limits,
            )
            holds.append(hold(cache, fetched))
            if fetched.is_file() and is_archive(fetched):
                return inside(unpack(fetched, sha256=selected.sha256, cache_dir=cache_dir))
            return fetched

        patterns = opens(spec.family or (known.metadata.family if known else ""))
        folder = bring(select(source, opens=patterns, metadata=known.metadata if known else None))
        own = _metadata_in(folder)
        if patterns and own and any(not (folder / name).is_file() for name in _named(own).values()):
            folder = bring(select(source, opens=patterns, metadata=own))  # it names files that no pattern matches
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
    check_files(metadata, files)
    return VoicePack(
        path=folder,
        metadata=metadata,
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
    else:
        raise _broken(spec, f"{folder} has no {METADATA_FILE}")
    # Whoever names a source names the model, too: one pack may serve as several models with other options.
    if not spec.source and metadata.model_id != spec.model_id:
        raise invalid("model_id", f"the pack is {metadata.model_id!r}, and {spec.model_id!r} is asked for")
    if spec.family and metadata.family != spec.family:
        raise invalid("family", f"the pack's family is {metadata.family!r}, and {spec.family!r} is asked for")
    changes: dict[str, object] = {"model_id": spec.model_id, "options": {**metadata.options, **spec.options}}
    if spec.warm_up_text:
        changes["warm_up_text"] = spec.warm_up_text
    return metadata.model_copy(update=changes)


def check_files(metadata: PackMetadata, files: Collection[str]) -> None:
    """Check that a pack has what its metadata names, and no pickle besides those that it allows.

    Args:
        metadata: What the pack's metadata.yaml says.
        files: The names of what is in its folder; see `voiceplane_common.artifacts.trees.files_of`.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID, with the key of metadata.yaml.
    """
    for key, name in _named(metadata).items():
        if name not in files:
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

"""Voice packs on disk: what a folder holds, whether it is right, and new ones. It wants voiceplane-worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from voiceplane_common.artifacts import Pinned, digest, fetch, find, list_files
from voiceplane_common.artifacts.archives import is_archive, unpack
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.catalog import CatalogPack, PackCatalog, shipped_packs
from voiceplane_worker.packs.metadata import METADATA_FILE, IndexedFile, PackMetadata, PackSource, read_metadata
from voiceplane_worker.packs.opening import check_files, inside
from voiceplane_worker.packs.selection import select

from voiceplane_cli.output import CliError, ExitCode
from voiceplane_cli.pack_pins import pin_source


@dataclass(frozen=True, slots=True, kw_only=True)
class PackView:
    """A pack of a folder.

    Attributes:
        model_id: Its model.
        family: The adapter that loads it.
        licence: Of the weights.
        source: Where the files come from; empty: they lie beside metadata.yaml.
        sha256: The digest that is stated; empty for none.
        state: "here", "not fetched", or "missing" if it can't be fetched.
        message: Why it is missing.
        folder: Where its metadata.yaml is.
    """

    model_id: str
    family: str
    licence: str
    source: str
    sha256: str
    state: str
    message: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a pack.

    Attributes:
        pack: Its metadata.yaml, relative to the folder of packs.
        message: What is wrong and what to do.
    """

    pack: str
    message: str


def packs_folder(packs_dir: Path | None) -> Path:
    """The folder that was named, else the packs that come with Voiceplane.

    Raises:
        CliError: It is no folder.
    """
    folder = packs_dir or shipped_packs()
    if not folder.is_dir():
        raise CliError(f"{folder} is not a folder: correct --packs-dir", code=ExitCode.USAGE)
    return folder


def list_packs(folder: Path) -> list[PackView]:
    """The packs that can be read; `lint` tells about the others."""
    return [_view(pack) for pack in _readable(folder)]


def lint(folder: Path) -> tuple[int, list[Problem]]:
    """How many packs there are, and what is wrong with them."""
    problems = [Problem(pack=_name(folder, file), message=message) for file, message in _misplaced(folder)]
    files = _metadata_files(folder)
    owners: dict[str, str] = {}
    for file in files:
        name = _name(folder, file)
        try:
            metadata = read_metadata(file)
        except VoiceplaneError as error:
            problems.append(Problem(pack=name, message=error.message.removeprefix(f"{file} ")))
            continue
        problems += [Problem(pack=name, message=message) for message in _mistakes(file.parent, metadata)]
        owner = owners.setdefault(metadata.model_id, name)
        if owner != name:
            problems.append(
                Problem(pack=name, message=f"model_id {metadata.model_id!r} is that of {owner}: change one")
            )
    if not files:
        problems.append(Problem(pack=".", message=f"no pack here: a pack is FAMILY/NAME/{METADATA_FILE}"))
    return len(files), problems


def chosen(folder: Path, names: Sequence[str]) -> list[CatalogPack]:
    """The packs of a folder by model id, or others by the path of their metadata.yaml or folder; all if none is named.

    Raises:
        CliError: A model that the folder does not have.
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: a file that is named can't be read.
    """
    known = {pack.metadata.model_id: pack for pack in _readable(folder)}
    found, unknown = [], []
    for name in names or known:
        file = Path(name) / METADATA_FILE if Path(name).is_dir() else Path(name)
        if name in known:
            found.append(known[name])
        elif file.is_file():
            found.append(CatalogPack(folder=file.parent, metadata=read_metadata(file)))
        else:
            unknown.append(name)
    if unknown:
        message = f"{folder} has no pack of {', '.join(unknown)}: it has {', '.join(known) or 'none'}"
        raise CliError(message, code=ExitCode.USAGE)
    return found


def add(
    uri: str,
    packs_dir: Path,
    given: Mapping[str, Any],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    credentials: str = "",
    credentials_dir: Path | None = None,
) -> tuple[Path, PackMetadata]:
    """Write a new pack: its metadata.yaml, with what the source is now, and the digests of its files.

    Of a remote folder only those files are fetched whose digests the source does not know.

    Args:
        uri: The source of the files.
        packs_dir: The folder of packs; it is made if it is not there.
        given: Keys of metadata.yaml, for a source that does not bring its own.
        include: Patterns of the files; empty for those that the family opens.
        exclude: Patterns of files to leave out.
        credentials: The set that opens the source; see `voiceplane_common.artifacts.fetch`.
        credentials_dir: Where sets of credentials are.

    Returns:
        The file that was written, and what it says.

    Raises:
        CliError: A key is missing or wrong, or there is such a pack already. Nothing is written then.
        VoiceplaneError: The source can't be read.
    """
    source = PackSource(uri=uri, credentials=credentials, include=tuple(include), exclude=tuple(exclude))
    chosen_source = select(source, opens=plugins.opens(given.get("family", "")))
    names = list_files(
        uri, include=chosen_source.include, exclude=exclude, credentials=credentials, credentials_dir=credentials_dir
    )
    if len(names) == 1 and is_archive(Path(names[0])):
        fetched = fetch(uri, credentials=credentials, credentials_dir=credentials_dir)
        sha256 = digest(fetched)
        inner = inside(unpack(fetched, sha256=sha256))
        names, own = tuple(files_of(inner)), inner / METADATA_FILE
        metadata = _describe(given, names, own)
        pinned = Pinned(uri=uri, sha256=sha256)
    else:
        described = source.model_copy(update={"include": (METADATA_FILE,)}) if METADATA_FILE in names else None
        metadata = _describe(given, names, _fetch(described, credentials_dir) if described else None)
        chosen_source = select(source, opens=plugins.opens(metadata.family), metadata=metadata)
        pinned = pin_source(chosen_source, credentials_dir=credentials_dir)
        names = tuple(pinned.files) or names
    check_files(metadata, names)
    index = tuple(IndexedFile(name=name, sha256=each) for name, each in pinned.files.items())
    stated = PackSource(uri=pinned.uri, sha256=pinned.sha256, credentials=credentials, index=index)
    metadata = metadata.model_copy(update={"source": stated})
    folder = packs_dir / metadata.family / metadata.model_id
    if folder.exists():
        raise CliError(f"{folder} is there already: remove it, or choose another --model-id", code=ExitCode.USAGE)
    file = folder / METADATA_FILE
    text = yaml.safe_dump(metadata.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    try:
        folder.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror}") from None
    return file, metadata


def _metadata_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/*/{METADATA_FILE}"))


def _readable(folder: Path) -> Iterator[CatalogPack]:
    for file in _metadata_files(folder):
        try:
            yield CatalogPack(folder=file.parent, metadata=read_metadata(file))
        except VoiceplaneError:
            continue


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def _view(pack: CatalogPack) -> PackView:
    metadata, source = pack.metadata, pack.metadata.source
    state, message = "here", ""
    try:
        if source and _find(metadata) is None:
            state = "not fetched"
    except VoiceplaneError as error:
        state, message = "missing", error.message
    return PackView(
        model_id=metadata.model_id,
        family=metadata.family,
        licence=metadata.licence,
        source=source.uri if source else "",
        sha256=source.sha256 if source else "",
        state=state,
        message=message,
        folder=str(pack.folder),
    )


def _misplaced(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that no worker finds: packs that are not two folders deep."""
    packs = {file.parent for file in _metadata_files(folder)}
    for file in sorted(folder.rglob(METADATA_FILE)):
        if not packs.intersection(file.parents):
            yield file, f"no worker finds it here: a pack is FAMILY/NAME/{METADATA_FILE}"


def _mistakes(folder: Path, metadata: PackMetadata) -> Iterator[str]:
    known = {*plugins.families(), *PackCatalog().families}  # a pack is right, wherever its family is installed
    if metadata.family in plugins.broken():
        yield plugins.broken()[metadata.family]
    elif metadata.family not in known:
        yield f"family {metadata.family!r} is unknown: use one of {', '.join(sorted(known))}, or install its package"
    elif metadata.family != folder.parent.name:
        yield f"family {metadata.family!r} is not the folder's name: move it to {metadata.family}/{folder.name}"
    if metadata.model_id != folder.name:
        yield f"model_id {metadata.model_id!r} is not the folder's name: rename the folder, or correct model_id"
    if metadata.source:
        try:
            _find(metadata)
        except VoiceplaneError as error:
            if error.reason not in {"PACKAGE_MISSING", "ARTIFACT_MISSING"}:  # that is this machine's, not the pack's
                yield f"source.uri: {error.message}"
        return
    try:
        check_files(metadata, files_of(folder))
    except VoiceplaneError as error:
        yield error.message


def _fetch(source: PackSource, credentials_dir: Path | None) -> Path:
    """The metadata.yaml of a source that has one."""
    found = fetch(source.uri, include=source.include, credentials=source.credentials, credentials_dir=credentials_dir)
    return found / METADATA_FILE if found.is_dir() else found


def _find(pack: PackMetadata) -> Path | None:
    """Where a pack's files are, if they are here; it must have a source."""
    if pack.source is None:
        return None
    source = select(pack.source, opens=plugins.opens(pack.family), metadata=pack)
    return find(source.uri, sha256=source.sha256, include=source.include, exclude=source.exclude, index=source.digests)


def _describe(given: Mapping[str, Any], files: Sequence[str], own: Path | None) -> PackMetadata:
    """What the source says of itself, else what was given."""
    if own is None or METADATA_FILE not in files:
        return _checked(_complete(given, files))
    if given:
        raise CliError(f"the source brings its own {METADATA_FILE}: leave {_flags(given)} out", code=ExitCode.USAGE)
    return read_metadata(own)


def _complete(given: Mapping[str, Any], files: Sequence[str]) -> dict[str, Any]:
    """What was given, with the files of the family where they can only be these."""
    needed = ("model_id", "family", "licence", "voices")
    if missing := [key for key in needed if not given.get(key)]:
        there = f"{', '.join(files[:8])}{' …' if len(files) > 8 else ''}"
        message = f"the source has no {METADATA_FILE}: give {_flags(missing)}; it has {there}"
        raise CliError(message, code=ExitCode.USAGE)
    values = {key: given[key] for key in (*needed[:2], "description", *needed[2:]) if given.get(key)}
    roles = dict(given.get("files", {}))
    for role, suffix in plugins.file_suffixes(given["family"]).items():
        if role in roles:
            continue
        candidates = [name for name in files if name.endswith(suffix)]
        if len(candidates) != 1:
            found = f"{len(candidates)} of its files end in {suffix}"
            raise CliError(f"{found}: say which one with --file {role}=PATH", code=ExitCode.USAGE)
        roles[role] = candidates[0]
    return {**values, "files": roles, "allow_pickle": given.get("allow_pickle", [])}


def _flags(keys: Sequence[str] | Mapping[str, Any]) -> str:
    names = {"voices": "--voice", "files": "--file"}
    return ", ".join(names.get(key, f"--{key.replace('_', '-')}") for key in keys)


def _checked(values: Mapping[str, Any]) -> PackMetadata:
    try:
        return PackMetadata.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        words = problem["msg"].removeprefix("Value error, ")
        raise CliError(f"{key}: {words}", code=ExitCode.USAGE) from None

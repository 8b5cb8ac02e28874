"""Voice packs on disk: what a folder holds, whether it is right, and new ones. It wants voiceplane-worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from voiceplane_common.artifacts import digest, fetch, find
from voiceplane_common.artifacts.archives import is_archive, unpack
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.catalog import CatalogPack, PackCatalog, shipped_packs
from voiceplane_worker.packs.metadata import METADATA_FILE, PackMetadata, PackSource, read_metadata
from voiceplane_worker.packs.opening import check_files, inside, open_pack
from voiceplane_worker.residency.model_spec import ModelSpec

from voiceplane_cli.output import CliError, ExitCode, one_line


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PackVerification:
    """What verifying a pack has shown.

    Attributes:
        model_id: Its model.
        state: "ok", "no digest" (the pack states none, so nothing was compared) or "failed".
        sha256: The digest of what was found; empty if nothing was.
        message: Why it has failed, or the key to write into metadata.yaml.
    """

    model_id: str
    state: str
    sha256: str
    message: str = ""


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


def verify(folder: Path, model_ids: Sequence[str], *, credentials_dir: Path | None) -> Iterator[PackVerification]:
    """Fetch packs, hash what is there, and compare; all of the folder's if none is named.

    Raises:
        CliError: A model that the folder does not have.
    """
    known = {pack.metadata.model_id: pack for pack in _readable(folder)}
    if unknown := [model_id for model_id in model_ids if model_id not in known]:
        message = f"{folder} has no pack of {', '.join(unknown)}: it has {', '.join(known) or 'none'}"
        raise CliError(message, code=ExitCode.USAGE)
    for model_id in model_ids or known:
        yield _verify(known[model_id], credentials_dir=credentials_dir)


def add(
    uri: str, packs_dir: Path, given: Mapping[str, Any], *, credentials: str = "", credentials_dir: Path | None = None
) -> tuple[Path, PackMetadata]:
    """Write a new pack: its metadata.yaml, with the source and its digest.

    Args:
        uri: The source of the files.
        packs_dir: The folder of packs; it is made if it is not there.
        given: Keys of metadata.yaml, for a source that does not bring its own.
        credentials: The set that opens the source; see `voiceplane_common.artifacts.fetch`.
        credentials_dir: Where sets of credentials are.

    Returns:
        The file that was written, and what it says.

    Raises:
        CliError: A key is missing or wrong, or there is such a pack already. Nothing is written then.
        VoiceplaneError: The source can't be fetched.
    """
    fetched = fetch(uri, credentials=credentials, credentials_dir=credentials_dir)
    source = PackSource(uri=uri, sha256=digest(fetched), credentials=credentials)
    if fetched.is_file() and is_archive(fetched):
        fetched = inside(unpack(fetched, sha256=source.sha256))
    metadata = _describe(given, files_of(fetched)).model_copy(update={"source": source})
    folder = packs_dir / metadata.family / metadata.model_id
    if folder.exists():
        raise CliError(f"{folder} is there already: remove it, or choose another --model-id", code=ExitCode.USAGE)
    _open(CatalogPack(folder=folder, metadata=metadata), credentials_dir=credentials_dir)
    folder.mkdir(parents=True)
    file = folder / METADATA_FILE
    text = yaml.safe_dump(metadata.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")
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
        if source and _find(source) is None:
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
            _find(metadata.source)
        except VoiceplaneError as error:
            if error.reason not in {"PACKAGE_MISSING", "ARTIFACT_MISSING"}:  # that is this machine's, not the pack's
                yield f"source.uri: {error.message}"
        return
    try:
        check_files(metadata, files_of(folder))
    except VoiceplaneError as error:
        yield error.message


def _open(pack: CatalogPack, *, credentials_dir: Path | None) -> None:
    """Check a pack as a worker would that accepts its licence."""
    accepted = (pack.metadata.licence,)
    spec = ModelSpec(model_id=pack.metadata.model_id)
    open_pack(spec, pack, credentials_dir=credentials_dir, accept_licences=accepted)


def _stating(pack: CatalogPack, sha256: str) -> CatalogPack:
    """The pack with the digest of its source, by which what was fetched is found again."""
    if (source := pack.metadata.source) is None:
        return pack
    stated = {"source": source.model_copy(update={"sha256": sha256})}
    return CatalogPack(folder=pack.folder, metadata=pack.metadata.model_copy(update=stated))


def _verify(pack: CatalogPack, *, credentials_dir: Path | None) -> PackVerification:
    model_id, source = pack.metadata.model_id, pack.metadata.source
    found = ""
    try:
        path = pack.folder if source is None else _fetch(source, credentials_dir=credentials_dir)
        found = digest(path)
        if source and source.sha256 not in {"", found}:
            message = f"{path} has changed since it was fetched as {source.sha256}: remove it, and verify again"
            return PackVerification(model_id=model_id, state="failed", sha256=found, message=message)
        _open(_stating(pack, found), credentials_dir=credentials_dir)
    except VoiceplaneError as error:
        return PackVerification(model_id=model_id, state="failed", sha256=found, message=one_line(error.message))
    if source is None or source.sha256:
        return PackVerification(model_id=model_id, state="ok", sha256=found)
    return PackVerification(model_id=model_id, state="no digest", sha256=found, message=f"write source.sha256: {found}")


def _fetch(source: PackSource, *, credentials_dir: Path | None) -> Path:
    return fetch(
        source.uri,
        sha256=source.sha256,
        include=source.include,
        exclude=source.exclude,
        index=source.digests,
        credentials=source.credentials,
        credentials_dir=credentials_dir,
    )


def _find(source: PackSource) -> Path | None:
    return find(source.uri, sha256=source.sha256, include=source.include, exclude=source.exclude, index=source.digests)


def _describe(given: Mapping[str, Any], files: Mapping[str, Path]) -> PackMetadata:
    """What the source says of itself, else what was given."""
    if METADATA_FILE not in files:
        return _checked(_complete(given, files))
    if given:
        raise CliError(f"the source brings its own {METADATA_FILE}: leave {_flags(given)} out", code=ExitCode.USAGE)
    return read_metadata(files[METADATA_FILE])


def _complete(given: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """What was given, with the files of the family where they can only be these."""
    needed = ("model_id", "family", "licence", "voices")
    if missing := [key for key in needed if not given.get(key)]:
        message = f"the source has no {METADATA_FILE}: give {_flags(missing)}"
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

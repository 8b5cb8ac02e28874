"""`voiceplane packs`: its commands, which want voiceplane-worker."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voiceplane_cli.options import Json
from voiceplane_cli.output import CliError, ExitCode, humanise_bytes, print_json, stdout, table
from voiceplane_cli.progress import progress_line
from voiceplane_cli.quantities import seconds, size_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

app = typer.Typer(no_args_is_help=True, help="Voice packs: list, check, add, pin and fetch them, and prune the cache.")

PacksDir = Annotated[Path | None, typer.Option(help="A folder of packs; default: those that come with Voiceplane.")]
CredentialsDir = Annotated[Path | None, typer.Option(help="A folder of sets of credentials, for sources that ask.")]
NEEDED = "voiceplane_worker"


@app.command("list")
def list_packs(packs_dir: PacksDir = None, json_: Json = False) -> None:
    """The packs of a folder: family, licence, source, and whether their files are on this machine."""
    packs = _library()
    found = packs.list_packs(packs.packs_folder(packs_dir))
    if json_:
        print_json({"packs": [asdict(pack) for pack in found]})
        return
    rows = [(pack.model_id, pack.family, pack.licence, pack.state, pack.source or "its folder") for pack in found]
    console = stdout()
    console.print(table(("model", "family", "licence", "state", "source"), rows))
    for pack in found:
        if pack.message:
            console.print(f"{pack.model_id} is {pack.state}: {pack.message}", markup=False)


@app.command()
def lint(packs_dir: PacksDir = None, json_: Json = False) -> None:
    """Check every metadata.yaml of a folder; fetches nothing."""
    packs = _library()
    count, problems = packs.lint(packs.packs_folder(packs_dir))
    if json_:
        print_json({"ok": not problems, "packs": count, "problems": [asdict(problem) for problem in problems]})
    else:
        console = stdout()
        for problem in problems:
            console.print(f"{problem.pack}: {problem.message}", markup=False, soft_wrap=True)
        console.print(f"{count} packs, {len(problems)} problems")
    if problems:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def pin(
    packs_: Annotated[
        list[str] | None, typer.Argument(metavar="[ID|FILE]...", help="Models, or metadata.yaml files; default: all.")
    ] = None,
    packs_dir: PacksDir = None,
    credentials_dir: CredentialsDir = None,
    json_: Json = False,
) -> None:
    """Write the revision of each source and the digests of its files into metadata.yaml."""
    packs, pins = _library(), _library("pack_pins")
    found = []
    for pack in packs.chosen(packs.packs_folder(packs_dir), packs_ or []):
        with progress_line(pack.metadata.model_id, hidden=json_) as progress:
            found.append(pins.pin_pack(pack, credentials_dir=credentials_dir, progress=progress))
    failed = any(each.state == "failed" for each in found)
    if json_:
        print_json({"ok": not failed, "packs": [asdict(each) for each in found]})
    else:
        rows = [(each.model_id, each.state, str(each.files or "-"), each.uri or "-") for each in found]
        _print(("model", "state", "files", "source"), rows, found)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def prefetch(
    packs_: Annotated[list[str], typer.Argument(metavar="ID|FILE...", help="Models, or metadata.yaml files.")],
    packs_dir: PacksDir = None,
    credentials_dir: CredentialsDir = None,
    keep: Annotated[
        bool | None, typer.Option("--keep/--no-keep", help="Whether no pruning removes it; default: as before.")
    ] = None,
    json_: Json = False,
) -> None:
    """Fetch packs into the cache, without loading them. What is there already costs nothing."""
    packs, cache = _library(), _library("pack_cache")
    found = []
    for pack in packs.chosen(packs.packs_folder(packs_dir), packs_):
        with progress_line(pack.metadata.model_id, hidden=json_) as progress:
            found.append(cache.prefetch_pack(pack, credentials_dir=credentials_dir, keep=keep, progress=progress))
    failed = any(each.state == "failed" for each in found)
    if json_:
        print_json({"ok": not failed, "packs": [asdict(each) for each in found]})
    else:
        rows = [(each.model_id, each.state, humanise_bytes(each.size_bytes), each.sha256 or "-") for each in found]
        _print(("model", "state", "size", "sha256"), rows, found)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def verify(
    packs_: Annotated[
        list[str] | None, typer.Argument(metavar="[ID|FILE]...", help="Models, or metadata.yaml files; default: all.")
    ] = None,
    packs_dir: PacksDir = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is damaged from the cache.")] = False,
    json_: Json = False,
) -> None:
    """Hash what is on this machine, and compare it with the digests; fetches nothing."""
    packs, cache = _library(), _library("pack_cache")
    chosen = packs.chosen(packs.packs_folder(packs_dir), packs_ or [])
    verdicts = list(cache.verify_packs(chosen, remove_damaged=remove))
    failed = not all(verdict.is_good for verdict in verdicts)
    if json_:
        print_json({"ok": not failed, "packs": [asdict(verdict) for verdict in verdicts]})
    else:
        rows = [(verdict.model_id, verdict.state, verdict.sha256 or "-") for verdict in verdicts]
        _print(("model", "state", "sha256"), rows, verdicts)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def prune(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Remove what was not used for so long, such as 12h or 30d.")
    ] = "",
    max_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="Remove the longest unused until the cache is so small, such as 20GiB.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json_: Json = False,
) -> None:
    """Remove packs from the cache that were not used for long: without an option, for 30 days. What is held stays."""
    limit = size_bytes("--max-bytes", max_bytes) if max_bytes else None
    age = older_than or ("" if max_bytes else "30d")
    unused_s = seconds("--older-than", age) if age else None
    done, sources = _library("pack_cache").prune_cache(max_bytes=limit, unused_s=unused_s, dry_run=dry_run)
    if json_:
        removed = [{"sha256": each, "source": sources.get(each, "")} for each in done.removed]
        print_json({**asdict(done), "removed": removed, "dry_run": dry_run})
        return
    console = stdout()
    for sha256 in done.removed:
        told = f"{'would remove' if dry_run else 'removed'} {sha256[:12]} {sources.get(sha256, '')}".rstrip()
        console.print(told, markup=False, soft_wrap=True)
    kept = f", {len(done.kept)} in use or kept on request" if done.kept else ""
    freed, left = (humanise_bytes(each) if each else "0 B" for each in (done.freed_bytes, done.left_bytes))
    console.print(f"{freed} freed, {left} left{kept}")


@app.command()
def add(
    source: Annotated[str, typer.Argument(help="file:, package:, https:, s3:, gs:, az:, hf: or oci: of the files.")],
    packs_dir: Annotated[Path, typer.Option(help="The folder of packs that gets it.")],
    model_id: Annotated[str, typer.Option("--model-id", "--id", help="The model's name.")] = "",
    family: Annotated[str, typer.Option(help="The adapter that loads it.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights: an SPDX identifier, or a name.")] = "",
    voice: Annotated[list[str] | None, typer.Option(help="NAME=LANGUAGE, once for each; the default first.")] = None,
    file: Annotated[
        list[str] | None, typer.Option(help="ROLE=PATH, for files whose role does not follow from the name.")
    ] = None,
    allow_pickle: Annotated[
        list[str] | None, typer.Option(help="A file that may be a pickle, if you trust it.")
    ] = None,
    description: Annotated[str, typer.Option(help="One line for people.")] = "",
    include: Annotated[
        list[str] | None, typer.Option(help="A pattern of the files to fetch; default: what the family opens.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A pattern of files to leave out.")] = None,
    credentials: Annotated[str, typer.Option(help="The set of credentials that opens the source.")] = "",
    credentials_dir: CredentialsDir = None,
    json_: Json = False,
) -> None:
    """Write a new pack from a source, with its revision and the digests of its files."""
    packs = _library()
    given: dict[str, Any] = {
        "model_id": model_id,
        "family": family,
        "licence": licence,
        "description": description,
        "voices": [{"name": name, "language": language} for name, language in _pairs("--voice", voice)],
        "files": dict(_pairs("--file", file)),
        "allow_pickle": allow_pickle,
    }
    given = {key: value for key, value in given.items() if value}
    written, metadata = packs.add(
        source,
        packs_dir,
        given,
        include=include or (),
        exclude=exclude or (),
        credentials=credentials,
        credentials_dir=credentials_dir,
    )
    if json_:
        print_json({"file": str(written), "model_id": metadata.model_id, "sha256": metadata.source.sha256})
    else:
        stdout().print(f"{written}\nsha256 {metadata.source.sha256}", markup=False, soft_wrap=True)


def _pairs(flag: str, values: list[str] | None) -> list[tuple[str, str]]:
    pairs = [value.partition("=")[::2] for value in values or ()]
    for value, (left, right) in zip(values or (), pairs, strict=True):
        if not left or not right:
            example = "joe=en-US" if flag == "--voice" else "model=model.onnx"
            raise CliError(f"{flag} {value!r} is not NAME=VALUE, such as {example}", code=ExitCode.USAGE)
    return pairs


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]], found: Sequence[Any]) -> None:
    """A table, and below it what there is to say of single packs."""
    console = stdout()
    console.print(table(columns, rows))
    for each in found:
        if each.message:
            console.print(f"{each.model_id}: {each.message}", markup=False, soft_wrap=True)


def _library(name: str = "packs") -> ModuleType:
    """The module that does the work, once it is known that it can be imported."""
    if importlib.util.find_spec(NEEDED) is None:
        raise CliError(
            "voice packs are read by voiceplane-worker: pip install voiceplane-worker (in a checkout: uv sync)"
        )
    return importlib.import_module(f"voiceplane_cli.{name}")

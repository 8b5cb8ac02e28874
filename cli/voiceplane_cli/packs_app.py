"""`voiceplane packs`: its commands, which want voiceplane-worker."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voiceplane_cli.options import Json
from voiceplane_cli.output import CliError, ExitCode, print_json, stdout, table

if TYPE_CHECKING:
    from types import ModuleType

app = typer.Typer(no_args_is_help=True, help="Voice packs on disk: see what is there, check it, add more.")

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
def verify(
    model_ids: Annotated[list[str] | None, typer.Argument(help="Models; default: all of the folder.")] = None,
    packs_dir: PacksDir = None,
    credentials_dir: CredentialsDir = None,
    json_: Json = False,
) -> None:
    """Fetch packs, hash what is there, and compare it with the digest that each states."""
    packs = _library()
    folder = packs.packs_folder(packs_dir)
    verdicts = list(packs.verify(folder, model_ids or [], credentials_dir=credentials_dir))
    failed = any(verdict.state == "failed" for verdict in verdicts)
    if json_:
        print_json({"ok": not failed, "packs": [asdict(verdict) for verdict in verdicts]})
    else:
        console = stdout()
        rows = [(verdict.model_id, verdict.state, verdict.sha256 or "-") for verdict in verdicts]
        console.print(table(("model", "state", "sha256"), rows))
        for verdict in verdicts:
            if verdict.message:
                console.print(f"{verdict.model_id}: {verdict.message}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def add(
    source: Annotated[str, typer.Argument(help="file:, package:, https:, s3: or hf: of the files.")],
    packs_dir: Annotated[Path, typer.Option(help="The folder of packs that gets it.")],
    model_id: Annotated[str, typer.Option(help="The model's name.")] = "",
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
    credentials: Annotated[str, typer.Option(help="The set of credentials that opens the source.")] = "",
    credentials_dir: CredentialsDir = None,
    json_: Json = False,
) -> None:
    """Write a new pack from a source: fetches it once, and states its digest."""
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
    written, metadata = packs.add(source, packs_dir, given, credentials=credentials, credentials_dir=credentials_dir)
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


def _library() -> ModuleType:
    """The module that does the work, once it is known that it can be imported."""
    if importlib.util.find_spec(NEEDED) is None:
        raise CliError(
            "voice packs are read by voiceplane-worker: pip install voiceplane-worker (in a checkout: uv sync)"
        )
    return importlib.import_module("voiceplane_cli.packs")

"""`voiceplane keys`: the files of API keys that an orchestrator reads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from voiceplane_common.api_keys import ApiKey, new_key, read_keys, write_keys

from voiceplane_cli.options import Json
from voiceplane_cli.output import CliError, note, print_json, stdout, table

app = typer.Typer(no_args_is_help=True, help="API keys: make, list and revoke those of a file (auth.keys_file).")

KeysFile = Annotated[Path, typer.Option("--file", help="The file of keys.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    file: KeysFile,
    days: Annotated[int | None, typer.Option(min=1, help="Lifetime in days; default: no expiry.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may load models from any source, too.")] = False,
) -> None:
    """Make a key, print it once, and keep its digest in the file. Older keys of the name stay good until revoked."""
    keys = read_keys(file) if file.exists() else ()
    key, entry = new_key(name, lifetime=timedelta(days=days) if days else None, admin=admin)
    _write(file, (*keys, entry))
    typer.echo(key)
    note(f"The key of {name}: it is not kept, and can't be shown again. {file} has its digest.")


@app.command("list")
def list_keys(file: KeysFile, json_: Json = False) -> None:
    """The keys of a file: whose they are, how their digests begin, and when they expire."""
    keys = read_keys(file)
    if json_:
        print_json({"keys": [key.model_dump(mode="json") for key in keys]})
        return
    rows = [
        (
            key.name,
            key.sha256[:12],
            key.expires.isoformat() if key.expires else "never",
            "admin" if key.admin else "",
        )
        for key in keys
    ]
    stdout().print(table(("name", "sha256", "expires", "may"), rows))


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="NAME|SHA256", help="A name, or the beginning of a digest.")],
    file: KeysFile,
) -> None:
    """Remove the keys of a name, or the one whose digest begins so. Orchestrators see it within a second."""
    keys = read_keys(file)
    left = tuple(key for key in keys if key.name != which and not (len(which) >= 8 and key.sha256.startswith(which)))
    if len(left) == len(keys):
        raise CliError(f"{file} has no key of {which}: `voiceplane keys list --file {file}` shows them")
    _write(file, left)
    note(f"{len(keys) - len(left)} revoked, {len(left)} left.")


def _write(file: Path, keys: tuple[ApiKey, ...]) -> None:
    try:
        write_keys(file, keys)
    except OSError as error:
        raise CliError(f"cannot write {file}: {error.strerror}") from None

"""`voiceplane logs`: what the programs' logs say."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from voiceplane_cli import log_summary
from voiceplane_cli.options import Json
from voiceplane_cli.output import CliError, ExitCode, print_json, stdout

app = typer.Typer(no_args_is_help=True, help="What the JSON logs of orchestrators and workers say.")


@app.command()
def summary(
    files: Annotated[list[str], typer.Argument(help="Log files, or - for standard input.")],
    session: Annotated[str, typer.Option(help="Of this session only, by its id.")] = "",
    json_: Json = False,
) -> None:
    """Sessions, turns, latencies, errors by reason and reroutes."""
    found = log_summary.summarize(_lines(files), session_id=session)
    if not found.lines:
        raise CliError("no line of a log of ours: is it JSON (log.json_lines)?", code=ExitCode.USAGE)
    if json_:
        print_json(asdict(found))
    else:
        stdout().print(log_summary.view(found))


def _lines(files: list[str]) -> Iterator[str]:
    for name in files:
        try:
            with contextlib.ExitStack() as stack:
                yield from sys.stdin if name == "-" else stack.enter_context(Path(name).open(errors="replace"))
        except OSError as error:
            raise CliError(f"cannot read {name}: {error.strerror}", code=ExitCode.USAGE) from None

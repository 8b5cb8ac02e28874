"""The command voiceplane-orchestrator."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from voiceplane_common import gc_tuning, logs
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import load_settings
from voiceplane_common.tracing_setup import configure_tracing

from voiceplane_orchestrator.app import Orchestrator
from voiceplane_orchestrator.settings import OrchestratorSettings


def serve(
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings.")] = None,
    listen: Annotated[str | None, typer.Option(help="host:port; port 0 lets the system choose.")] = None,
    workers: Annotated[list[str] | None, typer.Option(help="A worker's host:port or unix:/path; repeatable.")] = None,
    embedded_worker: Annotated[
        bool, typer.Option("--embedded-worker", help="Start a worker as a child process.")
    ] = False,
    default_model: Annotated[str | None, typer.Option(help="Of the embedded worker.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Of the embedded worker.")] = None,
    reply: Annotated[str | None, typer.Option(help="echo or llm.")] = None,
    asr_model: Annotated[str | None, typer.Option(help="A folder or URI with a CTranslate2 Whisper model.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run the orchestrator. Flags override VOICEPLANE_… variables, which override the file."""
    worker_args = _flags({"--default-model": default_model, "--adapter": adapter, "--log-level": log_level})
    try:
        settings = load_settings(
            OrchestratorSettings,
            file=config,
            overrides={
                "server.listen": listen,
                "discovery.kind": "embedded" if embedded_worker else None,
                "discovery.worker_args": worker_args if embedded_worker and worker_args else None,
                "discovery.workers": workers or None,
                "replies.engine": reply,
                "asr.model": asr_model,
                "log.level": log_level,
            },
        )
        logs.configure(
            level=settings.log.level,
            json=settings.log.json_lines,
            log_transcripts=settings.privacy.log_transcripts,
        )
        configure_tracing("voiceplane-orchestrator")
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except VoiceplaneError as error:
        typer.echo(f"voiceplane-orchestrator: {error.message}", err=True)
        raise typer.Exit(2) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's event loop where uvloop is installed; it does not support every system."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    uvloop = importlib.import_module("uvloop")
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _flags(values: dict[str, str | None]) -> list[str]:
    return [part for flag, value in values.items() if value is not None for part in (flag, value)]


async def _serve(settings: OrchestratorSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    orchestrator = Orchestrator(settings)
    starting = asyncio.create_task(orchestrator.__aenter__())
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        starting.result()
        gc_tuning.freeze()
        typer.echo(f"listening on {orchestrator.url}", err=True)
        await stop
        await orchestrator.drain()
        await orchestrator.__aexit__()
    finally:
        for task in (starting, stop):
            task.cancel()
        await asyncio.gather(starting, stop, return_exceptions=True)


def main() -> None:
    """Entry point."""
    typer.run(serve)


if __name__ == "__main__":
    main()

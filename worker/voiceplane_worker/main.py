"""The command voiceplane-worker."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import prometheus_client
import typer
import uvloop
from voiceplane_common import gc_tuning, logs
from voiceplane_common.addresses import listening
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.settings import load_settings
from voiceplane_common.tracing_setup import configure_tracing

from voiceplane_worker.app import Worker
from voiceplane_worker.prefetch import prefetch
from voiceplane_worker.settings import WorkerSettings

# How long a thread may hold the interpreter lock: short, since a frame is due every 20 ms.
SWITCH_INTERVAL_S = 0.0002


def _flag(name: str) -> Any:
    """An option that may be written with dashes or with underscores."""
    dashed = name.replace("_", "-")
    return typer.Option(*dict.fromkeys([f"--{dashed}", f"--{name}"]))


def serve(
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings; see docs/reference/configuration.md.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="host:port or unix:/path.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    adapter: Annotated[str | None, typer.Option(help="The family of models that name none.")] = None,
    default_model: Annotated[str | None, _flag("default_model")] = None,
    preload_models: Annotated[str | None, _flag("preload_models")] = None,
    ttl_ms: Annotated[int | None, _flag("ttl_ms")] = None,
    resident_cap: Annotated[int | None, _flag("resident_cap")] = None,
    max_parallel_loads: Annotated[int | None, _flag("max_parallel_loads")] = None,
    packs_dir: Annotated[str | None, _flag("packs_dir")] = None,
    models_file: Annotated[str | None, _flag("models_file")] = None,
    metrics_port: Annotated[int | None, _flag("metrics_port")] = None,
    log_level: Annotated[str | None, _flag("log_level")] = None,
    prefetch_only: Annotated[
        bool, typer.Option("--prefetch-only", help="Fetch the models' packs into the cache, and exit.")
    ] = False,
) -> None:
    """Serve the Voiceplane gRPC API. Flags override the environment (VOICEPLANE_…), which overrides the file."""
    preload = None if preload_models is None else [name for name in preload_models.split(",") if name]
    try:
        settings = load_settings(
            WorkerSettings,
            file=config,
            overrides={
                "worker.listen": listen,
                "worker.device": device,
                "worker.adapter": adapter,
                "worker.packs_dir": packs_dir,
                "worker.models_file": models_file,
                "worker.metrics_port": metrics_port,
                "model_manager.default_model_id": default_model,
                "model_manager.preload_model_ids": preload,
                "model_manager.ttl_ms": ttl_ms,
                "model_manager.resident_cap": resident_cap,
                "model_manager.max_parallel_loads": max_parallel_loads,
                "log.level": log_level,
            },
        )
        logs.configure(level=settings.log.level, json=settings.log.json_lines, log_transcripts=settings.log.transcripts)
        if prefetch_only:
            failed = prefetch(settings)
            raise typer.Exit(1 if failed else 0)
        configure_tracing("voiceplane-worker")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        uvloop.run(_serve(settings))
    except VoiceplaneError as error:
        typer.echo(f"voiceplane-worker: {error.message}", err=True)
        raise typer.Exit(2) from None


async def _serve(settings: WorkerSettings) -> None:
    worker = Worker(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    metrics = contextlib.ExitStack()
    if port := settings.worker.metrics_port:
        with listening(f"port {port}", setting="worker.metrics_port"):
            server, thread = prometheus_client.start_http_server(port, registry=worker.metrics.registry)
        metrics.callback(thread.join)
        metrics.callback(server.server_close)
        metrics.callback(server.shutdown)
    with metrics:
        starting = asyncio.create_task(worker.start())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()  # raises if the address is in use
            gc_tuning.freeze()
        await stop
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await worker.stop(drain_timeout_s=settings.worker.drain_timeout_ms / 1000)


def main() -> None:
    """Entry point."""
    typer.run(serve)


if __name__ == "__main__":
    main()

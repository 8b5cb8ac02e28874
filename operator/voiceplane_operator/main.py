"""The command voiceplane-operator."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from kubernetes.aio.config import ConfigException
from voiceplane_common import logs
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.kube.api import Api
from voiceplane_common.settings import load_settings
from voiceplane_common.tracing_setup import configure_tracing

from voiceplane_operator.app import EtcdRestored, Operator
from voiceplane_operator.names import FIELD_MANAGER
from voiceplane_operator.settings import OperatorSettings


def operate(
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings; see docs/explanation/operator.md.")
    ] = None,
    namespaces: Annotated[str | None, typer.Option(help="Comma-separated. Default: the whole cluster.")] = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Default: KUBECONFIG or, in a pod, its ServiceAccount.")
    ] = None,
    log_level: Annotated[str | None, typer.Option()] = None,
    health_port: Annotated[int | None, typer.Option()] = None,
    metrics_port: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Reconcile VoiceModels and TTSWorkerPools. Flags override the environment (VOICEPLANE_OPERATOR_…) and the file."""
    try:
        settings = load_settings(
            OperatorSettings,
            file=config,
            overrides={
                "namespaces": namespaces,
                "kubeconfig": kubeconfig,
                "log_level": log_level,
                "health_port": health_port,
                "metrics_port": metrics_port,
            },
            env_prefix="VOICEPLANE_OPERATOR_",
        )
        logs.configure(level=settings.log_level, json=settings.log_json)
        logging.getLogger("kopf").setLevel(logging.WARNING)
        configure_tracing("voiceplane-operator")
        uvloop.run(_operate(settings))
    except VoiceplaneError as error:
        typer.echo(f"voiceplane-operator: {error.message}", err=True)
        raise typer.Exit(2) from None
    except EtcdRestored as error:
        typer.echo(f"voiceplane-operator: {error}", err=True)
        raise typer.Exit(1) from None
    except ConfigException as error:
        typer.echo(f"voiceplane-operator: no configuration for the API server: {error}; set KUBECONFIG", err=True)
        raise typer.Exit(2) from None


async def _operate(settings: OperatorSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    api = await Api.connect(settings.kubeconfig or None, field_manager=FIELD_MANAGER)
    try:
        await Operator(settings, api=api).run(stop)
    finally:
        await api.close()


def main() -> None:
    """Entry point."""
    typer.run(operate)


if __name__ == "__main__":
    main()

"""The command voiceplane-crds: applies the CustomResourceDefinitions of this version.

Helm installs definitions once and never again; the chart runs this before each upgrade.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from kubernetes.aio.config import ConfigException
from voiceplane_common.kube.api import Api, ApiError

from voiceplane_operator.specs import crd

# Helm applies the definitions of an installation under this name; under another one, the next would be in conflict.
FIELD_MANAGER = "helm"


def apply(
    kubeconfig: Annotated[str | None, typer.Option(help="Without it KUBECONFIG or, in a pod, its own account.")] = None,
) -> None:
    """Apply the definitions of VoiceModel and TTSWorkerPool; no object of theirs is touched."""
    try:
        asyncio.run(_apply(kubeconfig))
    except (ApiError, ConfigException) as error:
        typer.echo(f"voiceplane-crds: {error}", err=True)
        raise typer.Exit(1) from None


async def _apply(kubeconfig: str | None) -> None:
    api = await Api.connect(kubeconfig, field_manager=FIELD_MANAGER)
    try:
        for definition in (crd.voicemodels(), crd.ttsworkerpools()):
            await api.apply(definition)
            typer.echo(f"applied {definition['metadata']['name']}")
    finally:
        await api.close()


def main() -> None:
    """Entry point."""
    typer.run(apply)

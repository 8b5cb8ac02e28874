"""The command voiceplane-crds: applies this version's CustomResourceDefinitions (CRDs).

Helm installs CRDs once and never updates them, so the chart runs this before each upgrade.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from kubernetes.aio.config import ConfigException
from voiceplane_common.kube.api import Api, ApiError

from voiceplane_operator.specs import crd

# The field manager under which Helm installed the CRDs; another one would cause a conflict at the next installation.
FIELD_MANAGER = "helm"


def apply(
    kubeconfig: Annotated[
        str | None, typer.Option(help="Default: KUBECONFIG or, in a pod, its ServiceAccount.")
    ] = None,
) -> None:
    """Apply the CRDs of VoiceModel and TTSWorkerPool. Objects of these kinds stay as they are."""
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

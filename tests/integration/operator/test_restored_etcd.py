"""A watch of a real API server whose etcd is restored to an older revision."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.kube.api import Api
from voiceplane_common.kube.informer import Informer

from tests.support.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first one may build Kubernetes.
pytestmark = pytest.mark.timeout(3600)

NAMESPACE = "default"
SEEN_WITHIN_S = 30.0


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


def config_map(name: str, value: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"watched": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


def back_up(plane: ControlPlane) -> None:
    """Copy etcd's data while it is stopped."""
    server = plane.server
    server.api.end(kill=True)
    server.etcd.end()
    shutil.copytree(server.folder / "etcd", server.folder / "backup")
    server.start()


def restore(plane: ControlPlane) -> None:
    """Restore the copy."""
    server = plane.server
    server.api.end(kill=True)
    server.etcd.end()
    shutil.rmtree(server.folder / "etcd")
    shutil.copytree(server.folder / "backup", server.folder / "etcd")
    server.start()


class Watched:
    """An informer of the ConfigMaps, and their contents."""

    def __init__(self, api: Api) -> None:
        self._news = asyncio.Event()
        self.informer = Informer(
            api,
            api_version="v1",
            kind="ConfigMap",
            namespace=NAMESPACE,
            selector="watched=yes",
            changed=lambda *_: self._news.set(),
        )

    async def until(self, **values: str) -> None:
        """Wait until it has exactly these."""
        async with asyncio.timeout(SEEN_WITHIN_S):
            while {key.name: each["data"]["value"] for key, each in self.informer.objects.items()} != values:
                await self._news.wait()
                self._news.clear()


async def test_a_restored_etcd_is_reconciled(plane: ControlPlane) -> None:
    api = await Api.connect(str(plane.kubeconfig), field_manager="test")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(api.close)
        await api.apply(config_map("kept", "before"))
        await asyncio.to_thread(back_up, plane)
        watched = Watched(api)
        running = asyncio.create_task(watched.informer.run())
        stack.push_async_callback(asyncio.wait, [running])
        stack.callback(running.cancel)
        for number in range(30):  # so that the restored history stays behind
            await api.apply(config_map("kept", f"edit {number}"))
        await api.apply(config_map("lost", "new"))
        await watched.until(kept="edit 29", lost="new")
        await asyncio.to_thread(restore, plane)
        await watched.until(kept="before")
        await api.apply(config_map("kept", "after"))
        await watched.until(kept="after")

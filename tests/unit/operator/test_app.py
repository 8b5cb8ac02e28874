"""The operator ends, to be restarted, when one of its tasks ends or etcd was restored."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.kube.informer import Informer
from voiceplane_operator.app import EtcdRestored, Operator
from voiceplane_operator.settings import OperatorSettings

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Api


class EmptyApi:
    """An empty server at a revision."""

    def __init__(self, revision: int) -> None:
        self.calls = 0
        self.revision = revision

    async def list(self, *_: object) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": str(self.revision)}, "items": []}


def operator(api: EmptyApi) -> Operator:
    return Operator(OperatorSettings(health_port=0, metrics_port=0), api=cast("Api", api))


async def test_a_revision_that_went_back_ends_the_operator() -> None:
    api = EmptyApi(revision=7)
    running = operator(api)
    await running._resync()
    api.revision = 8
    await running._resync()
    api.revision = 7
    with pytest.raises(EtcdRestored, match="from revision 8 to 7"):
        await running._resync()


async def test_an_informer_that_ends_ends_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Informer) -> None:
        raise RuntimeError("no more news")

    monkeypatch.setattr(Informer, "run", fails)
    with pytest.raises(RuntimeError, match="no more news"):
        await asyncio.wait_for(operator(EmptyApi(1)).run(asyncio.Event()), 10)


@pytest.mark.parametrize("setting", ["health_port", "metrics_port"])
async def test_a_port_in_use_is_reported_with_its_setting(setting: str) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        settings = OperatorSettings.model_validate({"health_port": 0, "metrics_port": 0, setting: port})
        with pytest.raises(VoiceplaneError, match=f"cannot listen on port {port}: .*; set {setting}"):
            await Operator(settings, api=cast("Api", EmptyApi(1))).run(asyncio.Event())

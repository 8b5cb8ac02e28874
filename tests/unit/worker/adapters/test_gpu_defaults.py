"""What families need on a GPU, as a worker's defaults."""

from __future__ import annotations

from typing import Any

import pytest
from voiceplane_worker.adapters.base import FamilyTraits
from voiceplane_worker.adapters.family import Family, GpuDefaults
from voiceplane_worker.adapters.gpu_defaults import with_gpu_defaults
from voiceplane_worker.adapters.mock import FAMILY as MOCK
from voiceplane_worker.server.proto_conversion import family_message
from voiceplane_worker.settings import WorkerSection, WorkerSettings


def family(name: str, **gpu: int) -> Family:
    traits = FamilyTraits(name=name, streaming=True)
    return Family(traits=traits, module="none", adapter="None", gpu=GpuDefaults(**gpu))


FAMILIES = (MOCK, family("a"), family("b", compute_workers=4, max_sessions=6))


@pytest.mark.parametrize(
    ("families", "given", "expected"),
    [
        (FAMILIES, {"device": "cuda:0"}, (1, 6)),
        (FAMILIES, {"device": "cuda", "compute_workers": 2, "max_sessions": 16}, (2, 16)),
        (FAMILIES, {"device": "cpu"}, (2, 16)),
        ((MOCK,), {"device": "cuda"}, (2, 16)),
    ],
)
def test_what_is_not_set_is_what_the_families_need_least(
    families: tuple[Family, ...], given: dict[str, Any], expected: tuple[int, int]
) -> None:
    worker = with_gpu_defaults(WorkerSettings(worker=WorkerSection(**given)), families).worker
    assert (worker.compute_workers, worker.max_sessions) == expected


def test_capabilities_show_them() -> None:
    message = family_message(family("b", compute_workers=4, max_sessions=6))
    gpu = message.gpu_defaults
    assert (gpu.compute_workers, gpu.max_sessions, gpu.warm_up_runs) == (4, 6, 2)
    assert not family_message(MOCK).HasField("gpu_defaults")
